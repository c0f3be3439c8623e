//! The parsers of cgroup v2.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringside_fuzz::ignores_a_torn_line as check;
use ringside_fuzz::kernel::cgroup::*;

fuzz_target!(|bytes: &[u8]| {
    check(bytes, parse_cpu_stat);
    check(bytes, parse_cpu_stat_local);
    check(bytes, parse_memory_stat);
    check(bytes, parse_memory_events);
    check(bytes, parse_memory_swap_events);
    check(bytes, parse_pids_events);
    check(bytes, parse_hugetlb_events);
    check(bytes, parse_cgroup_stat);
    check(bytes, parse_cgroup_events);
    check(bytes, parse_pressure);
    check(bytes, |bytes| parse_io_stat(bytes).collect::<Vec<_>>());
    check(bytes, |bytes| pids(bytes).collect::<Vec<_>>());
    check(bytes, |bytes| parse_cgroup_procs(bytes).first_pid);
    let _ = (parse_value(bytes), parse_limit(bytes), parse_cpu_max(bytes));
    if let Some(size) = hugetlb_page_size(bytes) {
        assert!(HugePageSize::from_label(size.to_string().as_bytes()).is_some());
    }
    let _ = HugePageSize::from_sysfs_folder(bytes);
});
