//! The persistent ring as a whole: what was appended is there after restarts, kills, clock jumps, damage and full disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::keeper::Keeper;
use super::tests::{At, all, sample, subject};
use super::*;
use crate::sample::catalogue::Table;
use crate::sample::row::{Cell, Row};
use crate::sample::{CgroupIdentity, CgroupKind, Metadata, QosClass, Roster, Runtime, Subject, SubjectIds, Workload};
use crate::units::{Limit, MonotonicNanos};

const BUDGET: usize = LEAST_BUDGET_BYTES;
const BOOT: BootId = BootId([7; 16]);
const SECOND: u64 = 1_000_000_000;

fn open_with(dir: &Path, boot: BootId, budget_bytes: usize) -> Ring {
    let data_dir = Some(DataDir { path: dir.to_owned(), retry: Duration::from_millis(50) });
    open(&RingOptions { budget_bytes, boot, data_dir }).unwrap()
}

/// A container with everything that can be known about one.
fn container(id: u64) -> Arc<Subject> {
    let metadata = Metadata {
        name: format!("web-{id}"),
        image: "registry.example/web:1".into(),
        namespace: Some("shop".into()),
        pod: Some("web-0".into()),
        pod_uid: Some("uid".into()),
        container: Some("web".into()),
        sandbox: false,
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        runtime: Some(Runtime::Containerd),
        created_at: Some(UnixNanos(5)),
        started_at: None,
        restart_count: Some(2),
        pid: Some(77),
        host_network: true,
        healthy: Some(false),
        owner: None,
    };
    let identity = CgroupIdentity {
        path: format!("/kubepods/web-{id}").into(),
        kind: CgroupKind::Container,
        runtime: Some(Runtime::Containerd),
        container_id: Some("abc".into()),
        pod_uid: None,
        qos: Some(QosClass::Burstable),
        outer_container: None,
    };
    let workload =
        Workload { identity, inode: 1000 + id, metadata: Some(Arc::new(metadata)), created_at: UnixNanos(4) };
    let plain = subject(id, Table::Cgroup);
    let workload = Some(Arc::new(workload));
    Arc::new(Subject { workload, name: format!("/kubepods/web-{id}").into(), ..Arc::unwrap_or_clone(plain) })
}

/// What one column of one subject was at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    wall: UnixNanos,
    read_at: MonotonicNanos,
    cell: Cell,
}

const COLUMNS: usize = 12;

/// A plain list of all that was appended, beside the ring.
struct Model {
    dir: TempDir,
    tick: u64,
    generation: u64,
    roster: Arc<Roster>,
    /// Added to the wall clock.
    shift_nanos: i64,
    kept: BTreeMap<(u64, usize), Vec<Kept>>,
    state: u64,
}

