//! The thread `ringside-detail`: reads the sets that are on, off the tick and at its own pace.
//!
//! In: the newest sample, for who is there. Out: [`Sets`], put into the [`DetailsCell`] at the end of each cycle. It keeps
//! below a hundredth of a core: after each cgroup it waits as long as that takes, so that a cycle on a big machine is longer
//! than the interval. It holds no lock while it reads. Next: the tick takes along what is in the cell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::numa::NumaReader;
use super::perf::PerfReader;
use super::processes::ProcessReader;
use super::resctrl::ResctrlReader;
use super::sockets::Namespace;
use super::target::{Files, Target};
use super::tasks::TaskReader;
use super::{DetailOptions, DetailReading, DetailsCell, Sets, Topology, referenced};
use crate::kernel::KernelDir;
use crate::sample::catalogue::{CgroupColumn, Table};
use crate::sample::machine::parse_cpu_list;
use crate::sample::{CgroupKind, Hierarchies, NodeSample, SampleError, SubjectId};
use crate::units::ErrorClass;

/// What the machine is built of hardly ever changes; modules, memory and huge pages may.
const TOPOLOGY_EVERY: Duration = Duration::from_secs(300);

/// CPU time that a cycle may take at once, before it begins to wait.
const BURST_USEC: u64 = 5_000;
/// One microsecond of work is paid for with so many of time.
const PACE: u64 = 100;
/// The cell has no sample in the agent's first moments.
const FIRST_SAMPLE: Duration = Duration::from_millis(200);

/// Where things are.
#[derive(Debug, Clone, Default)]
pub struct DetailPaths {
    /// Where `/proc` is.
    pub procfs: PathBuf,
    /// Where `/sys` is.
    pub sysfs: PathBuf,
    /// Where the cgroup hierarchies are.
    pub hierarchies: Hierarchies,
    /// v1 `cpuset`.
    pub cpuset: Option<PathBuf>,
    /// v1 `perf_event`; without it the v2 tree names cgroups to perf.
    pub perf_event: Option<PathBuf>,
    /// Descriptors that performance counters may hold.
    pub perf_descriptors: usize,
}

/// Reads the sets. [`DetailReader::read`] is one cycle.
#[derive(Debug)]
pub struct DetailReader {
    options: DetailOptions,
    sysfs: PathBuf,
    files: Files,
    processes: ProcessReader,
    tasks: TaskReader,
    numa: NumaReader,
    resctrl: ResctrlReader,
    perf: PerfReader,
    topology: Option<(Instant, Arc<Topology>)>,
    reading: DetailReading,
}

/// The cgroups of a sample: in order, and by path.
struct Roster<'a> {
    targets: Vec<Target<'a>>,
    by_path: BTreeMap<&'a str, usize>,
}

impl<'a> Roster<'a> {
    fn of(sample: &'a NodeSample) -> Self {
        let targets: Vec<Target<'a>> = sample
            .iter(Table::Cgroup)
            .map(|(subject, row)| {
                Target::of(subject, row.value(CgroupColumn::CgroupNrDescendants).map(|below| below == 0))
            })
            .collect();
        let by_path = targets.iter().enumerate().map(|(place, target)| (target.path, place)).collect();
        Self { targets, by_path }
    }

