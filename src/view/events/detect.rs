//! Samples → events.
//!
//! In: the newest sample, tick after tick, and the ring for what led to a kill. Out: drafts of events, in the order in which
//! they are told. What is there at the first tick is not news. A container is told of once it has a name, or after some
//! seconds without one. It keeps a few counters for each container and nothing of a sample. Next: [`log`](super::log).

use std::collections::HashMap;
use std::sync::Arc;

use super::agent::AgentWatch;
use super::endings::{Ended, Ending, Endings};
use super::event::{Draft, Figure, Kind, Number, Severity, Who};
use super::last_seconds;
use super::window::{Edge, Reading, Share, Window};
use crate::sample::catalogue::{CgroupColumn as C, Table};
use crate::sample::row::RowRef;
use crate::sample::{CgroupKind, NodeSample, Subject, SubjectId, Tallies, Tally, TallyKey, Victim};
use crate::store::Store;
use crate::units::{MonotonicNanos, UnixNanos, printable};

/// How long a new container waits for its name.
const NAMELESS_NANOS: u64 = 6_000_000_000;

/// How often the ring file's state is asked for.
const DISK_EVERY_NANOS: u64 = 5_000_000_000;

/// One cgroup that is watched.
#[derive(Debug)]
struct Watched {
    subject: Arc<Subject>,
    who: Arc<Who>,
    key: Option<TallyKey>,
    /// It was told of, or was there before anybody looked.
    told: bool,
    /// It was there at the first tick.
    old: bool,
    first_seen: MonotonicNanos,
    window: Window,
    /// OOM kills that its own file counts.
    oom_kills: Option<u64>,
    /// Number of the last look that found it.
    look: u64,
}

/// What was told of under one key.
#[derive(Debug, Clone, Default)]
struct Counted {
    oom_kills: u64,
    restarts: u64,
    victim: Option<Arc<Victim>>,
    /// The cgroup that was seen last under this key.
    subject: Option<SubjectId>,
    who: Option<Arc<Who>>,
}

/// Compares samples.
#[derive(Debug, Default)]
pub struct Detector {
    looks: u64,
    generation: Option<u64>,
    watched: HashMap<SubjectId, Watched>,
    tallies: Option<Arc<Tallies>>,
    counted: HashMap<TallyKey, Counted>,
    endings: Endings,
    node: Window,
    agent: AgentWatch,
    disk_at: Option<MonotonicNanos>,
}

fn is_container(subject: &Subject) -> bool {
    let workload = subject.workload.as_deref();
    workload.is_some_and(|one| one.kind() == CgroupKind::Container && one.identity.outer_container.is_none())
}

fn is_watched(subject: &Subject) -> bool {
    is_container(subject) || subject.workload.as_deref().is_some_and(|one| one.kind() == CgroupKind::Service)
}