impl Model {
    fn new(subjects: &[Arc<Subject>]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Self {
            dir,
            tick: 0,
            generation: 0,
            roster: Arc::default(),
            shift_nanos: 0,
            kept: BTreeMap::new(),
            state: 1,
        };
        model.follow(subjects);
        model
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Ring {
        open_with(self.path(), BOOT, BUDGET)
    }

    fn follow(&mut self, subjects: &[Arc<Subject>]) {
        self.generation += 1;
        let mut roster = Roster::default();
        roster.generation = self.generation;
        for subject in subjects {
            roster.subjects_mut(subject.table).unwrap().push(Arc::clone(subject));
        }
        self.roster = Arc::new(roster);
    }

    /// Appends a tick in which about half of the numbers change.
    fn append(&mut self, ring: &mut Ring) {
        self.tick += 1;
        let (tick, mut state) = (self.tick, self.state);
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut rows = BTreeMap::new();
        let made = sample(tick, &self.roster, |subject, row: &mut Row| {
            for column in 0..COLUMNS.min(subject.table.metrics().len()) {
                match random() % 8 {
                    0 => {}
                    1 => row.put_limit(At(column), Some(Limit::Unlimited)),
                    2 => row.put(At(column), Some(random())),
                    _ => row.put(At(column), Some(tick * 1000 + column as u64)),
                }
            }
            rows.insert(subject.id.0, row.clone());
        });
        let mut made = Arc::unwrap_or_clone(made);
        made.wall = UnixNanos(made.wall.0.saturating_add_signed(self.shift_nanos));
        for (id, row) in rows {
            for column in 0..COLUMNS {
                let kept = Kept { wall: made.wall, read_at: row.read_at, cell: row.cell(At(column)) };
                self.kept.entry((id, column)).or_default().push(kept);
            }
        }
        self.state = state;
        ring.writer.append(Arc::new(made));
        // A real tick lasts long enough for a head to be sealed.
        wait(|| ring.store.shared.heads().sealing.is_none());
    }

    fn append_many(&mut self, ring: &mut Ring, ticks: usize) {
        (0..ticks).for_each(|_| self.append(ring));
    }

    /// Everything, exactly.
    fn check(&self, store: &Store, when: &str) {
        for ((id, column), expected) in &self.kept {
            assert_eq!(&kept(store, *id, *column), expected, "{when}: subject {id} column {column}");
        }
    }

    /// Nothing but what was appended. Gives how many points are missing, by subject.
    fn check_part(&self, store: &Store, when: &str) -> BTreeMap<u64, usize> {
        let mut missing = BTreeMap::new();
        for ((id, column), expected) in &self.kept {
            let found = kept(store, *id, *column);
            let mut left = expected.iter();
            for point in &found {
                assert!(left.any(|known| known == point), "{when}: subject {id} column {column} never had {point:?}");
            }
            let lost = expected.len() - found.len();
            missing.entry(*id).and_modify(|most: &mut usize| *most = lost.max(*most)).or_insert(lost);
        }
        missing
    }
}

fn kept(store: &Store, id: u64, column: usize) -> Vec<Kept> {
    if store.remembered().iter().all(|known| known.subject.id.0 != id) {
        return Vec::new();
    }
    let points = all(store, id, column).into_iter();
    points.map(|point| Kept { wall: point.wall, read_at: point.read_at, cell: point.cell }).collect()
}

fn wait(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "it never happens");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn remembered(store: &Store) -> Vec<(u64, Arc<Subject>, u64, UnixNanos)> {
    let known = store.remembered().into_iter();
    known.map(|known| (known.subject.id.0, known.subject, known.last_tick, known.last_wall)).collect()
}

/// What a kill would leave: the file as it is while the writer runs, once the newest tick is in it.
fn killed(dir: &Path, serial: u64) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    wait(|| {
        std::fs::copy(dir.join("ring"), copy.path().join("ring")).unwrap();
        let found = open_read_only(copy.path()).unwrap();
        let newest = found.remembered().iter().map(|known| known.last_tick).max();
        newest == Some(serial)
    });
    // A copy takes a while: the first one may have the end of a log and not what was written before it.
    std::fs::copy(dir.join("ring"), copy.path().join("ring")).unwrap();
    copy
}

fn node_and(ids: &[u64]) -> Vec<Arc<Subject>> {
    std::iter::once(subject(1, Table::Node)).chain(ids.iter().map(|id| container(*id))).collect()
}

/// The id that a run gives to a subject.
fn id_of(ids: &mut SubjectIds, subject: &Subject) -> u64 {
    let inode = subject.workload.as_ref().map_or(0, |workload| workload.inode);
    ids.next(subject.table, subject.owner, &subject.name, inode).0
}

#[test]
fn every_tick_value_instant_and_name_comes_back_after_an_orderly_restart() {
    let mut model = Model::new(&node_and(&[2, 3]));
    let mut ring = model.open();
    model.append_many(&mut ring, 150);
    model.follow(&node_and(&[3, 4]));
    model.append_many(&mut ring, 47);
    let before = remembered(&ring.store);
    drop(ring);
    let mut ring = model.open();
    assert_eq!(ring.store.stats().ticks, 197);
    assert_eq!(ring.store.stats().persistence.unwrap().damaged, 0);
    model.check(&ring.store, "after the restart");
    assert_eq!(remembered(&ring.store), before);
    assert_eq!(
        before.iter().map(|known| (known.0, known.2)).collect::<Vec<_>>(),
        [(1, 197), (2, 150), (3, 197), (4, 197)]
    );
    model.append_many(&mut ring, 3);
    assert_eq!(ring.store.stats().ticks, 200);
    model.check(&ring.store, "with more ticks");
    assert_eq!(remembered(&ring.store).iter().map(|known| known.2).collect::<Vec<_>>(), [200, 150, 200, 200]);
}

