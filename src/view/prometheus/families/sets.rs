//! cAdvisor's sets that are off by default, as they were read off the tick.
//!
//! Names and labels are cAdvisor's. Where it shows what is not so, the truth is shown: queues of UDP sockets are not
//! exchanged, a socket that waits to be accepted is `synrecv`, states of tasks are not 0 on cgroup v2.

use std::fmt::Write as _;

use super::super::family::{Emit, Family, counter, detail, gauge, machine_detail, node_detail};
use super::super::labels::push_label;
use super::super::number::Number;
use super::super::set::Set;
use crate::sample::SubjectId;
use crate::sample::details::{CacheUse, Details, NumaKind, Scheduling, TcpStates, UdpSums};
use crate::units::Limit;

/// What is where in the machine.
pub const MACHINE: &[Family] = &[
    gauge("machine_cpu_books", "Books of CPUs (s390).", &[machine_detail(books)]),
    gauge("machine_cpu_drawers", "Drawers of books of CPUs (s390).", &[machine_detail(drawers)]),
    gauge("machine_dimm_count", "Memory modules by type.", &[machine_detail(dimm_count)]),
    gauge("machine_dimm_capacity_bytes", "Bytes of memory modules by type.", &[machine_detail(dimm_capacity)]),
    gauge("machine_cpu_cache_capacity_bytes", "Bytes of a cache.", &[machine_detail(caches)]).of(Set::CpuTopology),
    gauge(
        "machine_thread_siblings_count",
        "Threads of the core that a thread is on.",
        &[machine_detail(thread_siblings)],
    )
    .of(Set::CpuTopology),
    gauge("machine_node_memory_capacity_bytes", "Memory of a NUMA node.", &[machine_detail(node_memory)])
        .of(Set::CpuTopology),
    gauge("machine_node_hugepages_count", "Huge pages of a NUMA node.", &[machine_detail(node_hugepages)])
        .of(Set::CpuTopology),
    gauge("machine_node_distance", "Distance from a NUMA node to another.", &[machine_detail(node_distance)])
        .of(Set::CpuTopology),
];

