//! What a container is and what it may use: cAdvisor's `container_spec_*` and its kin, and the join family.

use super::super::family::{Family, Series, Value, cgroup, computed, counter, gauge, info, present};
use super::super::layout::Rows;
use super::super::set::Set;
use super::computed;
use crate::sample::catalogue::CgroupColumn as C;

/// Always on in cAdvisor, and its default sets `process` and `oom_event`.
pub const FAMILIES: &[Family] = &[
    info(
        "container_info",
        "Everything that identifies a container or pod, to be joined by id.",
        &[Series::new(Rows::Infos, Value::One)],
    ),
    gauge("container_last_seen", "Wall clock of the newest reading.", &[computed(computed::last_seen)]),
    gauge(
        "container_health_state",
        "1 if the container's health check passes, 0 while it starts or fails.",
        &[present(computed::health)],
    ),
    gauge("container_creation_time_seconds", "When the container was created.", &[computed(computed::creation_time)]),
    gauge("container_start_time_seconds", "When the container was started.", &[computed(computed::start_time)]),
    gauge("container_spec_cpu_period", "CPU period in microseconds.", &[cgroup(C::CpuPeriodUsec).in_kernel_units()]),
    gauge(
        "container_spec_cpu_quota",
        "CPU quota in microseconds per period; absent without one.",
        &[cgroup(C::CpuQuotaUsec).in_kernel_units()],
    ),
    gauge(
        "container_spec_cpu_shares",
        "CPU shares; with cgroup v2 worked out from the weight.",
        &[computed(computed::cpu_shares)],
    ),
    gauge(
        "container_spec_memory_limit_bytes",
        "Memory limit; 0 is unlimited, and the root's is the machine's memory.",
        &[computed(computed::memory_limit)],
    ),
    gauge(
        "container_spec_memory_swap_limit_bytes",
        "Swap limit (cgroup v1: memory and swap together); 0 is unlimited.",
        &[computed(computed::swap_limit)],
    ),
    gauge(
        "container_spec_memory_reservation_limit_bytes",
        "Memory that is protected from reclaim (cgroup v1: soft limit; 0 is unlimited there).",
        &[computed(computed::reservation)],
    ),
    gauge("container_processes", "Processes in the cgroup.", &[cgroup(C::Processes)]).of(Set::Process),
    gauge("container_threads", "Tasks in the cgroup.", &[computed(computed::threads)]).of(Set::Process),
    gauge(
        "container_threads_max",
        "Most tasks that the cgroup may have; 0 is unlimited.",
        &[cgroup(C::PidsMax).unlimited_is_zero()],
    )
    .of(Set::Process),
    counter(
        "container_oom_events_total",
        "Processes killed by the OOM killer; a container's count goes on over its restarts.",
        &[present(computed::oom_kills)],
    )
    .of(Set::OomEvent),
];