#[test]
fn who_is_the_same_keeps_the_number_on_the_same_boot_and_everybody_gets_a_new_one_on_another() {
    let mut model = Model::new(&node_and(&[2, 3]));
    let mut ring = model.open();
    model.append_many(&mut ring, 10);
    model.follow(&node_and(&[3]));
    model.append_many(&mut ring, 10);
    let copy = killed(model.path(), 20);
    drop(ring);
    for (dir, boot, expected) in [
        (model.path(), BOOT, [1, 2, 3, 4]),
        (copy.path(), BOOT, [1, 2, 3, 4]),
        (model.path(), BootId([8; 16]), [4, 5, 6, 7]),
        (copy.path(), BootId([8; 16]), [4, 5, 6, 7]),
    ] {
        let mut ring = open_with(dir, boot, BUDGET);
        // The name of one that is gone, made anew.
        let mut other = Arc::unwrap_or_clone(container(2));
        other.workload = container(3).workload.clone();
        let given = [subject(1, Table::Node), container(2), container(3), Arc::new(other)]
            .map(|one| id_of(&mut ring.ids, &one));
        assert_eq!(given, expected, "{boot:?}");
        model.check(&ring.store, "on either boot");
    }
}

#[test]
fn after_a_kill_everything_is_there_and_who_left_is_known_to_have_left_when_it_did() {
    let mut model = Model::new(&node_and(&[2, 3]));
    let mut ring = model.open();
    for (round, ids) in [[2, 3], [3, 4], [4, 5], [5, 6]].iter().enumerate() {
        model.follow(&node_and(ids));
        // Kills within a log, at its end, and in the next one.
        model.append_many(&mut ring, [35, 85, 50, 110][round]);
        let copy = killed(model.path(), model.tick);
        let again = open_with(copy.path(), BOOT, BUDGET);
        model.check(&again.store, "after the kill");
        assert_eq!(again.store.stats().ticks, model.tick);
        assert_eq!(remembered(&again.store), remembered(&ring.store), "round {round}");
        drop(again);
        // Nobody appended anything; a second restart changes nothing.
        let again = open_with(copy.path(), BOOT, BUDGET);
        model.check(&again.store, "after a restart without a tick");
        assert_eq!(remembered(&again.store), remembered(&ring.store), "round {round} again");
    }
}

#[test]
fn a_ring_that_is_only_read_tells_what_the_live_one_told() {
    let mut model = Model::new(&node_and(&[2, 3]));
    let mut ring = model.open();
    model.append_many(&mut ring, 170);
    model.follow(&node_and(&[3]));
    model.append_many(&mut ring, 30);
    let copy = killed(model.path(), 200);
    for dir in [copy.path(), model.path()] {
        let read = open_read_only(dir).unwrap();
        model.check(&read, "read only");
        assert_eq!(remembered(&read), remembered(&ring.store));
        assert_eq!(read.latest().unwrap().wall, ring.store.latest().unwrap().wall);
        assert_eq!(read.stats().ticks, ring.store.stats().ticks);
    }
}

#[test]
fn a_wall_clock_that_jumps_loses_and_doubles_nothing_also_over_a_restart() {
    let (hour, year) = (3_600 * SECOND.cast_signed(), 31_557_600 * SECOND.cast_signed());
    for jump in [hour, -hour, -10 * year, 10 * year] {
        for clean in [true, false] {
            let mut model = Model::new(&node_and(&[2]));
            let mut ring = model.open();
            model.append_many(&mut ring, 140);
            model.shift_nanos = jump;
            model.append_many(&mut ring, 30);
            let copy = if clean { None } else { Some(killed(model.path(), model.tick)) };
            drop(ring);
            let dir = copy.as_ref().map_or(model.path(), TempDir::path).to_owned();
            model.shift_nanos = 0;
            let mut ring = open_with(&dir, BOOT, BUDGET);
            model.check(&ring.store, "after the first jump");
            model.append_many(&mut ring, 130);
            model.check(&ring.store, "after the clock was set right");
            assert_eq!(ring.store.stats().ticks, 300);
            drop(ring);
            model.check(&open_with(&dir, BOOT, BUDGET).store, "after the end");
        }
    }
}

