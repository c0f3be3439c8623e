//! The threads that run the collectors: one for those of every second, one for the slow ones.
//!
//! In: the collectors, a [`Source`]. Out: parts, put into the [`DetailsCell`] with what each collector cost. Two threads,
//! because a file of `/sys` may wait for a driver, and the sockets' counters must not wait with it. Next: the tick takes
//! the parts along, and `view/` shows them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::source::Source;
use super::{COLLECTORS, Collector, DetailRow, Found, NodeDetail, Pace, Part};
use crate::sample::clock;
use crate::sample::details::DetailsCell;

/// A slow collector rests for at least this many times the CPU time that it took.
const REST: u64 = 200;

/// How long the threads sleep at most, so that they end soon after they are told to.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Details that are kept for a while after they were replaced: more than samples may hold, so that the last hand on one,
/// which has to free it, is seldom the tick's.
const KEPT: usize = 8;

/// Where the files are.
#[derive(Debug, Clone)]
pub struct NodeRoots {
    /// Where `/proc` is.
    pub procfs: PathBuf,
    /// Where `/sys` is.
    pub sysfs: PathBuf,
}

/// The running threads; they end soon after this is dropped, unless the kernel holds one.
#[derive(Debug)]
pub struct NodeDetails {
    stop: Arc<AtomicBool>,
}

impl NodeDetails {
    /// Starts reading into `cell`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(roots: &NodeRoots, cell: &Arc<DetailsCell>) -> std::io::Result<Self> {
        let this = Self { stop: Arc::default() };
        let published = Arc::new(Published { cell: Arc::clone(cell), last: Mutex::default() });
        for (name, fast) in [("ringside-node", true), ("ringside-node-2", false)] {
            let source = Source::new(roots.procfs.clone(), roots.sysfs.clone());
            let (stop, published) = (Arc::clone(&this.stop), Arc::clone(&published));
            std::thread::Builder::new().name(name.into()).spawn(move || {
                let mut round = Round::new(source, |collector| (collector.pace == Pace::Second) == fast);
                while !stop.load(Ordering::Relaxed) {
                    let sleep = round.run(&published);
                    std::thread::sleep(sleep.min(LONGEST_SLEEP));
                }
            })?;
        }
        Ok(this)
    }

    /// Runs every collector once, on this thread: for a look at a tree of files.
    #[must_use]
    pub fn read_once(roots: &NodeRoots) -> Arc<NodeDetail> {
        let published = Published::default();
        Round::new(Source::new(roots.procfs.clone(), roots.sysfs.clone()), |_| true).run(&published);
        Arc::clone(&published.cell.get().node)
    }

    /// Names of the collectors, and a way to run each alone: for measurements.
    pub fn each(roots: &NodeRoots) -> impl Iterator<Item = (&'static str, impl FnMut() -> usize)> {
        COLLECTORS.iter().map(|collector| {
            let mut source = Source::new(roots.procfs.clone(), roots.sysfs.clone());
            let run =
                move || (collector.read)(&mut source).map_or(0, |found| found.iter().map(|(_, rows)| rows.len()).sum());
            (collector.name, run)
        })
    }
}

impl Drop for NodeDetails {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What both threads have read, put together outside the cell's lock: the tick takes that one.
#[derive(Debug, Default)]
struct Published {
    cell: Arc<DetailsCell>,
    last: Mutex<VecDeque<Arc<NodeDetail>>>,
}

impl Published {
    fn add(&self, found: Found, ran: Vec<DetailRow>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.back().cloned().unwrap_or_default();
        let after = Arc::new(merged(&before, found, ran));
        self.cell.update(|details| details.node = Arc::clone(&after));
        last.push_back(after);
        if last.len() > KEPT {
            last.pop_front();
        }
    }
}

/// A collector, when it is due, and how often it has run.
struct Planned {
    collector: &'static Collector,
    due_nanos: u64,
    runs: u64,
}

struct Round {
    source: Source,
    planned: Vec<Planned>,
}

impl Round {
    fn new(source: Source, wanted: impl Fn(&Collector) -> bool) -> Self {
        let planned = COLLECTORS
            .iter()
            .filter(|collector| wanted(collector))
            .map(|collector| Planned { collector, due_nanos: 0, runs: 0 })
            .collect();
        Self { source, planned }
    }

