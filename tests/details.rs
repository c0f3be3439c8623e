//! What is read off the tick, of real processes and sockets in cgroups and network namespaces of their own.
//!
//! The numbers are exact: each is held against what the test itself made, or against the kernel's file, which is parsed
//! here in another way than the agent does it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod shown;
mod strict_parser;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ringside::discover::identity::identify;
use ringside::discover::{CgroupLayout, Discovery, V1Controller, Workload};
use ringside::kernel::perf;
use ringside::sample::catalogue::Table;
use ringside::sample::details::{
    DetailOptions, DetailPaths, DetailReader, Details, NumaKind, NumaPages, Sets, TcpStates,
};
use ringside::sample::{MachineFacts, NodeSample, Sampler, SamplerOptions, SubjectId, SubjectIds};
use ringside::units::{Limit, UnixNanos};
use ringside::view::prometheus::maxima::Maxima;
use ringside::view::prometheus::{Format, Labels};
use rustix::process::{Pid, Signal, kill_process};
use support::agent::Agent;
use support::cgroups::Cgroups;
use support::exposition::Scrape;
use support::process::{run, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// A container's cgroup below the test's own parent.
fn scope(number: u32) -> String {
    format!("docker-{number:064x}.scope")
}

/// The root and some containers, read by a real sampler.
struct World {
    cgroups: Cgroups,
    sampler: Sampler,
    layout: CgroupLayout,
}

impl World {
    fn new(containers: u32) -> Self {
        let cgroups = Cgroups::make("");
        (0..containers).for_each(|number| cgroups.child(scope(number)));
        let layout = CgroupLayout::detect(Path::new("/sys/fs/cgroup"), Path::new("/proc")).unwrap();
        let mut sampler = Sampler::new(SamplerOptions {
            interval: Duration::from_secs(1),
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            hierarchies: ringside::agent::hierarchies(&layout),
            kept_files: 100,
            skip_idle: false,
            machine: Arc::new(MachineFacts::default()),
            ids: SubjectIds::default(),
            details: Arc::default(),
        })
        .unwrap();
        let paths = (0..containers).map(|number| format!("{}/{}", cgroups.name, scope(number)));
        for path in std::iter::once(String::new()).chain(paths) {
            let identity = identify(path.as_bytes());
            let workload = Arc::new(Workload { identity, inode: 1, metadata: None, created_at: UnixNanos(0) });
            sampler.handle(Discovery::Born { path: path.as_bytes().into(), workload });
        }
        Self { cgroups, sampler, layout }
    }

    fn reader(&self, options: DetailOptions) -> DetailReader {
        let paths = DetailPaths {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            hierarchies: ringside::agent::hierarchies(&self.layout),
            cpuset: self.layout.v1(V1Controller::Cpuset).map(Into::into),
            perf_event: None,
            perf_descriptors: 100,
        };
        DetailReader::new(options, &paths).unwrap()
    }

    /// One tick and one cycle.
    fn read(&mut self, reader: &mut DetailReader) -> (Arc<NodeSample>, Sets) {
        let sample = self.sampler.tick(0, 0);
        let sets = reader.read(&sample, &mut || true).unwrap();
        (sample, sets)
    }

    /// The path of a container as it is shown.
    fn path(&self, number: u32) -> String {
        format!("/{}/{}", self.cgroups.name, scope(number))
    }

    /// The file `name` of a container, in the hierarchy that has it.
    fn cgroup_file(&self, number: u32, name: &str) -> String {
        let folders = self.cgroups.folders(&scope(number));
        folders.iter().find_map(|folder| fs::read_to_string(format!("{folder}/{name}")).ok()).unwrap()
    }
}

fn id_of(sample: &NodeSample, path: &str) -> SubjectId {
    sample.roster.subjects(Table::Cgroup).iter().find(|subject| *subject.name == *path).unwrap().id
}

/// The page that shows `sets` with `sample`.
fn page(sample: &NodeSample, sets: Sets) -> Scrape {
    let mut sample = sample.clone();
    sample.details = Arc::new(Details { sets, ..Details::default() });
    let text = shown::text_with(&sample, Labels::Slim, Format::Text, &Maxima::default());
    strict_parser::parse(&text, false).unwrap();
    Scrape::parse(&text)
}

fn wait_for_program(pid: u32, name: &str) {
    wait_until("the program to begin", SOON, || match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(comm) if comm.trim_end() == name => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn descriptors_sockets_and_the_limit_of_a_container_are_those_of_its_processes() {
    let mut world = World::new(2);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // A number above those that the script opens; every program that begins now inherits it.
    let inherited = rustix::io::fcntl_dupfd_cloexec(&socket, 100).unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let script = "ulimit -S -n 777; exec 8</dev/null 9</dev/null; exec sleep 1000";
    let mut pids = Vec::new();
    for _ in 0..2 {
        pids.push(world.cgroups.run_in(&scope(0), Command::new("sh").args(["-c", script])));
    }
    pids.iter().for_each(|pid| wait_for_program(*pid, "sleep"));
    drop(inherited);
    let (mut all, mut sockets) = (0, 0);
    for pid in &pids {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            all += 1;
            let link = fs::read_link(entry.unwrap().path()).unwrap();
            sockets += u64::from(link.to_string_lossy().starts_with("socket:["));
        }
    }
    assert!(all >= 12 && sockets >= 2, "{all} {sockets}");
    let mut reader = world.reader(DetailOptions { process: true, ..DetailOptions::default() });
    let (sample, sets) = world.read(&mut reader);
    let stats = sets.processes[&id_of(&sample, &world.path(0))];
    assert_eq!((stats.file_descriptors, stats.sockets), (Some(all), Some(sockets)));
    assert_eq!(stats.max_open_files, Some(Limit::At(777)));
    let empty = sets.processes[&id_of(&sample, &world.path(1))];
    assert_eq!((empty.file_descriptors, empty.sockets, empty.max_open_files), (Some(0), Some(0), None));
    let page = page(&sample, sets);
    let path = world.path(0);
    assert_eq!(page.value("container_file_descriptors", &[("id", &path)]), all as f64);
    assert_eq!(page.value("container_sockets", &[("id", &path)]), sockets as f64);
    assert_eq!(page.value("container_ulimits_soft", &[("id", &path), ("ulimit", "max_open_files")]), 777.0);
    assert!(page.has("ringside_detail_left_out_total", &[("set", "process"), ("reason", "denied")]));
}

/// Sockets in a namespace of their own: what is open in it, the test has opened.
struct Sockets {
    _tcp: Vec<TcpStream>,
    _listeners: Vec<TcpListener>,
    _udp: Vec<UdpSocket>,
}

fn open_sockets(namespace: &fs::File) -> Sockets {
    use std::os::fd::AsFd;
    let network = Some(rustix::thread::LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(namespace.as_fd(), network).unwrap();
    run("ip", &["link", "set", "lo", "up"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut tcp = Vec::new();
    for _ in 0..3 {
        tcp.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    }
    // Two are accepted, the third waits; of the first, one end is closed.
    tcp.push(listener.accept().unwrap().0);
    tcp.push(listener.accept().unwrap().0);
    tcp.remove(0);
    let listener6 = TcpListener::bind("[::1]:0").unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&receiver, 4096).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..50 {
        sender.send_to(&[0; 1000], receiver.local_addr().unwrap()).unwrap();
    }
    Sockets { _tcp: tcp, _listeners: vec![listener, listener6], _udp: vec![receiver, sender] }
}

/// The states of `/proc/PID/net/tcp`, by their numbers in the file.
fn states_in_text(pid: u32, name: &str) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap();
    let mut states = BTreeMap::new();
    for line in text.lines().skip(1) {
        *states.entry(line.split_whitespace().nth(3).unwrap().to_owned()).or_default() += 1;
    }
    states
}

fn seen(states: &TcpStates) -> BTreeMap<&'static str, u64> {
    states.iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn sockets_are_counted_once_in_the_namespace_that_they_are_in() {
    let mut world = World::new(1);
    let pid = world.cgroups.run_in(&scope(0), Command::new("unshare").args(["-n", "sleep", "1000"]));
    wait_for_program(pid, "sleep");
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let _sockets = std::thread::spawn(move || open_sockets(&namespace)).join().unwrap();
    let options = DetailOptions { tcp: true, udp: true, advtcp: true, ..DetailOptions::default() };
    let mut reader = world.reader(options);
    let (sample, sets) = world.read(&mut reader);
    let id = id_of(&sample, &world.path(0));
    let states = sets.sockets[&id];
    let expected: BTreeMap<&str, u64> = [("established", 4), ("finwait2", 1), ("closewait", 1), ("listen", 1)].into();
    assert_eq!(seen(&states.tcp.unwrap()), expected);
    assert_eq!(seen(&states.tcp6.unwrap()), [("listen", 1)].into());
    let text: BTreeMap<String, u64> =
        [("01", 4), ("05", 1), ("08", 1), ("0A", 1)].map(|(state, count)| (state.to_owned(), count)).into();
    assert_eq!(states_in_text(pid, "tcp"), text, "the kernel's own text says the same");
    let udp = states.udp.unwrap();
    let text = fs::read_to_string(format!("/proc/{pid}/net/udp")).unwrap();
    let column = |number: usize| text.lines().skip(1).map(move |line| line.split_whitespace().nth(number).unwrap());
    let queue = |part: usize| {
        column(4).map(|both| u64::from_str_radix(both.split(':').nth(part).unwrap(), 16).unwrap()).sum::<u64>()
    };
    let drops: u64 = column(12).map(|drops| drops.parse::<u64>().unwrap()).sum();
    assert_eq!((udp.sockets, udp.drops), (2, drops));
    assert_eq!((udp.send_queue_bytes, udp.receive_queue_bytes), (queue(0), queue(1)));
    assert!(drops > 0 && queue(1) > 0, "the small buffer overflowed: {text}");
    assert_eq!(states.udp6.unwrap().sockets, 0);
    let counters: BTreeMap<_, _> = sets.tcp_counters[&id].iter().collect();
    assert_eq!((counters["activeopens"], counters["passiveopens"], counters["currestab"]), (3, 3, 5));
    assert!(counters.len() > 80 && !counters.contains_key("maxconn"), "{counters:?}");
    let path = world.path(0);
    let page = page(&sample, sets);
    let value = |name: &str, label: (&str, &str)| page.value(name, &[("id", &path), label]);
    assert_eq!(value("container_network_tcp_usage_total", ("tcp_state", "established")), 4.0);
    assert_eq!(value("container_network_tcp_usage_total", ("tcp_state", "timewait")), 0.0);
    assert_eq!(value("container_network_udp_usage_total", ("udp_state", "dropped")), drops as f64);
    assert_eq!(value("container_network_advance_tcp_stats_total", ("tcp_state", "activeopens")), 3.0);
    let root = page.find("container_network_tcp_usage_total", &[("id", "/"), ("tcp_state", "listen")]);
    assert_eq!(root.len(), 1, "the node's own sockets are the root's");
}

fn schedstat(pid: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.nth(1).unwrap())
}

#[test]
fn times_of_tasks_do_not_go_back_when_a_task_ends_and_states_are_true() {
    let mut world = World::new(1);
    let busy = world.cgroups.run_in(&scope(0), Command::new("sh").args(["-c", "while :; do :; done"]));
    let idle = world.cgroups.run_in(&scope(0), Command::new("sleep").arg("1000"));
    let stopped = world.cgroups.run_in(&scope(0), Command::new("sleep").arg("1000"));
    wait_for_program(idle, "sleep");
    wait_for_program(stopped, "sleep");
    let pid = |pid: u32| Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid(stopped), Signal::STOP).unwrap();
    let state = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().chars().next().unwrap()
    };
    wait_until("states", SOON, || match (state(idle), state(stopped), schedstat(busy).1) {
        ('S', 'T', 1..) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let options = DetailOptions { sched: true, cpu_load: true, ..DetailOptions::default() };
    let mut reader = world.reader(options);
    let sum = || [busy, idle, stopped].map(schedstat).iter().fold((0, 0), |sum, stat| (sum.0 + stat.0, sum.1 + stat.1));
    let before = sum();
    let (sample, sets) = world.read(&mut reader);
    let after = sum();
    let id = id_of(&sample, &world.path(0));
    let first = sets.scheduling[&id];
    assert!((before.0..=after.0).contains(&first.run_nanos), "{before:?} {first:?} {after:?}");
    assert!((before.1..=after.1).contains(&first.periods), "{before:?} {first:?} {after:?}");
    let tasks = sets.tasks[&id];
    assert_eq!((tasks.running, tasks.sleeping, tasks.stopped, tasks.uninterruptible), (1, 1, 1, 0));
    let shown = page(&sample, sets);
    let path = world.path(0);
    assert_eq!(shown.value("container_tasks_state", &[("id", &path), ("state", "stopped")]), 1.0);
    assert_eq!(shown.value("container_cpu_load_average_10s", &[("id", &path)]), 1000.0);
    world.cgroups.end_processes();
    wait_until("an empty cgroup", SOON, || match world.cgroup_file(0, "cgroup.procs").as_str() {
        "" => Ok(()),
        more => Err(more.to_owned()),
    });
    let (_, sets) = world.read(&mut reader);
    assert_eq!(sets.scheduling[&id], first, "the last known times of those that ended");
    assert_eq!(sets.tasks[&id].running, 0);
}

#[test]
fn memory_by_node_and_migration_are_those_of_the_kernels_files() {
    let mut world = World::new(1);
    let pid = world.cgroups.run_in(&scope(0), Command::new("sleep").arg("1000"));
    wait_for_program(pid, "sleep");
    let options = DetailOptions { memory_numa: true, cpuset: true, cpu_topology: true, ..DetailOptions::default() };
    let mut reader = world.reader(options);
    // Pages may still be charged in batches while it starts.
    let (sample, sets, text) = wait_until("numbers that stand still", SOON, || {
        let before = world.cgroup_file(0, "memory.numa_stat");
        let (sample, sets) = world.read(&mut reader);
        let after = world.cgroup_file(0, "memory.numa_stat");
        if before == after { Ok((sample, sets, after)) } else { Err(after) }
    });
    let pages = &sets.numa[&id_of(&sample, &world.path(0))];
    let (kinds, unit) = if text.starts_with("total=") { (6, 1) } else { (6, 4096) };
    assert!(pages.len() >= kinds, "{pages:?}");
    for NumaPages { kind, hierarchy, node, pages } in pages {
        let v1 = if *hierarchy { "hierarchical_" } else { "" };
        let v2 = text.lines().find(|line| line.starts_with(&format!("{} ", NumaKind::as_str(*kind))));
        let line = text.lines().find(|line| line.starts_with(&format!("{v1}{}=", kind.as_str()))).or(v2).unwrap();
        let cell = line.split_whitespace().find_map(|cell| cell.strip_prefix(&format!("N{node}=")));
        assert_eq!(cell.unwrap().parse::<u64>().unwrap() / unit, *pages, "{line}");
    }
    if let Some(cpuset) = world.layout.v1(V1Controller::Cpuset) {
        let expected: u64 = fs::read_to_string(cpuset.join("cpuset.memory_migrate")).unwrap().trim().parse().unwrap();
        assert_eq!(sets.memory_migrate[&id_of(&sample, "/")], expected);
    }
    let cpus = fs::read_dir("/sys/devices/system/cpu").unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok())
    });
    assert_eq!(sets.topology.thread_siblings.len(), cpus.count());
    let page = page(&sample, sets);
    assert!(page.has("machine_thread_siblings_count", &[("thread_id", "0")]));
    assert!(page.has("container_memory_numa_pages", &[("id", &world.path(0)), ("type", "anon"), ("node", "0")]));
}