#[test]
fn another_size_of_the_ring_keeps_the_newest_history() {
    let mut model = Model::new(&node_and(&(2..22).collect::<Vec<_>>()));
    let mut ring = open_with(model.path(), BOOT, 4 * BUDGET);
    model.append_many(&mut ring, 2500);
    model.check(&ring.store, "before");
    drop(ring);
    for (budget, whole) in [(8 * BUDGET, true), (4 * BUDGET, true), (BUDGET, false), (2 * BUDGET, false)] {
        let ring = open_with(model.path(), BOOT, budget);
        if whole {
            model.check(&ring.store, "larger");
            continue;
        }
        model.check_part(&ring.store, "smaller");
        let ticks = usize::try_from(ring.store.stats().ticks).unwrap();
        assert!((200..2500).contains(&ticks), "{ticks}");
        for ((id, column), expected) in &model.kept {
            let found = kept(&ring.store, *id, *column);
            assert_eq!(found[found.len() - ticks..], expected[expected.len() - ticks..], "{id} {column}");
        }
    }
}

/// A file with logs, directories and segments of all kinds, and what it holds.
fn rich() -> Model {
    let mut model = Model::new(&node_and(&[2, 3, 4]));
    let mut ring = model.open();
    model.append_many(&mut ring, 260);
    model.follow(&node_and(&[3, 4, 5]));
    model.append_many(&mut ring, 270);
    drop(ring);
    model
}

fn damaged_copy(model: &Model, damage: impl FnOnce(&mut Vec<u8>)) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(model.path().join("ring")).unwrap();
    damage(&mut bytes);
    std::fs::write(copy.path().join("ring"), bytes).unwrap();
    copy
}

#[test]
fn a_damaged_file_always_opens_and_never_tells_a_wrong_value() {
    let model = rich();
    model.check(&model.open().store, "whole");
    let geometry = super::open::geometry(Shares::of(BUDGET));
    let logs = 4096 + 2 * geometry.directory_bytes;
    let arenas = logs + 2 * geometry.log_bytes;
    let place = |at: u64| usize::try_from(at).unwrap();
    // What is written, so that most flips hit something: the directories, the logs, the segments of all ticks.
    let hot = [(0, 4096), (4096, 6000), (place(logs), 60_000), (place(logs + geometry.log_bytes), 60_000)];
    let hot = [hot.as_slice(), &[(place(arenas), 80_000)]].concat();
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let (mut hurt, mut whole) = (0, 0);
    for round in 0..160 {
        let (from, length) = hot[random(hot.len())];
        let flips = [1, 1, 1, 40][round % 4];
        let cut = round % 16 == 15;
        let copy = damaged_copy(&model, |bytes| {
            for _ in 0..flips {
                let at = (from + random(length)).min(bytes.len() - 1);
                bytes[at] ^= 1 << random(8);
            }
            if cut {
                bytes.truncate(random(bytes.len()));
            }
        });
        let when = format!("round {round}, {flips} flips from {from}, cut: {cut}");
        let read = open_read_only(copy.path());
        if from > 0 && !cut {
            model.check_part(&read.unwrap(), &when);
        }
        let ring = open_with(copy.path(), BOOT, BUDGET);
        let missing = model.check_part(&ring.store, &when);
        let most = missing.values().copied().max().unwrap();
        if flips == 1 && !cut && from > 0 {
            assert!(most <= 120, "{when}: one flip costs {most} ticks");
        }
        if copy.path().join("ring-damaged.aside").exists() {
            assert!(from == 0 || cut, "{when}");
        }
        hurt += usize::from(most > 0);
        whole += usize::from(most == 0);
        drop(ring);
        // What was left out stays out, and the rest stays.
        let again = model.check_part(&open_with(copy.path(), BOOT, BUDGET).store, &when);
        assert_eq!(again, missing, "{when}: again");
    }
    assert!(hurt > 20 && whole > 20, "{hurt} hurt, {whole} whole");
}

#[test]
fn numbers_whose_names_are_damaged_are_there_under_their_number() {
    let model = rich();
    let directories = usize::try_from(2 * super::open::geometry(Shares::of(BUDGET)).directory_bytes).unwrap();
    // The first restart writes a log of its own, whose roster tells no name that a directory told.
    let mut ring = model.open();
    ring.writer.append(sample(1000, &Arc::default(), |_, _| {}));
    drop(ring);
    let copy = damaged_copy(&model, |bytes| bytes[4096..4096 + directories].fill(0));
    let ring = open_with(copy.path(), BOOT, BUDGET);
    model.check(&ring.store, "without a directory");
    let names: Vec<(u64, String)> =
        ring.store.remembered().iter().map(|known| (known.subject.id.0, known.subject.name.to_string())).collect();
    assert!(names.contains(&(2, "unknown-2".to_owned())), "{names:?}");
    for (id, name) in names {
        let own = if id == 1 { "subject-1".to_owned() } else { format!("/kubepods/web-{id}") };
        assert!(name == own || name == format!("unknown-{id}"), "{id}: {name}");
    }
    assert_eq!(id_of(&mut ring.ids.clone(), &container(99)), 6, "no number is given twice");
}