    /// Runs what is due and hands it on; says how long to sleep.
    fn run(&mut self, published: &Published) -> Duration {
        let mut found: Found = Vec::new();
        let mut ran = Vec::new();
        for planned in &mut self.planned {
            let began = clock::monotonic();
            if began.0 < planned.due_nanos {
                continue;
            }
            let cpu_before = clock::thread_cpu();
            let result = (planned.collector.read)(&mut self.source);
            let took_nanos = clock::monotonic().since(began);
            let cpu_nanos = clock::thread_cpu().saturating_sub(cpu_before);
            planned.runs += 1;
            let period = u64::try_from(planned.collector.pace.period().as_nanos()).unwrap_or(u64::MAX);
            let rest = if planned.collector.pace == Pace::Second { period } else { cpu_nanos.saturating_mul(REST) };
            planned.due_nanos = began.0.saturating_add(period.max(rest));
            ran.push(outcome(planned, result.is_ok(), took_nanos));
            // When a source goes away its rows go too: they would only look alive.
            let emptied = || planned.collector.parts.iter().map(|part| (*part, Vec::new())).collect();
            found.extend(result.unwrap_or_else(|_| emptied()));
        }
        if !ran.is_empty() {
            published.add(found, ran);
        }
        let next = self.planned.iter().map(|planned| planned.due_nanos).min().unwrap_or(u64::MAX);
        Duration::from_nanos(next.saturating_sub(clock::monotonic().0))
    }
}

fn outcome(planned: &Planned, success: bool, took_nanos: u64) -> DetailRow {
    let mut row = DetailRow::default().with("collector", planned.collector.name);
    row.put("success", Some(u64::from(success)));
    row.put("duration_nanos", Some(took_nanos));
    row.put("runs", Some(planned.runs));
    row
}

/// `before` with the new parts, and the new outcomes in the place of their collectors' old ones.
fn merged(before: &NodeDetail, found: Found, ran: Vec<DetailRow>) -> NodeDetail {
    let mut after = before.clone();
    for (part, rows) in found {
        after.set(part, rows);
    }
    let mut outcomes = before.rows(Part::Collectors).to_vec();
    for row in ran {
        match outcomes.iter_mut().find(|old| old.labels == row.labels) {
            Some(old) => *old = row,
            None => outcomes.push(row),
        }
    }
    // In the order of the collectors, whichever thread was the first to tell.
    let told = |row: &DetailRow| row.labels.first().map(|(_, name)| name.clone());
    outcomes.sort_by_key(|row| {
        let name = told(row);
        COLLECTORS.iter().position(|collector| name.as_deref() == Some(collector.name))
    });
    after.set(Part::Collectors, outcomes);
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::details::node::DetailValue;

    #[test]
    fn outcomes_stand_in_the_order_of_the_collectors_whichever_thread_was_first() {
        let row = |collector: &Collector| DetailRow::default().with("collector", collector.name);
        let (first, last) = (row(&COLLECTORS[0]), row(COLLECTORS.last().unwrap()));
        let detail = merged(&NodeDetail::default(), Found::new(), vec![last.clone()]);
        let detail = merged(&detail, Found::new(), vec![first.clone()]);
        assert_eq!(detail.rows(Part::Collectors), [first, last]);
    }

    fn roots(folder: &std::path::Path) -> NodeRoots {
        NodeRoots { procfs: folder.join("proc"), sysfs: folder.join("sys") }
    }

    #[test]
    fn a_collector_whose_file_goes_away_fails_and_shows_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("proc/sys/fs")).unwrap();
        let file = folder.path().join("proc/sys/fs/file-nr");
        std::fs::write(&file, "7\t0\t9\n").unwrap();
        let roots = roots(folder.path());
        let filefd = |collector: &Collector| collector.name == "filefd";
        let mut round = Round::new(Source::new(roots.procfs, roots.sysfs), filefd);
        let published = Published::default();
        let cell = Arc::clone(&published.cell);
        round.run(&published);
        let first = Arc::clone(&cell.get().node);
        assert_eq!(first.rows(Part::Filefd)[0].value("allocated"), Some(DetailValue::Integer(7)));
        let outcome = |detail: &NodeDetail, key| detail.rows(Part::Collectors)[0].value(key);
        assert_eq!(outcome(&first, "success"), Some(DetailValue::Integer(1)));