/// Of cgroups.
pub const FAMILIES: &[Family] = &[
    gauge("container_file_descriptors", "Open descriptors of the cgroup's processes.", &[detail(descriptors)])
        .of(Set::Process),
    gauge("container_sockets", "Open sockets of the cgroup's processes.", &[detail(sockets)]).of(Set::Process),
    gauge("container_ulimits_soft", "Soft limits of the cgroup's first process.", &[detail(ulimits)]).of(Set::Process),
    counter(
        "container_cpu_schedstat_run_seconds_total",
        "Time that tasks ran on a CPU.",
        &[detail(|details, id, emit| scheduling(details, id, emit, |times| nanos(times.run_nanos)))],
    )
    .of(Set::Sched),
    counter(
        "container_cpu_schedstat_runqueue_seconds_total",
        "Time that tasks were runnable and waited for a CPU.",
        &[detail(|details, id, emit| scheduling(details, id, emit, |times| nanos(times.wait_nanos)))],
    )
    .of(Set::Sched),
    counter(
        "container_cpu_schedstat_run_periods_total",
        "Times that a task was put on a CPU.",
        &[detail(|details, id, emit| scheduling(details, id, emit, |times| Number::integer(times.periods)))],
    )
    .of(Set::Sched),
    gauge("container_tasks_state", "Tasks by state.", &[detail(tasks_state)]).of(Set::CpuLoad),
    gauge(
        "container_cpu_load_average_10s",
        "Runnable tasks in thousandths, averaged over the last ten seconds.",
        &[detail(load)],
    )
    .of(Set::CpuLoad),
    gauge(
        "container_cpu_load_d_average_10s",
        "Uninterruptible tasks in thousandths, averaged over the last ten seconds.",
        &[detail(uninterruptible_load)],
    )
    .of(Set::CpuLoad),
    gauge(
        "container_network_tcp_usage_total",
        "TCP sockets over IPv4 by state.",
        &[detail(|details, id, emit| tcp(details.sets.sockets.get(&id).and_then(|all| all.tcp), emit))],
    )
    .of(Set::Tcp),
    gauge(
        "container_network_tcp6_usage_total",
        "TCP sockets over IPv6 by state.",
        &[detail(|details, id, emit| tcp(details.sets.sockets.get(&id).and_then(|all| all.tcp6), emit))],
    )
    .of(Set::Tcp),
    gauge(
        "container_network_udp_usage_total",
        "UDP sockets over IPv4, their drops and queues.",
        &[detail(|details, id, emit| udp(details.sets.sockets.get(&id).and_then(|all| all.udp), emit))],
    )
    .of(Set::Udp),
    gauge(
        "container_network_udp6_usage_total",
        "UDP sockets over IPv6, their drops and queues.",
        &[detail(|details, id, emit| udp(details.sets.sockets.get(&id).and_then(|all| all.udp6), emit))],
    )
    .of(Set::Udp),
    gauge(
        "container_network_advance_tcp_stats_total",
        "The kernel's TCP counters of the network namespace, by name.",
        &[detail(tcp_counters)],
    )
    .of(Set::AdvTcp),
    gauge("container_memory_numa_pages", "Pages of memory by NUMA node.", &[detail(numa_pages)]).of(Set::MemoryNuma),
    gauge(
        "container_memory_migrate",
        "1 if memory moves when the cpuset's nodes change (cgroup v1).",
        &[detail(memory_migrate)],
    )
    .of(Set::Cpuset),
    gauge(
        "container_referenced_bytes",
        "Memory that was touched since the marks were last cleared.",
        &[detail(referenced)],
    )
    .of(Set::ReferencedMemory),
    counter("container_perf_events_total", "Performance events, scaled to the whole time.", &[detail(perf_events)])
        .of(Set::PerfEvent),
    gauge(
        "container_perf_events_scaling_ratio",
        "Share of the time in which the event was counted.",
        &[detail(perf_scaling)],
    )
    .of(Set::PerfEvent),
    gauge(
        "container_llc_occupancy_bytes",
        "Bytes of the last-level cache in use (resctrl).",
        &[detail(|details, id, emit| cache_use(details, id, emit, |cache| cache.llc_occupancy_bytes))],
    )
    .of(Set::Resctrl),
    gauge(
        "container_memory_bandwidth_bytes",
        "Bytes to and from memory (resctrl).",
        &[detail(|details, id, emit| cache_use(details, id, emit, |cache| cache.memory_bytes))],
    )
    .of(Set::Resctrl),
    gauge(
        "container_memory_bandwidth_local_bytes",
        "Bytes to and from the node's own memory (resctrl).",
        &[detail(|details, id, emit| cache_use(details, id, emit, |cache| cache.memory_local_bytes))],
    )
    .of(Set::Resctrl),
];

/// About the reading off the tick.
pub const READING: &[Family] = &[
    counter(
        "ringside_detail_cycles_total",
        "Times that all sets off the tick were read.",
        &[node_detail(|details, emit| each_if_read(details, emit, details.sets.reading.cycles, 0))],
    )
    .of(Set::Agent),
    counter(
        "ringside_detail_cpu_seconds_total",
        "CPU time of reading the sets off the tick.",
        &[node_detail(|details, emit| each_if_read(details, emit, details.sets.reading.cpu_usec, 6))],
    )
    .of(Set::Agent),
    gauge(
        "ringside_detail_cycle_seconds",
        "How long the last reading of the sets off the tick took, its pauses included.",
        &[node_detail(|details, emit| each_if_read(details, emit, details.sets.reading.last_cycle_usec, 6))],
    )
    .of(Set::Agent),
    counter(
        "ringside_detail_left_out_total",
        "What the sets off the tick do not show, by reason.",
        &[node_detail(left_out)],
    )
    .of(Set::Agent),
];

