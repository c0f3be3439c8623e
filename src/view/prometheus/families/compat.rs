//! cAdvisor's families by name, and those of them that have no source: what a page in its shape shows as it does.
//!
//! In: nothing. Out: the list of names, with those that the kubelet's page has too, and [`FAMILIES`] for such pages only:
//! there a value that the kernel does not tell is the constant that cAdvisor prints, because queries were written against
//! it. `/metrics` in ringside's own shape has none of these: absent is absent. Next: [`plan`](super::super::plan).

use super::super::family::{Family, Series, Sight, Value, computed, counter, gauge, present};
use super::super::layout::Rows;
use super::super::number::Number;
use super::super::set::Set;
use super::computed;
use crate::sample::{MachineFacts, Tallies};

/// Every family of cAdvisor, ascending, and whether the kubelet's `/metrics/cadvisor` has it.
pub const NAMES: &[(&str, bool)] = &[
    ("cadvisor_version_info", true),
    ("container_blkio_device_usage_total", true),
    ("container_cpu_cfs_burst_periods_total", true),
    ("container_cpu_cfs_burst_seconds_total", true),
    ("container_cpu_cfs_periods_total", true),
    ("container_cpu_cfs_throttled_periods_total", true),
    ("container_cpu_cfs_throttled_seconds_total", true),
    ("container_cpu_load_average_10s", true),
    ("container_cpu_load_d_average_10s", true),
    ("container_cpu_schedstat_run_periods_total", false),
    ("container_cpu_schedstat_run_seconds_total", false),
    ("container_cpu_schedstat_runqueue_seconds_total", false),
    ("container_cpu_system_seconds_total", true),
    ("container_cpu_usage_seconds_total", true),
    ("container_cpu_user_seconds_total", true),
    ("container_creation_time_seconds", false),
    ("container_file_descriptors", true),
    ("container_fs_inodes_free", true),
    ("container_fs_inodes_total", true),
    ("container_fs_io_cost_indebt_seconds_total", true),
    ("container_fs_io_cost_indelay_seconds_total", true),
    ("container_fs_io_cost_usage_seconds_total", true),
    ("container_fs_io_cost_wait_seconds_total", true),
    ("container_fs_io_current", true),
    ("container_fs_io_time_seconds_total", true),
    ("container_fs_io_time_weighted_seconds_total", true),
    ("container_fs_limit_bytes", true),
    ("container_fs_read_seconds_total", true),
    ("container_fs_reads_bytes_total", true),
    ("container_fs_reads_merged_total", true),
    ("container_fs_reads_total", true),
    ("container_fs_sector_reads_total", true),
    ("container_fs_sector_writes_total", true),
    ("container_fs_usage_bytes", true),
    ("container_fs_write_seconds_total", true),
    ("container_fs_writes_bytes_total", true),
    ("container_fs_writes_merged_total", true),
    ("container_fs_writes_total", true),
    ("container_health_state", true),
    ("container_hugetlb_failcnt", false),
    ("container_hugetlb_max_usage_bytes", false),
    ("container_hugetlb_usage_bytes", false),
    ("container_last_seen", true),
    ("container_llc_occupancy_bytes", false),
    ("container_memory_bandwidth_bytes", false),
    ("container_memory_bandwidth_local_bytes", false),
    ("container_memory_cache", true),
    ("container_memory_events_high_total", false),
    ("container_memory_events_max_total", false),
    ("container_memory_failcnt", true),
    ("container_memory_failures_total", true),
    ("container_memory_file_dirty_bytes", false),
    ("container_memory_file_writeback_bytes", false),
    ("container_memory_kernel_usage", true),
    ("container_memory_mapped_file", true),
    ("container_memory_max_usage_bytes", true),
    ("container_memory_migrate", false),
    ("container_memory_numa_pages", false),
    ("container_memory_pgscan_total", false),
    ("container_memory_pgsteal_total", false),
    ("container_memory_rss", true),
    ("container_memory_swap", true),
    ("container_memory_total_active_file_bytes", true),
    ("container_memory_total_inactive_file_bytes", true),
    ("container_memory_usage_bytes", true),
    ("container_memory_working_set_bytes", true),
    ("container_memory_workingset_refault_anon_total", false),
    ("container_memory_workingset_refault_file_total", false),
    ("container_network_advance_tcp_stats_total", false),
    ("container_network_receive_bytes_total", true),
    ("container_network_receive_errors_total", true),
    ("container_network_receive_packets_dropped_total", true),
    ("container_network_receive_packets_total", true),
    ("container_network_tcp6_usage_total", false),
    ("container_network_tcp_usage_total", false),
    ("container_network_transmit_bytes_total", true),
    ("container_network_transmit_errors_total", true),
    ("container_network_transmit_packets_dropped_total", true),
    ("container_network_transmit_packets_total", true),
    ("container_network_udp6_usage_total", false),
    ("container_network_udp_usage_total", false),
    ("container_oom_events_total", true),
    ("container_perf_events_scaling_ratio", false),
    ("container_perf_events_total", false),
    ("container_perf_uncore_events_scaling_ratio", false),
    ("container_perf_uncore_events_total", false),
    ("container_pressure_cpu_stalled_seconds_total", true),
    ("container_pressure_cpu_waiting_seconds_total", true),
    ("container_pressure_io_stalled_seconds_total", true),
    ("container_pressure_io_waiting_seconds_total", true),
    ("container_pressure_memory_stalled_seconds_total", true),
    ("container_pressure_memory_waiting_seconds_total", true),
    ("container_processes", true),
    ("container_referenced_bytes", false),
    ("container_scrape_error", true),
    ("container_sockets", true),
    ("container_spec_cpu_period", true),
    ("container_spec_cpu_quota", true),
    ("container_spec_cpu_shares", true),
    ("container_spec_memory_limit_bytes", true),
    ("container_spec_memory_reservation_limit_bytes", true),
    ("container_spec_memory_swap_limit_bytes", true),
    ("container_start_time_seconds", true),
    ("container_tasks_state", true),
    ("container_threads", true),
    ("container_threads_max", true),
    ("container_ulimits_soft", true),
    ("machine_cpu_books", true),
    ("machine_cpu_cache_capacity_bytes", false),
    ("machine_cpu_cores", true),
    ("machine_cpu_drawers", true),
    ("machine_cpu_physical_cores", true),
    ("machine_cpu_sockets", true),
    ("machine_dimm_capacity_bytes", true),
    ("machine_dimm_count", true),
    ("machine_memory_bytes", true),
    ("machine_node_distance", false),
    ("machine_node_hugepages_count", false),
    ("machine_node_memory_capacity_bytes", false),
    ("machine_nvm_avg_power_budget_watts", true),
    ("machine_nvm_capacity", true),
    ("machine_scrape_error", true),
    ("machine_swap_bytes", true),
    ("machine_thread_siblings_count", false),
];