    /// The cgroups below `target`.
    fn below(&self, target: &Target<'a>) -> impl Iterator<Item = &Target<'a>> {
        let prefix = format!("{}/", target.path);
        let places: Vec<usize> = self
            .by_path
            .range::<str, _>((std::ops::Bound::Excluded(prefix.as_str()), std::ops::Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(&prefix))
            .map(|(_, place)| *place)
            .collect();
        places.into_iter().filter_map(|place| self.targets.get(place))
    }
}

impl DetailReader {
    /// Opens the roots.
    ///
    /// # Errors
    /// [`SampleError`] when procfs is not there.
    pub fn new(options: DetailOptions, paths: &DetailPaths) -> Result<Self, SampleError> {
        let proc = KernelDir::open_root(&paths.procfs)
            .map_err(|error| SampleError::Root { path: paths.procfs.clone(), class: error.class() })?;
        let own = KernelDir::open_root(&paths.procfs)
            .map_err(|error| SampleError::Root { path: paths.procfs.clone(), class: error.class() })?;
        let Hierarchies { v2, unified_only, cpu, pids, memory, .. } = &paths.hierarchies;
        let open = |path: &Option<PathBuf>| path.as_deref().and_then(|path| KernelDir::open_root(path).ok());
        // In a hybrid, runtimes put processes into the controllers' trees, and systemd into its own.
        let lists = if *unified_only { vec![cpu, pids, memory, v2] } else { vec![v2, cpu, pids, memory] };
        let cpus = std::fs::read_to_string(paths.sysfs.join("devices/system/cpu/online")).unwrap_or_default();
        let perf_root = paths.perf_event.clone().or_else(|| v2.clone());
        let memory_v2 = if *unified_only { None } else { open(v2) };
        let mut files = Files::new(proc, lists.into_iter().filter_map(open).collect());
        // A count that is there from the beginning can be watched.
        files.left_out.extend(options.names().map(|set| ((set, ErrorClass::Denied.as_str()), 0)));
        Ok(Self {
            sysfs: paths.sysfs.clone(),
            processes: ProcessReader::new(&own),
            files,
            tasks: TaskReader::default(),
            numa: NumaReader::new(
                open(memory),
                memory_v2,
                open(&paths.cpuset),
                u64::try_from(rustix::param::page_size()).unwrap_or(0),
            ),
            resctrl: ResctrlReader::new(paths.sysfs.join("fs/resctrl")),
            perf: PerfReader::new(
                perf_root,
                options.perf_events.clone(),
                parse_cpu_list(&cpus).into_iter().collect(),
                paths.perf_descriptors,
            ),
            topology: None,
            reading: DetailReading::default(),
            options,
        })
    }

    /// Reads all sets once. `go_on` is asked after each cgroup, and may wait; when it says no, nothing comes of the cycle.
    pub fn read(&mut self, sample: &NodeSample, go_on: &mut dyn FnMut() -> bool) -> Option<Sets> {
        let began = Instant::now();
        let began_cpu = thread_cpu_usec();
        let roster = Roster::of(sample);
        let here: BTreeSet<SubjectId> = roster.targets.iter().map(Target::id).collect();
        self.tasks.keep(|id| here.contains(&id));
        self.perf.keep(|id| here.contains(&id));
        self.processes.begin_cycle();
        if self.options.resctrl {
            self.resctrl.begin_cycle(&mut self.files);
        }
        let mut cycle = Cycle::default();
        for target in &roster.targets {
            self.read_cgroup(target, &roster, &mut cycle);
            if !go_on() {
                return None;
            }
        }
        if self.options.tcp || self.options.udp || self.options.advtcp {
            let owners = sample.roster.subjects(Table::Interface).iter().map(|subject| subject.owner);
            for owner in owners.collect::<BTreeSet<Option<SubjectId>>>() {
                self.read_namespace(owner, &roster, &mut cycle);
                if !go_on() {
                    return None;
                }
            }
        }
        let topology = self.topology();
        self.reading.cycles = self.reading.cycles.saturating_add(1);
        self.reading.last_cycle_usec = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let cpu_usec = thread_cpu_usec().saturating_sub(began_cpu);
        self.reading.cpu_usec = self.reading.cpu_usec.saturating_add(cpu_usec);
        self.reading.left_out.clone_from(&self.files.left_out);
        Some(cycle.finish(topology, Arc::new(self.reading.clone())))
    }

    fn read_cgroup(&mut self, target: &Target<'_>, roster: &Roster<'_>, cycle: &mut Cycle) {
        let Self { options, files, .. } = self;
        let id = target.id();
        if options.process || options.referenced_memory {
            match whole(target, roster, files, Files::processes) {
                Ok(processes) => {
                    if options.process {
                        cycle.processes.insert(id, self.processes.read(target, &processes, files));
                    }
                    if options.referenced_memory {
                        let every = options.referenced_reset;
                        let clear = every > 0 && self.reading.cycles.saturating_add(1).is_multiple_of(every);
                        let bytes = referenced::read(target, &processes, clear, files);
                        cycle.referenced_bytes.extend(bytes.map(|bytes| (id, bytes)));
                    }
                }
                Err(class) => files.leave_out_for("process", class),
            }
        }
        if options.sched || options.cpu_load || options.resctrl {
            match whole(target, roster, files, Files::threads) {
                Ok(threads) => {
                    if options.sched {
                        let times = self.tasks.scheduling(target, &threads, files);
                        cycle.scheduling.extend(times.map(|times| (id, times)));
                    }
                    if options.cpu_load {
                        let states = self.tasks.states(target, &threads, files, Instant::now());
                        cycle.tasks.extend(states.map(|states| (id, states)));
                    }
                    if options.resctrl {
                        let caches = self.resctrl.read(target, &threads, &mut files.buffer);
                        cycle.cache_use.extend((!caches.is_empty()).then_some((id, caches)));
                    }
                }
                Err(class) => files.leave_out_for("sched", class),
            }
        }
        if options.memory_numa {
            let pages = self.numa.pages(target, files);
            cycle.numa.extend((!pages.is_empty()).then_some((id, pages)));
        }
        if options.cpuset {
            cycle.memory_migrate.extend(self.numa.memory_migrate(target, files).map(|migrate| (id, migrate)));
        }
        if !options.perf_events.is_empty() {
            let counts = self.perf.read(target, files);
            cycle.perf.extend((!counts.is_empty()).then_some((id, counts)));
        }
    }

    /// The sockets of the namespace that is shown under `owner`; without an owner the node's, shown under the root.
    fn read_namespace(&mut self, owner: Option<SubjectId>, roster: &Roster<'_>, cycle: &mut Cycle) {
        let node = Namespace::of(&self.files.proc, 1).ok();
        let (id, namespace) = match owner {
            None => {
                let root = roster.targets.iter().find(|target| target.kind == CgroupKind::Root);
                (root.map(Target::id), node)
            }
            Some(owner) => {
                let target = roster.targets.iter().find(|target| target.id() == owner);
                let own = target.and_then(|target| self.namespace_of(target, roster));
                // A process that joined the node's network is no way to the owner's.
                (Some(owner), own.filter(|own| node.as_ref().is_none_or(|node| node.inode != own.inode)))
            }
        };
        let (Some(id), Some(namespace)) = (id, namespace) else { return };
        if self.options.tcp || self.options.udp {
            let states = namespace.sockets(self.options.tcp, self.options.udp, &mut self.files);
            cycle.sockets.insert(id, states);
        }
        if self.options.advtcp {
            cycle.tcp_counters.extend(namespace.counters(&mut self.files).map(|counters| (id, counters)));
        }
    }

    /// The namespace of the first process of a cgroup or of one below it.
    fn namespace_of(&mut self, target: &Target<'_>, roster: &Roster<'_>) -> Option<Namespace> {
        let files = &mut self.files;
        std::iter::once(target).chain(roster.below(target)).find_map(|target| {
            let processes = files.processes(target).ok()?;
            Namespace::of(&files.proc, *processes.first()?).ok()
        })
    }

    fn topology(&mut self) -> Arc<Topology> {
        if let Some((at, topology)) = &self.topology
            && at.elapsed() < TOPOLOGY_EVERY
        {
            return Arc::clone(topology);
        }
        let topology = Arc::new(Topology::read(&self.sysfs, self.options.cpu_topology));
        self.topology = Some((Instant::now(), Arc::clone(&topology)));
        topology
    }
}

/// The members of a cgroup itself. A container without any of its own has them in cgroups below, where its runtime or the
/// init system inside it put them: then those are its members.
fn whole(
    target: &Target<'_>,
    roster: &Roster<'_>,
    files: &mut Files,
    list: impl Fn(&mut Files, &Target<'_>) -> Result<Vec<u32>, ErrorClass>,
) -> Result<Vec<u32>, ErrorClass> {
    let own = list(files, target)?;
    if !own.is_empty() || target.kind != CgroupKind::Container {
        return Ok(own);
    }
    let mut members = Vec::new();
    for below in roster.below(target) {
        match list(files, below) {
            Ok(more) => members.extend(more),
            Err(ErrorClass::Gone) => {}
            Err(class) => return Err(class),
        }
    }
    Ok(members)
}

/// The maps of one cycle, before they are shared.
#[derive(Default)]
struct Cycle {
    processes: BTreeMap<SubjectId, super::ProcessStats>,
    scheduling: BTreeMap<SubjectId, super::Scheduling>,
    tasks: BTreeMap<SubjectId, super::TaskStates>,
    sockets: BTreeMap<SubjectId, super::SocketStates>,
    tcp_counters: BTreeMap<SubjectId, super::TcpCounters>,
    numa: BTreeMap<SubjectId, Vec<super::NumaPages>>,
    memory_migrate: BTreeMap<SubjectId, u64>,
    cache_use: BTreeMap<SubjectId, Vec<super::CacheUse>>,
    perf: BTreeMap<SubjectId, Vec<super::PerfCount>>,
    referenced_bytes: BTreeMap<SubjectId, u64>,
}

impl Cycle {
    fn finish(self, topology: Arc<Topology>, reading: Arc<DetailReading>) -> Sets {
        Sets {
            processes: Arc::new(self.processes),
            scheduling: Arc::new(self.scheduling),
            tasks: Arc::new(self.tasks),
            sockets: Arc::new(self.sockets),
            tcp_counters: Arc::new(self.tcp_counters),
            numa: Arc::new(self.numa),
            memory_migrate: Arc::new(self.memory_migrate),
            topology,
            cache_use: Arc::new(self.cache_use),
            perf: Arc::new(self.perf),
            referenced_bytes: Arc::new(self.referenced_bytes),
            reading,
        }
    }
}

/// The thread; dropping it stops it and waits for its end.
#[derive(Debug)]
pub struct DetailThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for DetailThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has told of itself.
            let _ended = thread.join();
        }
    }
}

