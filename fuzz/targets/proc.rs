//! The parsers of `/proc` files with numbers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringside_fuzz::kernel::proc::*;
use ringside_fuzz::{complete, ignores_a_torn_line as check};

fuzz_target!(|bytes: &[u8]| {
    check(bytes, parse_stat);
    check(bytes, |bytes| per_cpu(bytes).collect::<Vec<_>>());
    check(bytes, parse_meminfo);
    check(bytes, parse_vmstat);
    assert!(parse_diskstats(bytes).eq(parse_diskstats(complete(bytes))));
    assert!(parse_net_dev(bytes).eq(parse_net_dev(complete(bytes))));
    let _ = (parse_loadavg(bytes), parse_uptime(bytes), parse_pid_stat(bytes));
});