/// Whether cAdvisor has a family of this name: `Some(true)` if the kubelet has it as well.
#[must_use]
pub fn cadvisor(name: &str) -> Option<bool> {
    let at = NAMES.binary_search_by_key(&name, |(known, _)| known).ok()?;
    NAMES.get(at).map(|(_, kubelet)| *kubelet)
}

#[expect(clippy::unnecessary_wraps, reason = "a value of a row may be absent; this one never is")]
fn zero(_: &Sight<'_>) -> Option<Number> {
    Some(Number::integer(0))
}

#[expect(clippy::unnecessary_wraps, reason = "a fact about the machine may be absent; this one never is")]
const fn machine_zero(_: &MachineFacts) -> Option<u64> {
    Some(0)
}

/// -1 without a health check, as for every cgroup that is not Docker's.
#[expect(clippy::unnecessary_wraps, reason = "a value of a row may be absent; this one never is")]
fn health(sight: &Sight<'_>, tallies: &Tallies) -> Option<Number> {
    Some(computed::health(sight, tallies).unwrap_or(Number::Float(-1.0)))
}

/// Not read with cgroup v2.
fn kernel_usage(sight: &Sight<'_>) -> Option<Number> {
    computed::kmem_usage(sight).or_else(|| zero(sight))
}

/// Not read with cgroup v2.
fn failcnt(sight: &Sight<'_>) -> Option<Number> {
    computed::failcnt(sight).or_else(|| zero(sight))
}

const fn machine_series() -> Series {
    Series::new(Rows::Machine, Value::Machine(machine_zero))
}

const fn scrape_error() -> Series {
    Series::new(Rows::Node, Value::Machine(machine_zero))
}

/// In place of the families of these names, on pages in cAdvisor's shape.
pub const FAMILIES: &[Family] = &[
    gauge(
        "cadvisor_version_info",
        "Versions of the kernel, the operating system and this agent.",
        &[Series::new(Rows::CadvisorVersion, Value::One)],
    ),
    gauge("container_scrape_error", "1 if containers could not be read; then there is no page.", &[scrape_error()]),
    gauge("machine_scrape_error", "1 if the machine could not be read; then there is no page.", &[scrape_error()]),
    gauge(
        "container_health_state",
        "1 if the container's health check passes, 0 while it starts or fails, -1 without one.",
        &[present(health)],
    ),
    gauge("container_cpu_load_average_10s", "Constant 0 without cAdvisor's load reader.", &[computed(zero)])
        .of(Set::CpuLoad),
    gauge("container_cpu_load_d_average_10s", "Constant 0 without cAdvisor's load reader.", &[computed(zero)])
        .of(Set::CpuLoad),
    gauge(
        "container_tasks_state",
        "Constant 0 without cAdvisor's load reader.",
        &[
            computed(zero).with("state=\"sleeping\""),
            computed(zero).with("state=\"running\""),
            computed(zero).with("state=\"stopped\""),
            computed(zero).with("state=\"uninterruptible\""),
            computed(zero).with("state=\"iowaiting\""),
        ],
    )
    .of(Set::CpuLoad),
    gauge("container_memory_kernel_usage", "Kernel memory in bytes (cgroup v1; 0 with v2).", &[computed(kernel_usage)])
        .of(Set::Memory),
    counter(
        "container_memory_failcnt",
        "Times that memory use hit the limit (cgroup v1; 0 with v2).",
        &[computed(failcnt)],
    )
    .of(Set::Memory),
    gauge("machine_cpu_books", "Books of an s390 machine; 0 elsewhere.", &[machine_series()]),
    gauge("machine_cpu_drawers", "Drawers of an s390 machine; 0 elsewhere.", &[machine_series()]),
    gauge(
        "machine_nvm_capacity",
        "Persistent memory in bytes; constant 0 without the vendor's library.",
        &[machine_series().with("mode=\"memory_mode\""), machine_series().with("mode=\"app_direct_mode\"")],
    ),
    gauge(
        "machine_nvm_avg_power_budget_watts",
        "Power budget of persistent memory; constant 0 without the vendor's library.",
        &[machine_series()],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_ascending_so_that_each_is_found() {
        assert!(NAMES.is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(NAMES.len(), 124);
        assert!(FAMILIES.iter().all(|family| cadvisor(family.name).is_some()));
        assert_eq!(cadvisor("container_cpu_usage_seconds_total"), Some(true));
        assert_eq!(cadvisor("container_hugetlb_failcnt"), Some(false));
        assert_eq!(cadvisor("container_info"), None);
    }
}