        std::fs::remove_file(&file).unwrap();
        round.run(&published);
        assert!(!cell.get().node.rows(Part::Filefd).is_empty(), "it is not due yet");
        round.planned[0].due_nanos = 0;
        assert!(round.run(&published) <= Pace::Second.period());
        let last = Arc::clone(&cell.get().node);
        assert!(last.rows(Part::Filefd).is_empty());
        assert_eq!(last.rows(Part::Collectors).len(), 1);
        assert_eq!(outcome(&last, "success"), Some(DetailValue::Integer(0)));
        assert_eq!(outcome(&last, "runs"), Some(DetailValue::Integer(2)));
    }

    #[test]
    fn two_threads_fill_one_detail_and_neither_takes_the_others_parts_away() {
        let cell = Arc::new(DetailsCell::default());
        let roots = NodeRoots { procfs: "/proc".into(), sysfs: "/sys".into() };
        let running = NodeDetails::start(&roots, &cell).unwrap();
        let all = |detail: &NodeDetail| detail.rows(Part::Collectors).len() == COLLECTORS.len();
        let began = std::time::Instant::now();
        while !all(&cell.get().node) && began.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(running);
        let detail = Arc::clone(&cell.get().node);
        assert!(all(&detail), "{:?}", detail.rows(Part::Collectors));
        assert!(!detail.rows(Part::Sockstat).is_empty() && !detail.rows(Part::Interface).is_empty());
    }

    #[test]
    fn garbage_in_every_file_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "proc/1/net/dev",
            "proc/1/net/sockstat",
            "proc/1/net/sockstat6",
            "proc/1/net/netstat",
            "proc/1/net/snmp",
            "proc/1/net/snmp6",
            "proc/1/net/softnet_stat",
            "proc/1/net/arp",
            "proc/1/net/udp",
            "proc/1/net/stat/nf_conntrack",
            "proc/sys/net/netfilter/nf_conntrack_count",
            "proc/sys/kernel/random/entropy_avail",
            "proc/sys/fs/file-nr",
            "proc/schedstat",
            "proc/diskstats",
            "sys/class/net/eth0/mtu",
            "sys/class/net/eth0/ifalias",
            "sys/class/net/bonding_masters",
            "sys/class/dmi/id/bios_date",
            "sys/class/thermal/thermal_zone0/temp",
            "sys/class/thermal/thermal_zonex/temp",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
            "sys/devices/system/edac/mc/mc0/ce_count",
            "sys/devices/system/clocksource/clocksource0/available_clocksource",
            "sys/fs/selinux/enforce",
            "etc/localtime",
            "etc/os-release",
            "etc/selinux/config",
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"TZif2\xff\xfe\0 99999999999999999999 -1\n: \n=x\nTcp: \"\\\n").unwrap();
        }
        let detail = NodeDetails::read_once(&roots(folder.path()));
        assert_eq!(detail.rows(Part::Collectors).len(), COLLECTORS.len());
        assert_eq!(detail.rows(Part::Interface).len(), 1);
        assert_eq!(detail.rows(Part::Interface)[0].value("mtu"), None);
        assert_eq!(detail.rows(Part::ThermalZone).len(), 1);
    }
}