/// Starts the thread: one cycle per `interval`, the first as soon as `newest` has a sample.
///
/// # Errors
/// [`SampleError`] when procfs is not there or no thread can be started.
pub fn start(
    options: DetailOptions,
    paths: &DetailPaths,
    interval: Duration,
    newest: impl Fn() -> Option<Arc<NodeSample>> + Send + 'static,
    cell: Arc<DetailsCell>,
) -> Result<DetailThread, SampleError> {
    let mut reader = DetailReader::new(options, paths)?;
    let (stop, stopped) = channel::<()>();
    let run = move || {
        loop {
            let began = Instant::now();
            let Some(sample) = newest() else {
                if !wait(&stopped, FIRST_SAMPLE) {
                    return;
                }
                continue;
            };
            let mut pace = Pace::begin();
            let Some(sets) = reader.read(&sample, &mut || wait(&stopped, pace.owed())) else { return };
            drop(sample);
            cell.update(|details| details.sets = sets);
            if !wait(&stopped, interval.saturating_sub(began.elapsed())) {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("ringside-detail".into()).spawn(run)?;
    Ok(DetailThread { stop: Some(stop), thread: Some(thread) })
}

/// Waits; `false` when the thread is to end.
fn wait(stopped: &Receiver<()>, time: Duration) -> bool {
    if time.is_zero() {
        return !matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
    }
    matches!(stopped.recv_timeout(time), Err(RecvTimeoutError::Timeout) | Ok(()))
}

/// How long to wait for what was used.
#[derive(Debug)]
struct Pace {
    began: Instant,
    began_cpu_usec: u64,
}

impl Pace {
    fn begin() -> Self {
        Self { began: Instant::now(), began_cpu_usec: thread_cpu_usec() }
    }

    fn owed(&mut self) -> Duration {
        let used = thread_cpu_usec().saturating_sub(self.began_cpu_usec);
        owed(used, self.began.elapsed())
    }
}

/// Time still to be waited after `used_usec` of work in `elapsed`.
fn owed(used_usec: u64, elapsed: Duration) -> Duration {
    let paid = used_usec.saturating_sub(BURST_USEC).saturating_mul(PACE);
    Duration::from_micros(paid).saturating_sub(elapsed)
}

/// CPU time of this thread.
fn thread_cpu_usec() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn work_beyond_the_burst_is_paid_for_with_a_hundred_times_its_time() {
        let ms = Duration::from_millis;
        assert_eq!(owed(5_000, ms(0)), ms(0));
        assert_eq!(owed(6_000, ms(0)), ms(100));
        assert_eq!(owed(6_000, ms(30)), ms(70));
        assert_eq!(owed(6_000, ms(300)), ms(0));
    }

    #[test]
    fn the_thread_ends_when_it_is_dropped() {
        let paths = DetailPaths { procfs: Path::new("/proc").to_owned(), ..DetailPaths::default() };
        let cell = Arc::new(DetailsCell::default());
        let options = DetailOptions { process: true, ..DetailOptions::default() };
        let thread = start(options, &paths, Duration::from_secs(600), || None, cell).unwrap();
        drop(thread);
    }

    #[test]
    fn options_without_a_set_need_no_thread() {
        assert!(!DetailOptions { referenced_reset: 5, ..DetailOptions::default() }.any());
        assert!(DetailOptions { udp: true, ..DetailOptions::default() }.any());
    }
}
