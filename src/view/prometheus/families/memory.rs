//! cAdvisor's sets `memory` and `hugetlb`.

use super::super::family::{Family, Series, Value, cgroup, computed, counter, gauge, hugepage};
use super::super::layout::Rows;
use super::super::set::Set;
use super::computed;
use crate::sample::catalogue::{CgroupColumn as C, HugetlbColumn as H};

/// Memory in use and how it is reclaimed.
pub const FAMILIES: &[Family] = &[
    gauge("container_memory_usage_bytes", "Memory in use, file cache included.", &[computed(computed::memory_usage)])
        .of(Set::Memory),
    gauge("container_memory_max_usage_bytes", "Most memory ever in use.", &[cgroup(C::MemoryPeakBytes)])
        .of(Set::Memory),
    gauge(
        "container_memory_working_set_bytes",
        "Memory in use without inactive file cache.",
        &[computed(computed::working_set)],
    )
    .of(Set::Memory),
    gauge("container_memory_cache", "File cache in bytes.", &[cgroup(C::MemoryStatFile)]).of(Set::Memory),
    gauge("container_memory_rss", "Anonymous memory in bytes.", &[cgroup(C::MemoryStatAnon)]).of(Set::Memory),
    gauge("container_memory_swap", "Swap in use in bytes.", &[cgroup(C::MemorySwapCurrentBytes)]).of(Set::Memory),
    gauge("container_memory_mapped_file", "Mapped file cache in bytes.", &[cgroup(C::MemoryStatFileMapped)])
        .of(Set::Memory),
    gauge("container_memory_kernel_usage", "Kernel memory in bytes.", &[computed(computed::kernel_usage)])
        .of(Set::Memory),
    counter(
        "container_memory_failcnt",
        "Times that memory use hit the limit (cgroup v1).",
        &[cgroup(C::MemoryFailcnt)],
    )
    .of(Set::Memory),
    gauge(
        "container_memory_total_active_file_bytes",
        "File cache on the active list.",
        &[cgroup(C::MemoryStatActiveFile)],
    )
    .of(Set::Memory),
    gauge(
        "container_memory_total_inactive_file_bytes",
        "File cache on the inactive list.",
        &[cgroup(C::MemoryStatInactiveFile)],
    )
    .of(Set::Memory),
    counter(
        "container_memory_failures_total",
        "Page faults.",
        &[
            cgroup(C::MemoryStatPgfault).with("failure_type=\"pgfault\",scope=\"container\""),
            cgroup(C::MemoryStatPgfault).with("failure_type=\"pgfault\",scope=\"hierarchy\""),
            cgroup(C::MemoryStatPgmajfault).with("failure_type=\"pgmajfault\",scope=\"container\""),
            cgroup(C::MemoryStatPgmajfault).with("failure_type=\"pgmajfault\",scope=\"hierarchy\""),
        ],
    )
    .of(Set::Memory),
    counter(
        "container_memory_events_high_total",
        "Times that tasks were throttled above memory.high.",
        &[cgroup(C::MemoryEventsHigh)],
    )
    .of(Set::Memory),
    counter(
        "container_memory_events_max_total",
        "Times that memory use was about to exceed memory.max.",
        &[cgroup(C::MemoryEventsMax)],
    )
    .of(Set::Memory),
    gauge("container_memory_file_dirty_bytes", "Dirty file cache.", &[cgroup(C::MemoryStatFileDirty)]).of(Set::Memory),
    gauge(
        "container_memory_file_writeback_bytes",
        "File cache that is being written.",
        &[cgroup(C::MemoryStatFileWriteback)],
    )
    .of(Set::Memory),
    counter("container_memory_pgscan_total", "Pages scanned by reclaim.", &[cgroup(C::MemoryStatPgscan)])
        .of(Set::Memory),
    counter("container_memory_pgsteal_total", "Pages reclaimed.", &[cgroup(C::MemoryStatPgsteal)]).of(Set::Memory),
    counter(
        "container_memory_workingset_refault_file_total",
        "File pages that were read again soon after they were evicted.",
        &[cgroup(C::MemoryStatWorkingsetRefaultFile)],
    )
    .of(Set::Memory),
    counter(
        "container_memory_workingset_refault_anon_total",
        "Anonymous pages that were read again soon after they were evicted.",
        &[cgroup(C::MemoryStatWorkingsetRefaultAnon)],
    )
    .of(Set::Memory),
    gauge(
        "container_hugetlb_usage_bytes",
        "Huge pages in use or reserved.",
        &[Series::new(Rows::Hugepages, Value::Computed(computed::hugetlb_usage))],
    )
    .of(Set::Hugetlb),
    gauge("container_hugetlb_max_usage_bytes", "Most huge pages ever in use (cgroup v1).", &[hugepage(H::Peak)])
        .of(Set::Hugetlb),
    counter("container_hugetlb_failcnt", "Times that the huge page limit was hit.", &[hugepage(H::EventsMax)])
        .of(Set::Hugetlb),
];