impl Detector {
    /// What is new in the newest sample.
    pub fn look(&mut self, store: &Store, sample: &NodeSample) -> Vec<Draft> {
        let first = self.looks == 0;
        self.looks += 1;
        let mut drafts = Vec::new();
        if self.generation != Some(sample.roster.generation) {
            self.generation = Some(sample.roster.generation);
            self.follow_roster(sample, first, &mut drafts);
        }
        self.announce(sample, &mut drafts);
        self.rows(store, sample, &mut drafts);
        if self.tallies.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &sample.tallies)) {
            self.tallies = Some(Arc::clone(&sample.tallies));
            self.counts(store, sample, first, &mut drafts);
        }
        for ended in self.endings.due(sample.started_at) {
            drafts.push(exited(&ended));
        }
        self.node(sample, &mut drafts);
        let disk_is_due = self.disk_at.is_none_or(|at| sample.started_at.since(at) >= DISK_EVERY_NANOS);
        let persistence = if disk_is_due { store.stats().persistence } else { None };
        if disk_is_due {
            self.disk_at = Some(sample.started_at);
        }
        drafts.extend(self.agent.look(sample, persistence.as_ref()));
        drafts
    }

    /// Who came, who has a name by now, and who is gone.
    fn follow_roster(&mut self, sample: &NodeSample, first: bool, drafts: &mut Vec<Draft>) {
        for subject in sample.roster.subjects(Table::Cgroup) {
            match self.watched.get_mut(&subject.id) {
                Some(known) => {
                    known.look = self.looks;
                    if !Arc::ptr_eq(&known.subject, subject) {
                        known.subject = Arc::clone(subject);
                        known.who = Arc::new(Who::of(subject));
                        known.key = key_of(subject);
                    }
                }
                None if is_watched(subject) => {
                    let watched = Watched {
                        subject: Arc::clone(subject),
                        who: Arc::new(Who::of(subject)),
                        key: key_of(subject),
                        told: first || !is_container(subject),
                        old: first,
                        first_seen: sample.started_at,
                        window: Window::default(),
                        oom_kills: None,
                        look: self.looks,
                    };
                    self.watched.insert(subject.id, watched);
                }
                None => {}
            }
        }
        let look = self.looks;
        // A sandbox looks like a container until its runtime has described it.
        let turned = |one: &Watched| one.look == look && !is_watched(&one.subject);
        self.watched.retain(|_, one| !turned(one));
        let mut gone: Vec<Watched> = self.watched.extract_if(|_, one| one.look != look).map(|(_, one)| one).collect();
        gone.sort_by_key(|one| one.subject.id);
        for one in gone.into_iter().filter(|one| is_container(&one.subject)) {
            if !one.told {
                tell_of(&one, sample, true, drafts);
            }
            self.endings.gone(Ending {
                subject: one.subject.id,
                started_at: started_at(&one.subject),
                oom_kills: one.oom_kills.unwrap_or(0),
                who: one.who,
                key: one.key,
                wall: sample.wall,
                at: sample.started_at,
            });
        }
    }

    /// Tells of new containers that have a name, or have waited for one for long enough.
    fn announce(&mut self, sample: &NodeSample, drafts: &mut Vec<Draft>) {
        let mut new: Vec<&mut Watched> = self
            .watched
            .values_mut()
            .filter(|one| !one.told)
            .filter(|one| one.key.is_some() || sample.started_at.since(one.first_seen) >= NAMELESS_NANOS)
            .collect();
        new.sort_by_key(|one| one.subject.id);
        for one in new {
            one.told = true;
            tell_of(one, sample, one.key.is_some(), drafts);
        }
    }

    /// What each cgroup's own row says: throttling, pressure, and kills that no tally counts.
    fn rows(&mut self, store: &Store, sample: &NodeSample, drafts: &mut Vec<Draft>) {
        for (subject, row) in sample.iter(Table::Cgroup) {
            let Some(one) = self.watched.get_mut(&subject.id) else { continue };
            for edge in one.window.push(Reading::of(&row), sample.wall) {
                drafts.push(edge_draft(edge, sample.wall, Some(&one.who), Some(&row)));
            }
            let Some(kills) = row.value(C::MemoryEventsOomKill) else { continue };
            let before = one.oom_kills.replace(kills).unwrap_or(if one.old { kills } else { 0 });
            if kills > before && one.key.is_none() {
                let at = Killed { subject: Some(subject.id), killed: kills - before, total: kills, victim: None };
                drafts.push(oom_killed(store, sample.wall, &one.who, &at));
            }
        }
    }

    /// What is counted beyond a single cgroup: kills, restarts, ends.
    fn counts(&mut self, store: &Store, sample: &NodeSample, first: bool, drafts: &mut Vec<Draft>) {
        let entries = &sample.tallies.entries;
        self.counted.retain(|key, _| entries.contains_key(key));
        self.endings.retain(|key| entries.contains_key(key));
        for (key, tally) in entries {
            let of_key = tally.living.iter().filter_map(|id| self.watched.get(id)).next_back();
            let known = self.counted.contains_key(key);
            // Under a key of somebody who was there before anybody looked, what is counted so far is no news.
            let old = !known && (first || of_key.is_some_and(|one| one.old));
            let counted = self.counted.entry(key.clone()).or_insert_with(|| {
                if old { Counted::so_far(tally) } else { Counted { restarts: tally.restarts, ..Counted::default() } }
            });
            self.endings.counted(key, tally, old);
            if let Some(one) = of_key {
                counted.subject = Some(one.subject.id);
                counted.who = Some(Arc::clone(&one.who));
            }
            let who = counted.who.clone().unwrap_or_else(|| Arc::new(Who::named(key)));
            if tally.oom_kills > counted.oom_kills {
                let killed = tally.oom_kills - counted.oom_kills;
                let named = tally.last_victim.clone();
                let victim = named.filter(|named| counted.victim.as_ref() != Some(named));
                let at = Killed { subject: counted.subject, killed, total: tally.oom_kills, victim: victim.as_deref() };
                drafts.push(oom_killed(store, sample.wall, &who, &at));
            }
            if tally.restarts > counted.restarts {
                drafts.push(restarted(sample.wall, &who, tally.restarts));
            }
            (counted.oom_kills, counted.restarts) = (tally.oom_kills, tally.restarts);
            counted.victim = tally.last_victim.clone();
        }
    }

    fn node(&mut self, sample: &NodeSample, drafts: &mut Vec<Draft>) {
        for (_, row) in sample.iter(Table::Node) {
            for edge in self.node.push(Reading::of_node(&row), sample.wall) {
                drafts.push(edge_draft(edge, sample.wall, None, None));
            }
        }
    }
}

