//! The parsers of cgroup v1.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringside_fuzz::ignores_a_torn_line as check;
use ringside_fuzz::kernel::cgroup_v1::*;

fuzz_target!(|bytes: &[u8]| {
    check(bytes, parse_cpu_stat);
    check(bytes, parse_cpu_stat_local);
    check(bytes, parse_cpuacct_stat);
    check(bytes, parse_memory_stat);
    check(bytes, parse_memory_oom_control);
    check(bytes, |bytes| parse_blkio(bytes).collect::<Vec<_>>());
    let _ = (parse_cpuacct_usage(bytes), parse_limit_in_bytes(bytes), parse_cfs_quota(bytes));
});