/// A filesystem of its own.
struct Mount(PathBuf);

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Mount {
    fn tmpfs(at: &Path, options: &str) -> Self {
        run("mount", &["-t", "tmpfs", "-o", options, "ringside-test", at.to_str().unwrap()]);
        Self(at.to_owned())
    }

    fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), self.0.to_str().unwrap()]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone_already = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_without_room_or_read_only_costs_nothing_but_time() {
    for (bad, good, why) in [("size=512k", "size=16m", "room"), ("size=16m,ro", "size=16m,rw", "read-only")] {
        let mut model = Model::new(&node_and(&[2, 3]));
        let mount = Mount::tmpfs(model.path(), bad);
        let mut ring = model.open();
        model.append_many(&mut ring, 150);
        let persistence = ring.store.stats().persistence.unwrap();
        assert!(
            !persistence.active && persistence.failure.as_ref().is_some_and(|text| text.contains(why)),
            "{persistence:?}"
        );
        model.check(&ring.store, "in memory");
        mount.remount(good);
        wait(|| ring.store.stats().persistence.unwrap().active);
        assert_eq!(ring.store.stats().persistence.unwrap().failure, None);
        model.append_many(&mut ring, 20);
        let copy = killed(model.path(), 170);
        model.check(&open_with(copy.path(), BOOT, BUDGET).store, "after a kill");
        drop(ring);
        model.check(&model.open().store, "after the disk came back");
    }
}

#[test]
fn what_happened_while_the_disk_was_away_is_in_the_file_when_it_is_back() {
    let mut model = Model::new(&node_and(&[2, 3]));
    let mut ring = open(&RingOptions { budget_bytes: BUDGET, boot: BOOT, data_dir: None }).unwrap();
    let dir = DataDir { path: model.path().to_owned(), retry: Duration::ZERO };
    let geometry = super::open::geometry(Shares::of(BUDGET));
    let mut keeper = Keeper::new(Arc::clone(&ring.store.shared), dir, geometry, None, BOOT);
    keeper.turn(false);
    for (round, (with, without)) in [(10, 20), (50, 60), (5, 0), (1, 200), (119, 1), (3, 0)].into_iter().enumerate() {
        for _ in 0..with {
            model.append(&mut ring);
            keeper.turn(false);
        }
        keeper.give_up();
        model.follow(&node_and(&[3, 10 + round as u64]));
        model.append_many(&mut ring, without);
        keeper.turn(false);
        let copy = damaged_copy(&model, |_| {});
        let again = open_with(copy.path(), BOOT, BUDGET);
        model.check(&again.store, &format!("round {round}"));
        assert_eq!(again.store.stats().ticks, model.tick, "round {round}");
        assert_eq!(remembered(&again.store), remembered(&ring.store), "round {round}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ticks(usize),
    Roster(Vec<u64>),
    Restart,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..60usize).prop_map(Step::Ticks),
        3 => proptest::collection::btree_set(2..9u64, 0..5).prop_map(|ids| Step::Roster(ids.into_iter().collect())),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ];
    proptest::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn restarts_and_kills_change_nothing(steps in steps()) {
        let mut model = Model::new(&node_and(&[2, 3]));
        let mut dir = tempfile::tempdir().unwrap();
        let mut ring = open_with(dir.path(), BOOT, BUDGET);
        for step in steps {
            let before = remembered(&ring.store);
            match step {
                Step::Ticks(ticks) => model.append_many(&mut ring, ticks),
                Step::Roster(ids) => model.follow(&node_and(&ids)),
                Step::Restart => {
                    drop(ring);
                    ring = open_with(dir.path(), BOOT, BUDGET);
                    prop_assert_eq!(remembered(&ring.store), before);
                }
                Step::Kill if model.tick > 0 => {
                    let copy = killed(dir.path(), model.tick);
                    drop(ring);
                    dir = copy;
                    ring = open_with(dir.path(), BOOT, BUDGET);
                    prop_assert_eq!(remembered(&ring.store), before);
                }
                Step::Kill => {}
            }
            prop_assert_eq!(ring.store.stats().ticks, model.tick);
        }
        model.check(&ring.store, "at the end");
    }
}