impl Counted {
    fn so_far(tally: &Tally) -> Self {
        let (oom_kills, restarts, victim) = (tally.oom_kills, tally.restarts, tally.last_victim.clone());
        Self { oom_kills, restarts, victim, ..Self::default() }
    }
}

fn key_of(subject: &Subject) -> Option<TallyKey> {
    TallyKey::of(subject.workload.as_deref()?.metadata.as_deref()?).filter(|_| is_container(subject))
}

fn started_at(subject: &Subject) -> Option<UnixNanos> {
    subject.workload.as_deref()?.metadata.as_deref()?.started_at
}

/// That a container was created, and that it runs.
fn tell_of(one: &Watched, sample: &NodeSample, runs: bool, drafts: &mut Vec<Draft>) {
    let workload = one.subject.workload.as_deref();
    let metadata = workload.and_then(|workload| workload.metadata.as_deref());
    let told = |time: Option<UnixNanos>| time.filter(|time| time.0 > 0 && *time <= sample.wall);
    let appeared = told(workload.map(|workload| workload.created_at)).unwrap_or(sample.wall);
    let created_at = told(metadata.and_then(|metadata| metadata.created_at)).unwrap_or(appeared);
    let title = one.who.title();
    let draft = |time, kind, message| Draft::new(time, kind, Severity::Info, Some(Arc::clone(&one.who)), message);
    drafts.push(draft(created_at, Kind::Created, format!("Created {title}.")));
    let row = sample.row(Table::Cgroup, one.subject.id);
    let pids = row.and_then(|row| row.value(C::PidsCurrent)).unwrap_or(0);
    let started_at = told(metadata.and_then(|metadata| metadata.started_at));
    if runs || pids > 0 || started_at.is_some() {
        drafts.push(draft(started_at.unwrap_or(appeared), Kind::Started, format!("Started {title}.")));
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a container's life")]
fn exited(ended: &Ended) -> Draft {
    let Ended { ending, exit } = ended;
    let title = ending.who.title();
    let by_oom = exit.as_ref().is_some_and(|(_, reason)| &**reason == "OOMKilled");
    let (severity, message) = match exit {
        Some((0, _)) => (Severity::Info, format!("Ended {title}: exit code 0.")),
        Some((code, reason)) => (Severity::Warning, format!("Ended {title}: exit code {code} ({reason}).")),
        None => (Severity::Info, format!("Ended {title}; no runtime tells how.")),
    };
    let mut draft = Draft::new(ending.wall, Kind::Exited, severity, Some(Arc::clone(&ending.who)), message);
    draft.reason = exit.as_ref().map(|(_, reason)| reason.to_string());
    if let Some((code, _)) = exit {
        draft.figures.push(Figure { name: "exit_code", number: Number::Signed(i64::from(*code)) });
    }
    if let Some(lived) = ending.started_at.and_then(|started| ending.wall.0.checked_sub(started.0)) {
        draft.figures.push(Figure::real("lifetime_seconds", lived as f64 / 1e9));
    }
    if by_oom || ending.oom_kills > 0 {
        draft.figures.push(Figure::whole("oom_kills", ending.oom_kills.max(u64::from(by_oom))));
    }
    draft
}

fn restarted(wall: UnixNanos, who: &Arc<Who>, restarts: u64) -> Draft {
    let message = format!("Restarted {}: {restarts} times by now.", who.title());
    let mut draft = Draft::new(wall, Kind::Restarted, Severity::Warning, Some(Arc::clone(who)), message);
    draft.figures.push(Figure::whole("restarts", restarts));
    draft
}

/// A kill that was counted.
struct Killed<'a> {
    subject: Option<SubjectId>,
    killed: u64,
    total: u64,
    victim: Option<&'a Victim>,
}

fn oom_killed(store: &Store, wall: UnixNanos, who: &Arc<Who>, at: &Killed<'_>) -> Draft {
    let victim = at.victim.map(|victim| (printable(victim.process.as_bytes()), victim.pid));
    let whom = match (&victim, at.killed) {
        (Some((process, pid)), 1) => format!("process {process} (PID {pid} on the node)"),
        (Some((process, pid)), many) => format!("{many} processes, the last one {process} (PID {pid} on the node),"),
        (None, 1) => "a process".to_owned(),
        (None, many) => format!("{many} processes"),
    };
    let message = format!("Out of memory: the kernel killed {whom} in {}.", who.title());
    let mut draft = Draft::new(wall, Kind::OomKilled, Severity::Error, Some(Arc::clone(who)), message);
    draft.reason = Some("OOMKilled".to_owned());
    draft.victim = victim;
    draft.figures = vec![Figure::whole("processes_killed", at.killed), Figure::whole("oom_kills", at.total)];
    if let Some(subject) = at.subject {
        draft.figures.extend(last_seconds::figures(store, subject, wall));
        draft.last_seconds = last_seconds::last_seconds(store, subject, wall);
    }
    draft
}

#[expect(clippy::cast_precision_loss, reason = "a quota of some CPUs, a stall of some hours")]
fn edge_draft(edge: Edge, wall: UnixNanos, who: Option<&Arc<Who>>, row: Option<&RowRef<'_>>) -> Draft {
    let title = who.map_or_else(|| "the node".to_owned(), |who| who.title());
    let waits = |share: Share, ratio: f64| match share {
        Share::Throttled => format!("throttled by its CPU quota in {:.0} % of the periods", ratio * 100.0),
        _ => format!("waiting for {} for {:.0} % of the time", share.as_str(), ratio * 100.0),
    };
    let (kind, severity, message, share, mut figures) = match edge {
        Edge::Began { share, ratio } => {
            let kind = if share == Share::Throttled { Kind::ThrottlingBegan } else { Kind::PressureBegan };
            let message = format!("Over the last 10 s {title} was {}.", waits(share, ratio));
            (kind, Severity::Warning, message, share, vec![Figure::real("ratio", ratio)])
        }
        Edge::Ended { share, highest_ratio, lasted_nanos, .. } => {
            let kind = if share == Share::Throttled { Kind::ThrottlingEnded } else { Kind::PressureEnded };
            let seconds = lasted_nanos as f64 / 1e9;
            let what = waits(share, highest_ratio);
            let message = format!("No longer: {title} was {what} at most, for {seconds:.0} s.");
            let figures = vec![Figure::real("highest_ratio", highest_ratio), Figure::real("lasted_seconds", seconds)];
            (kind, Severity::Info, message, share, figures)
        }
    };
    figures.push(Figure::real("threshold_ratio", share.threshold_ratio()));
    let quota = row.and_then(|row| row.value(C::CpuQuotaUsec).zip(row.value(C::CpuPeriodUsec)));
    if let (Share::Throttled, Some((quota, period))) = (share, quota.filter(|(_, period)| *period > 0)) {
        figures.push(Figure::real("cpu_limit_cores", quota as f64 / period as f64));
    }
    let mut draft = Draft::new(wall, kind, severity, who.cloned(), message);
    (draft.reason, draft.figures) = (Some(share.as_str().to_owned()), figures);
    draft
}