const fn nanos(units: u64) -> Number {
    Number::Decimal { units, places: 9 }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(64);
    for (name, value) in pairs {
        push_label(&mut text, 0, name, value);
    }
    text
}

fn books(details: &Details, emit: &mut Emit<'_>) {
    details.sets.topology.books.into_iter().for_each(|books| emit("", Number::integer(books)));
}

fn drawers(details: &Details, emit: &mut Emit<'_>) {
    details.sets.topology.drawers.into_iter().for_each(|drawers| emit("", Number::integer(drawers)));
}

fn dimm_count(details: &Details, emit: &mut Emit<'_>) {
    for (kind, (count, _)) in &details.sets.topology.dimms {
        emit(&labels(&[("type", kind)]), Number::integer(*count));
    }
}

fn dimm_capacity(details: &Details, emit: &mut Emit<'_>) {
    for (kind, (_, bytes)) in &details.sets.topology.dimms {
        emit(&labels(&[("type", kind)]), Number::integer(*bytes));
    }
}

fn caches(details: &Details, emit: &mut Emit<'_>) {
    for ((node, core, kind, level), bytes) in &details.sets.topology.caches {
        let core = core.map_or_else(String::new, |core| core.to_string());
        let text = labels(&[
            ("node_id", &node.to_string()),
            ("core_id", &core),
            ("type", kind),
            ("level", &level.to_string()),
        ]);
        emit(&text, Number::integer(*bytes));
    }
}

fn thread_siblings(details: &Details, emit: &mut Emit<'_>) {
    for ((node, core, thread), siblings) in &details.sets.topology.thread_siblings {
        let text = format!("node_id=\"{node}\",core_id=\"{core}\",thread_id=\"{thread}\"");
        emit(&text, Number::integer(*siblings));
    }
}

fn node_memory(details: &Details, emit: &mut Emit<'_>) {
    for (node, bytes) in &details.sets.topology.node_memory_bytes {
        emit(&format!("node_id=\"{node}\""), Number::integer(*bytes));
    }
}

fn node_hugepages(details: &Details, emit: &mut Emit<'_>) {
    for ((node, size), pages) in &details.sets.topology.node_hugepages {
        emit(&format!("node_id=\"{node}\",page_size=\"{size}\""), Number::integer(*pages));
    }
}

fn node_distance(details: &Details, emit: &mut Emit<'_>) {
    for ((node, target), distance) in &details.sets.topology.node_distance {
        emit(&format!("node_id=\"{node}\",target_node_id=\"{target}\""), Number::integer(*distance));
    }
}

fn descriptors(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    let stats = details.sets.processes.get(&id);
    stats.and_then(|stats| stats.file_descriptors).into_iter().for_each(|count| emit("", Number::integer(count)));
}

fn sockets(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    let stats = details.sets.processes.get(&id);
    stats.and_then(|stats| stats.sockets).into_iter().for_each(|count| emit("", Number::integer(count)));
}

fn ulimits(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    if let Some(Limit::At(files)) = details.sets.processes.get(&id).and_then(|stats| stats.max_open_files) {
        emit("ulimit=\"max_open_files\"", Number::integer(files));
    }
}

fn scheduling(details: &Details, id: SubjectId, emit: &mut Emit<'_>, number: impl Fn(&Scheduling) -> Number) {
    details.sets.scheduling.get(&id).into_iter().for_each(|times| emit("", number(times)));
}

fn tasks_state(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    let Some(tasks) = details.sets.tasks.get(&id) else { return };
    // `iowaiting` is not told by any file of a task: those tasks are among the uninterruptible.
    for (labels, count) in [
        ("state=\"running\"", tasks.running),
        ("state=\"sleeping\"", tasks.sleeping),
        ("state=\"stopped\"", tasks.stopped),
        ("state=\"uninterruptible\"", tasks.uninterruptible),
    ] {
        emit(labels, Number::integer(count));
    }
}

