//! What only an agent that sees every second can tell of what happened inside the scrape interval, and the sums over
//! namespaces and workloads.

use super::super::family::{
    Family, Series, Value, counter, distribution, gauge, histogram, namespace_sum, workload_sum,
};
use super::super::layout::{Rows, Scope};
use super::super::maxima::Peak;
use super::super::set::Set;

/// Looks ahead.
pub const FAMILIES: &[Family] = &[gauge(
    "ringside_container_memory_time_to_limit_seconds",
    "Time until the working set reaches the memory limit if it goes on growing as in the last 60 s; absent when it does not \
     grow, without a limit, and in the first 10 s.",
    &[Series::new(Rows::Cgroups, Value::TimeToLimit).only(Scope::WORKLOADS)],
)
.of(Set::Peak)];

/// One observation per tick. In text formats only for who asks.
pub const DISTRIBUTIONS: &[Family] = &[
    histogram("ringside_container_cpu_usage_cores", "CPU use in each tick.", &[distribution(Peak::CpuUsageCores)]),
    histogram(
        "ringside_container_cpu_throttled_ratio",
        "Share of throttled periods in each tick.",
        &[distribution(Peak::CpuThrottledRatio)],
    ),
    histogram(
        "ringside_container_memory_working_set_bytes",
        "Working set at each tick.",
        &[distribution(Peak::WorkingSetBytes)],
    ),
    histogram(
        "ringside_container_fs_reads_bytes_per_second",
        "Bytes read per second in each tick.",
        &[distribution(Peak::ReadBytesPerSecond)],
    ),
    histogram(
        "ringside_container_fs_writes_bytes_per_second",
        "Bytes written per second in each tick.",
        &[distribution(Peak::WriteBytesPerSecond)],
    ),
    histogram(
        "ringside_container_network_receive_bytes_per_second",
        "Bytes received per second in each tick.",
        &[distribution(Peak::ReceiveBytesPerSecond)],
    ),
    histogram(
        "ringside_container_network_transmit_bytes_per_second",
        "Bytes sent per second in each tick.",
        &[distribution(Peak::TransmitBytesPerSecond)],
    ),
];

/// Sums over namespaces, and over workloads whose owner the API server told. Counters begin at 0 with the agent.
pub const SUMS: &[Family] = &[
    counter(
        "ringside_namespace_cpu_usage_seconds_total",
        "CPU time used by containers of a namespace since the agent started; goes on when containers end.",
        &[namespace_sum(|sums| sums.cpu_usage_usec, 6)],
    )
    .of(Set::Workload),
    gauge(
        "ringside_namespace_memory_working_set_bytes",
        "Working sets of the containers of a namespace.",
        &[namespace_sum(|sums| sums.working_set_bytes, 0)],
    )
    .of(Set::Workload),
    gauge(
        "ringside_namespace_containers",
        "Containers of a namespace that run.",
        &[namespace_sum(|sums| sums.containers, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_namespace_restarts_total",
        "Containers of a namespace that were started again since the agent started.",
        &[namespace_sum(|sums| sums.restarts, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_namespace_oom_kills_total",
        "Processes of a namespace killed by the OOM killer since the agent started.",
        &[namespace_sum(|sums| sums.oom_kills, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_namespace_network_receive_bytes_total",
        "Bytes received by pods of a namespace since the agent saw them; goes on when pods end.",
        &[namespace_sum(|sums| sums.receive_bytes, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_namespace_network_transmit_bytes_total",
        "Bytes sent by pods of a namespace since the agent saw them; goes on when pods end.",
        &[namespace_sum(|sums| sums.transmit_bytes, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_workload_cpu_usage_seconds_total",
        "CPU time used by the pods of an owner on this node since the agent started; goes on when pods end.",
        &[workload_sum(|sums| sums.cpu_usage_usec, 6)],
    )
    .of(Set::Workload),
    gauge(
        "ringside_workload_memory_working_set_bytes",
        "Working sets of the containers of an owner's pods on this node.",
        &[workload_sum(|sums| sums.working_set_bytes, 0)],
    )
    .of(Set::Workload),
    gauge(
        "ringside_workload_containers",
        "Containers of an owner's pods that run on this node.",
        &[workload_sum(|sums| sums.containers, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_workload_restarts_total",
        "Containers of an owner's pods that were started again on this node since the agent started.",
        &[workload_sum(|sums| sums.restarts, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_workload_oom_kills_total",
        "Processes of an owner's pods killed by the OOM killer on this node since the agent started.",
        &[workload_sum(|sums| sums.oom_kills, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_workload_network_receive_bytes_total",
        "Bytes received by an owner's pods on this node since the agent saw them; goes on when pods end.",
        &[workload_sum(|sums| sums.receive_bytes, 0)],
    )
    .of(Set::Workload),
    counter(
        "ringside_workload_network_transmit_bytes_total",
        "Bytes sent by an owner's pods on this node since the agent saw them; goes on when pods end.",
        &[workload_sum(|sums| sums.transmit_bytes, 0)],
    )
    .of(Set::Workload),
];