#[test]
fn performance_events_of_a_cgroup_grow_with_its_work_only() {
    let mut world = World::new(2);
    let busy = world.cgroups.run_in(&scope(0), Command::new("sh").args(["-c", "while :; do :; done"]));
    wait_for_program(busy, "sh");
    let perf_events = ["task-clock", "page-faults"].map(|name| perf::event(name).unwrap()).to_vec();
    let mut reader = world.reader(DetailOptions { perf_events, ..DetailOptions::default() });
    world.read(&mut reader);
    let (sample, sets) = wait_until("work", SOON, || {
        let (sample, sets) = world.read(&mut reader);
        let counts = sets.perf.get(&id_of(&sample, &world.path(0))).cloned().unwrap_or_default();
        match counts.first() {
            Some(count) if count.value > 10_000_000 => Ok((sample, sets)),
            other => Err(format!("{other:?} {:?}", sets.reading.left_out)),
        }
    });
    let idle = &sets.perf[&id_of(&sample, &world.path(1))];
    assert_eq!(
        idle.iter().map(|count| (count.event, count.value)).collect::<Vec<_>>(),
        [("task-clock", 0), ("page-faults", 0)]
    );
    let path = world.path(0);
    let page = page(&sample, sets);
    assert!(page.value("container_perf_events_total", &[("id", &path), ("event", "task-clock")]) > 1e7);
    assert_eq!(page.value("container_perf_events_scaling_ratio", &[("id", &path), ("event", "task-clock")]), 1.0);
}