fn load(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    details.sets.tasks.get(&id).into_iter().for_each(|tasks| emit("", thousandths(tasks.load)));
}

fn uninterruptible_load(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    details.sets.tasks.get(&id).into_iter().for_each(|tasks| emit("", thousandths(tasks.uninterruptible_load)));
}

/// cAdvisor's unit of load, in whole thousandths as it has them.
fn thousandths(load: f64) -> Number {
    Number::Float((load * 1_000.0).round())
}

fn tcp(states: Option<TcpStates>, emit: &mut Emit<'_>) {
    let mut text = String::with_capacity(32);
    for (state, count) in states.iter().flat_map(TcpStates::iter) {
        text.clear();
        let _infallible = write!(text, "tcp_state=\"{state}\"");
        emit(&text, Number::integer(count));
    }
}

fn udp(sums: Option<UdpSums>, emit: &mut Emit<'_>) {
    let Some(sums) = sums else { return };
    for (labels, value) in [
        ("udp_state=\"listen\"", sums.sockets),
        ("udp_state=\"dropped\"", sums.drops),
        ("udp_state=\"rxqueued\"", sums.receive_queue_bytes),
        ("udp_state=\"txqueued\"", sums.send_queue_bytes),
    ] {
        emit(labels, Number::integer(value));
    }
}

fn tcp_counters(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    let Some(counters) = details.sets.tcp_counters.get(&id) else { return };
    let mut text = String::with_capacity(48);
    for (name, value) in counters.iter() {
        text.clear();
        let _infallible = write!(text, "tcp_state=\"{name}\"");
        emit(&text, Number::integer(value));
    }
}

fn numa_pages(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    let mut text = String::with_capacity(64);
    for page in details.sets.numa.get(&id).into_iter().flatten() {
        let scope = if page.hierarchy { "hierarchy" } else { "container" };
        let kind = NumaKind::as_str(page.kind);
        text.clear();
        let _infallible = write!(text, "type=\"{kind}\",scope=\"{scope}\",node=\"{}\"", page.node);
        emit(&text, Number::integer(page.pages));
    }
}

fn memory_migrate(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    details.sets.memory_migrate.get(&id).into_iter().for_each(|migrate| emit("", Number::integer(*migrate)));
}

fn referenced(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    details.sets.referenced_bytes.get(&id).into_iter().for_each(|bytes| emit("", Number::integer(*bytes)));
}

fn perf_events(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    for count in details.sets.perf.get(&id).into_iter().flatten() {
        emit(&format!("cpu=\"\",event=\"{}\"", count.event), Number::integer(count.value));
    }
}

fn perf_scaling(details: &Details, id: SubjectId, emit: &mut Emit<'_>) {
    for count in details.sets.perf.get(&id).into_iter().flatten() {
        emit(&format!("cpu=\"\",event=\"{}\"", count.event), Number::Float(count.scaling_ratio));
    }
}

fn cache_use(details: &Details, id: SubjectId, emit: &mut Emit<'_>, value: impl Fn(&CacheUse) -> Option<u64>) {
    for cache in details.sets.cache_use.get(&id).into_iter().flatten() {
        if let Some(value) = value(cache) {
            emit(&format!("node_id=\"{}\"", cache.node), Number::integer(value));
        }
    }
}

/// Nothing before the first reading, and nothing where no set is on.
fn each_if_read(details: &Details, emit: &mut Emit<'_>, units: u64, places: u8) {
    if details.sets.reading.cycles > 0 {
        emit("", Number::Decimal { units, places });
    }
}

fn left_out(details: &Details, emit: &mut Emit<'_>) {
    for ((set, reason), count) in &details.sets.reading.left_out {
        emit(&format!("set=\"{set}\",reason=\"{reason}\""), Number::integer(*count));
    }
}