#[test]
fn marks_of_touched_memory_are_cleared_only_when_that_is_asked_for() {
    let mut world = World::new(1);
    let pid = world.cgroups.run_in(&scope(0), Command::new("sleep").arg("1000"));
    wait_for_program(pid, "sleep");
    let asleep = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('S')
    };
    wait_until("sleep", SOON, || if asleep() { Ok(()) } else { Err("running".to_owned()) });
    let referenced = || {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Referenced:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    };
    let options =
        |referenced_reset| DetailOptions { referenced_memory: true, referenced_reset, ..DetailOptions::default() };
    let mut reader = world.reader(options(0));
    let (sample, first) = world.read(&mut reader);
    let id = id_of(&sample, &world.path(0));
    let (_, second) = world.read(&mut reader);
    assert_eq!((first.referenced_bytes[&id], second.referenced_bytes[&id]), (referenced(), referenced()));
    assert!(referenced() > 0);
    let mut reader = world.reader(options(2));
    let (_, untouched) = world.read(&mut reader);
    assert_eq!(untouched.referenced_bytes[&id], referenced());
    let (_, cleared) = world.read(&mut reader);
    assert_eq!(cleared.referenced_bytes[&id], first.referenced_bytes[&id], "it is read before it is cleared");
    assert!(referenced() < first.referenced_bytes[&id]);
}

#[test]
fn the_agent_shows_what_it_read_off_the_tick() {
    let mut cgroups = Cgroups::make("");
    cgroups.child(scope(0));
    let pid = cgroups.run_in(&scope(0), Command::new("sleep").arg("1000"));
    wait_for_program(pid, "sleep");
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let none = ["--docker-socket", "none", "--podman-socket", "none", "--cri-socket", "none"];
    let agent = Agent::start(none.into_iter().chain(["--detail-interval", "1s", "--perf-events", "page-faults"]));
    let path = format!("/{}/{}", cgroups.name, scope(0));
    let id = [("id", path.as_str())];
    let scrape = agent.scrape_until("what is read off the tick", |scrape| {
        scrape.has("container_file_descriptors", &id) && scrape.has("container_perf_events_total", &id)
    });
    assert_eq!(scrape.value("container_file_descriptors", &id), open as f64);
    assert!(scrape.value("ringside_detail_cpu_seconds_total", &[]) > 0.0);
    assert!(!scrape.has("container_network_tcp_usage_total", &[]), "a set that nobody asked for is not read");
}
