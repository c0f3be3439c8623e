//! One node as another replica is told of it: all that is held of it, as pushes that stand alone.
//!
//! In: a node's chains. Out: bodies that go in where an agent's would, after which the agent's next push goes on from
//! them: run, sequences and indices are the agent's own. What is not believed here is told nevertheless: the other replica
//! judges for itself; only of what is gone, what was never believed is left out. Next: `uplink::peers`.
//!
//! The samples are walked back once, to find the values before the oldest one, and then told forwards.

use std::collections::HashMap;
use std::sync::Arc;

use super::ClusterStore;
use super::chain::Chain;
use super::entity::{Claim, Slot, Who, low_half};
use super::frame::{self, Cells, Changes, ChangesWriter};
use super::metric::Metric;
use super::past::{Gone, OWN_OF_PODS, Whose, each_delta};
use super::protobuf::put_varint;
use super::push::{MOST_SAMPLES, PROTOCOL_VERSION};
use crate::units::UnixNanos;

/// Keys of fields: number and wire type, as `docs/push-protocol.md` has them.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

fn put_number(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        out.push(number << 3 | VARINT);
        put_varint(out, value);
    }
}

fn put_fixed(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        out.push(number << 3 | FIXED64);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.push(number << 3 | BYTES);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

/// Samples beyond this go into another body.
const BODY_BYTES: usize = 1 << 20;

const METRICS: usize = Metric::ALL.len();
const NOTHING: Cells = [0; METRICS];

/// One entity from its birth to its end, at one index.
struct Life {
    index: u16,
    /// Sequences of the first sample with it and of the first one without.
    from: u64,
    until: u64,
    who: LifeOf,
    started: UnixNanos,
    /// Its cells: at its end, then before its first sample, then wherever the samples are told.
    cells: Cells,
}

enum LifeOf {
    Node,
    Pod(Claim),
    /// Its name, the UID of its pod, and its pod's index.
    Container(Arc<str>, Arc<str>, u16),
}

/// One sample: what changed, as (index, metric, difference).
struct Step {
    sequence: u64,
    wall: UnixNanos,
    changes: Vec<(u16, u8, i64)>,
}

fn change(index: usize, metric: usize, delta: i64) -> Option<(u16, u8, i64)> {
    Some((u16::try_from(index).ok()?, u8::try_from(metric).ok()?, delta))
}

/// All samples that a chain still has, oldest first.
fn steps(chain: &Chain) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(chain.past.samples());
    let mut heads = Vec::new();
    for batch in &chain.past.batches {
        let first = steps.len();
        batch.read(0, &mut heads, |_, _| {});
        steps.extend(heads.iter().map(|(sequence, wall)| Step {
            sequence: *sequence,
            wall: *wall,
            changes: Vec::new(),
        }));
        for metric in 0..METRICS {
            batch.read(metric, &mut heads, |index, run| {
                for (place, delta) in run.iter().enumerate().filter(|(_, delta)| **delta != 0) {
                    if let Some(step) = steps.get_mut(first + place) {
                        step.changes.extend(change(index, metric, *delta));
                    }
                }
            });
        }
    }
    for frame in &chain.past.frames {
        let mut changes = Vec::new();
        each_delta(&frame.bytes, |index, metric, delta| {
            changes.extend(change(index as usize, metric, delta));
        });
        steps.push(Step { sequence: frame.sequence, wall: frame.wall, changes });
    }
    steps
}

/// The newest cells of an entity, and the newest differences of those that the past does not keep.
fn newest(chain: &Chain, slot: &Slot) -> (Cells, Vec<(usize, i64)>) {
    let mut cells = NOTHING;
    if let Some(table) = chain.tables.get(slot.who.kind()) {
        for (metric, cell) in cells.iter_mut().enumerate() {
            *cell = table.get(slot.row, metric);
        }
    }
    let mut unkept = Vec::new();
    if slot.changed == low_half(chain.sequence) && matches!(slot.who, Who::Pod(_)) {
        let mut deltas = Changes::of_deltas(&chain.deltas).deltas_from(slot.offset as usize);
        for metric in frame::bits(slot.mask) {
            let delta = deltas.take();
            if OWN_OF_PODS.bits() >> metric & 1 == 0 {
                unkept.push((metric, delta));
            }
        }
    }
    (cells, unkept)
}

fn life_of_gone(gone: &Gone) -> Option<Life> {
    let who = match &gone.whose {
        Whose::Node => LifeOf::Node,
        Whose::Pod(pod) => LifeOf::Pod(Claim::of_record(pod)),
        Whose::Container(name, pod) => LifeOf::Container(name.clone(), pod.uid.clone(), 0),
        Whose::Nobody => return None,
    };
    let mut cells = NOTHING;
    for (metric, cell) in frame::bits(gone.mask).zip(&gone.cells) {
        if let Some(place) = cells.get_mut(metric) {
            *place = *cell;
        }
    }
    Some(Life { index: gone.index, from: 0, until: gone.sequence, who, started: gone.started, cells })
}

/// Everybody who lived in these samples, pods before their containers.
fn lives(chain: &Chain, steps: &mut [Step]) -> Vec<Life> {
    let oldest = steps.first().map_or(0, |step| step.sequence);
    let Some(last) = steps.last_mut() else { return Vec::new() };
    let mut lives = Vec::new();
    // An index is free from the end of one life on: the next one is told to begin there, which is early enough.
    let mut free_from: HashMap<u16, u64> = HashMap::new();
    for gone in chain.past.gone.iter().filter(|gone| gone.sequence > oldest) {
        let from = free_from.insert(gone.index, gone.sequence).unwrap_or(oldest);
        lives.extend(life_of_gone(gone).map(|life| Life { from, ..life }));
    }
    for (index, slot) in chain.slots.iter() {
        let (cells, unkept) = newest(chain, slot);
        let who = match &slot.who {
            Who::Node => LifeOf::Node,
            Who::Pod(standing) => LifeOf::Pod(standing.claim()),
            Who::Container(name, pod) => match chain.slots.get(*pod).map(|slot| &slot.who) {
                Some(Who::Pod(standing)) => LifeOf::Container(name.clone(), standing.uid().clone(), 0),
                _ => continue,
            },
        };
        last.changes.extend(unkept.into_iter().filter_map(|(metric, delta)| change(index.into(), metric, delta)));
        let age = low_half(chain.sequence).wrapping_sub(slot.born);
        let from = chain.sequence.saturating_sub(age.into()).max(oldest);
        lives.push(Life { index, from, until: u64::MAX, who, started: slot.started, cells });
    }
    let mut pods: HashMap<Arc<str>, Vec<(u64, u64, u16)>> = HashMap::new();
    for life in &lives {
        if let LifeOf::Pod(claim) = &life.who {
            pods.entry(claim.uid.clone()).or_default().push((life.from, life.until, life.index));
        }
    }
    lives.retain_mut(|life| {
        let LifeOf::Container(_, uid, pod_index) = &mut life.who else { return true };
        let pods = pods.get(uid).map(Vec::as_slice).unwrap_or_default();
        let pod = pods.iter().find(|(from, until, _)| *from < life.until && life.until <= *until);
        let Some((from, _, index)) = pod else { return false };
        *pod_index = *index;
        life.from = life.from.max(*from);
        true
    });
    lives.retain(|life| life.from < life.until);
    lives.sort_by_key(|life| (life.from, matches!(life.who, LifeOf::Container(..)), life.index));
    lives
}

fn born(life: &Life) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    put_number(&mut message, 1, life.index.into());
    match &life.who {
        LifeOf::Node => {}
        LifeOf::Pod(claim) => {
            put_number(&mut message, 2, 1);
            put_bytes(&mut message, 3, claim.namespace.as_bytes());
            put_bytes(&mut message, 4, claim.name.as_bytes());
            put_bytes(&mut message, 5, claim.uid.as_bytes());
        }
        LifeOf::Container(name, _, pod) => {
            put_number(&mut message, 2, 2);
            put_bytes(&mut message, 4, name.as_bytes());
            put_number(&mut message, 8, u64::from(*pod));
        }
    }
    put_fixed(&mut message, 7, life.started.0);
    message
}

/// Adds a sample's differences to those who live in it, or takes them off.
fn apply(lives: &mut [Life], at: &HashMap<u16, usize>, step: &Step, back: bool) {
    for (index, metric, delta) in &step.changes {
        let life = at.get(index).and_then(|place| lives.get_mut(*place));
        if let Some(cell) = life.and_then(|life| life.cells.get_mut(usize::from(*metric))) {
            *cell = cell.wrapping_add_signed(if back { delta.wrapping_neg() } else { *delta });
        }
    }
}

/// Who lives at which index in a sample.
fn living(lives: &[Life], sequence: u64) -> HashMap<u16, usize> {
    let lives = lives.iter().enumerate().filter(|(_, life)| (life.from..life.until).contains(&sequence));
    lives.map(|(place, life)| (life.index, place)).collect()
}

impl Chain {
    /// Its samples as those of pushes, oldest first: (sequence, message).
    fn export(&self) -> Vec<(u64, Vec<u8>)> {
        let mut steps = steps(self);
        let mut lives = lives(self, &mut steps);
        for step in steps.iter().rev() {
            let at = living(&lives, step.sequence);
            apply(&mut lives, &at, step, true);
        }
        let mut before: HashMap<u16, usize> = HashMap::new();
        let mut messages = Vec::with_capacity(steps.len());
        for step in &steps {
            let at = living(&lives, step.sequence);
            let mut message = Vec::new();
            put_number(&mut message, 1, step.sequence);
            put_fixed(&mut message, 2, step.wall.0);
            let is_new = |index: u16, place: usize| before.get(&index) != Some(&place);
            let mut gone: Vec<u16> =
                before.keys().copied().filter(|index| at.get(index) != before.get(index)).collect();
            gone.sort_unstable();
            let mut packed = Vec::new();
            gone.into_iter().for_each(|index| put_varint(&mut packed, index.into()));
            put_bytes(&mut message, 4, &packed);
            // Lives are in the order in which births must be told.
            for (place, life) in lives.iter().enumerate() {
                if at.get(&life.index) == Some(&place) && is_new(life.index, place) {
                    put_bytes(&mut message, 3, &born(life));
                }
            }
            let told: HashMap<u16, Cells> = at
                .iter()
                .filter(|(index, place)| !is_new(**index, **place))
                .filter_map(|(index, place)| Some((*index, lives.get(*place)?.cells)))
                .collect();
            apply(&mut lives, &at, step, false);
            let mut writer = ChangesWriter::default();
            let mut indices: Vec<(u16, usize)> = at.iter().map(|(index, place)| (*index, *place)).collect();
            indices.sort_unstable();
            for (index, place) in indices {
                if let Some(life) = lives.get(place) {
                    writer.entity(index.into(), told.get(&index).unwrap_or(&NOTHING), &life.cells);
                }
            }
            put_bytes(&mut message, 5, &writer.finish());
            messages.push((step.sequence, message));
            before = at;
        }
        messages
    }

    /// Bodies of the pushes of one run.
    fn bodies(&self, node: &str, run: u64) -> Vec<Vec<u8>> {
        let head = |base: u64| {
            let mut body = Vec::new();
            put_number(&mut body, 1, PROTOCOL_VERSION.into());
            put_bytes(&mut body, 2, node.as_bytes());
            put_fixed(&mut body, 3, run);
            put_number(&mut body, 4, base);
            body
        };
        let (mut bodies, mut body, mut samples, mut base) = (Vec::new(), head(0), 0, 0);
        for (sequence, message) in self.export() {
            if samples > 0 && (samples == MOST_SAMPLES || body.len() + message.len() > BODY_BYTES) {
                bodies.push(std::mem::replace(&mut body, head(base)));
                samples = 0;
            }
            put_bytes(&mut body, 5, &message);
            (samples, base) = (samples + 1, sequence);
        }
        if samples > 0 {
            bodies.push(body);
        }
        bodies
    }
}

impl ClusterStore {
    /// Bodies of pushes, in the order in which they must arrive, after which another store holds what this one holds of
    /// `node` now. None when nothing of it was pushed yet.
    #[must_use]
    pub fn export_node(&self, node: &str) -> Vec<Vec<u8>> {
        let Some(cell) = self.cell(node) else { return Vec::new() };
        let state = cell.state();
        if state.chain.sequence == 0 {
            return Vec::new();
        }
        // Nobody goes on from an earlier run: it gets any other number.
        let earlier = (1u64..)
            .zip(&state.frozen)
            .flat_map(|(number, frozen)| frozen.chain.bodies(node, state.run.wrapping_add(number)));
        let mut bodies: Vec<_> = earlier.collect();
        bodies.extend(state.chain.bodies(node, state.run));
        bodies
    }

    /// How many nodes' newest values are recent enough to be shown, and how many's are not.
    #[must_use]
    pub fn freshness(&self, now: UnixNanos) -> (u64, u64) {
        let mut counts = (0, 0);
        for cell in self.cells() {
            let state = cell.state();
            match state.is_fresh(now, self.shared.options.stale_after) {
                true => counts.0 += 1,
                false if state.chain.sequence != 0 => counts.1 += 1,
                false => {}
            }
        }
        counts
    }

    /// Names of all nodes of which something was pushed, ascending.
    #[must_use]
    pub fn node_names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.cells().iter().map(|cell| cell.name.clone()).collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::frame::cell;
    use super::super::push::Push;
    use super::super::record::{NodeRecord, PodRecord, WorkloadRef};
    use super::super::{ClusterOptions, GroupBy, HistoryQuery, HistorySeries, PushRefused};
    use super::*;

    const START: u64 = 1_790_000_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    fn store() -> ClusterStore {
        let store = ClusterStore::new(ClusterOptions {
            history: Duration::from_secs(900),
            budget_bytes: 64 << 20,
            stale_after: Duration::from_secs(120),
        });
        store.put_node(&NodeRecord { name: "a".into(), uid: "n".into(), labels: Arc::new([]) });
        for name in ["p1", "p2"] {
            store.put_pod(&PodRecord {
                namespace: "shop".into(),
                name: name.into(),
                uid: format!("uid-{name}").into(),
                node: "a".into(),
                labels: Arc::new([]),
                workload: WorkloadRef { kind: "Pod".into(), name: name.into() },
                finished: false,
            });
        }
        store.set_synced();
        store
    }

    type Birth<'a> = (u64, u64, &'a str, &'a str, u64);

    /// A push of the protocol, by hand: births as (index, kind, name, uid, pod), and cells as (index, metric, before, after).
    fn push(base: u64, sequence: u64, births: &[Birth<'_>], cells: &[(u32, Metric, u64, u64)]) -> Vec<u8> {
        push_gone(base, sequence, births, cells, &[])
    }

    fn push_gone(
        base: u64,
        sequence: u64,
        births: &[Birth<'_>],
        cells: &[(u32, Metric, u64, u64)],
        gone: &[u8],
    ) -> Vec<u8> {
        let mut message = Vec::new();
        put_number(&mut message, 1, sequence);
        put_fixed(&mut message, 2, START + sequence * 15 * SECOND);
        put_bytes(&mut message, 4, gone);
        for (index, kind, name, uid, pod) in births {
            let mut born = Vec::new();
            put_number(&mut born, 1, *index);
            put_number(&mut born, 2, *kind);
            put_bytes(&mut born, 3, if *kind == 1 { b"shop" } else { b"" });
            put_bytes(&mut born, 4, name.as_bytes());
            put_bytes(&mut born, 5, uid.as_bytes());
            put_fixed(&mut born, 7, START + 20 * SECOND);
            put_number(&mut born, 8, *pod);
            put_bytes(&mut message, 3, &born);
        }
        let mut writer = ChangesWriter::default();
        for (index, metric, before, after) in cells {
            let row = |value| {
                let mut row: Cells = [0; Metric::ALL.len()];
                row[*metric as usize] = if value == 0 { 0 } else { cell(Some(value)) };
                row
            };
            writer.entity(*index, &row(*before), &row(*after));
        }
        put_bytes(&mut message, 5, &writer.finish());
        let mut body = Vec::new();
        put_number(&mut body, 1, 1);
        put_bytes(&mut body, 2, b"a");
        put_fixed(&mut body, 3, 77);
        put_number(&mut body, 4, base);
        put_bytes(&mut body, 5, &message);
        body
    }

    fn take(store: &ClusterStore, body: &[u8]) -> Result<u64, PushRefused> {
        let now = UnixNanos(START + 100 * SECOND);
        store.push("a", &Push::decode(body).unwrap(), now).map(|pushed| pushed.accepted)
    }

    fn seen(store: &ClusterStore) -> String {
        let now = UnixNanos(START + 100 * SECOND);
        let pods =
            ["p1", "p2"].map(|name| store.pod("shop", name, now).map(|usage| (usage.readings, usage.containers)));
        format!("{:?} {pods:?}", store.node("a", now).map(|usage| usage.readings))
    }

    #[test]
    fn another_store_holds_the_same_after_an_export_and_goes_on_with_the_agents_next_push() {
        use Metric::{CpuUsageUsec, MemoryWorkingSetBytes};
        let (here, there) = (store(), store());
        assert_eq!(here.export_node("a"), Vec::<Vec<u8>>::new());
        let births = [(0, 0, "", "", 0), (1, 1, "p1", "uid-p1", 0), (2, 2, "c", "", 1)];
        let first = push(0, 1, &births, &[(0, CpuUsageUsec, 0, 10_000), (2, CpuUsageUsec, 0, 500)]);
        assert_eq!(take(&here, &first), Ok(1));
        // A second pod is born at an index below its container's, and the first one's container does not change.
        let births = [(4, 1, "p2", "uid-p2", 0), (3, 2, "c", "", 4)];
        let cells = [(0, CpuUsageUsec, 10_000, 30_000), (3, CpuUsageUsec, 0, 9), (4, MemoryWorkingSetBytes, 0, 8192)];
        let second = push(1, 2, &births, &cells);
        assert_eq!(take(&there, &second), Err(PushRefused::NeedAlone { since: UnixNanos(START - 800 * SECOND) }));
        assert_eq!(take(&here, &second), Ok(1));

        for body in here.export_node("a") {
            assert_eq!(take(&there, &body), Ok(2));
        }
        assert_eq!(seen(&there), seen(&here));
        assert!(seen(&here).contains("window: 15s"), "{}", seen(&here));
        assert_eq!(take(&there, &second), Ok(0), "it is held already");
        let third = push(2, 3, &[], &[(0, CpuUsageUsec, 30_000, 31_000), (2, CpuUsageUsec, 500, 700)]);
        assert_eq!(take(&there, &third), Ok(1));
        assert_eq!(take(&here, &third), Ok(1));
        assert_eq!(seen(&there), seen(&here));
        assert_eq!(here.node_names(), ["a".into()]);
    }

    /// What happened to a metric of anybody.
    fn told(store: &ClusterStore, metric: Metric, by: GroupBy) -> Vec<HistorySeries> {
        store.history(&HistoryQuery {
            metric,
            by,
            namespace: None,
            node: None,
            name: None,
            pods: None,
            from: UnixNanos(START),
            to: UnixNanos(START + 900 * SECOND),
            step: Duration::from_secs(15),
        })
    }

    #[test]
    fn the_history_is_told_too_with_those_that_are_gone_and_of_runs_before() {
        use Metric::{CpuUsageUsec, MemoryWorkingSetBytes, NetworkReceiveBytes};
        let (here, there) = (store(), store());
        let at_end = UnixNanos(START + 700 * SECOND);
        let take = |store: &ClusterStore, body: &[u8]| store.push("a", &Push::decode(body).unwrap(), at_end).unwrap();
        let births = [(0, 0, "", "", 0), (1, 1, "p1", "uid-p1", 0), (2, 2, "c", "", 1)];
        let mut body = push(0, 1, &births, &[(0, CpuUsageUsec, 0, 10_000), (2, CpuUsageUsec, 0, 500)]);
        take(&here, &body);
        // 40 samples: two packed batches, and some that are not.
        for sequence in 2..=40 {
            let busy = |sequence: u64| sequence * sequence * 1_000;
            let cells = [
                (0, CpuUsageUsec, if sequence == 2 { 10_000 } else { busy(sequence - 1) }, busy(sequence)),
                (1, NetworkReceiveBytes, if sequence == 2 { 0 } else { busy(sequence - 1) }, busy(sequence)),
            ];
            let births: &[_] = match sequence {
                10 => &[(3, 2, "c", "", 1)],
                20 => &[(2, 1, "p2", "uid-p2", 0), (4, 2, "c", "", 2)],
                _ => &[],
            };
            let gone: &[u8] = match sequence {
                10 => &[2],
                30 => &[3],
                _ => &[],
            };
            let mut cells = cells.to_vec();
            match sequence {
                10 => cells.push((3, MemoryWorkingSetBytes, 0, 4096 * 7)),
                20 => cells.push((4, CpuUsageUsec, 0, 77)),
                25 => cells.push((4, CpuUsageUsec, 77, 99_000)),
                _ => {}
            }
            body = push_gone(sequence - 1, sequence, births, &cells, gone);
            assert_eq!(take(&here, &body).accepted, 1, "{sequence}");
        }
        for body in here.export_node("a") {
            take(&there, &body);
        }
        for metric in [CpuUsageUsec, MemoryWorkingSetBytes, NetworkReceiveBytes] {
            for by in [GroupBy::Node, GroupBy::Pod, GroupBy::Container] {
                let (here, there) = (told(&here, metric, by.clone()), told(&there, metric, by.clone()));
                assert_eq!(there, here, "{metric:?} {by:?}");
            }
        }
        let series = |metric, by| told(&there, metric, by).len();
        assert_eq!((series(CpuUsageUsec, GroupBy::Pod), series(MemoryWorkingSetBytes, GroupBy::Container)), (2, 1));
        assert_eq!(seen(&there), seen(&here));
        // The agent starts anew: another run, whose first push stands alone.
        let mut anew = push(0, 41, &[(0, 0, "", "", 0)], &[(0, CpuUsageUsec, 0, 5)]);
        let run = anew.iter().position(|byte| *byte == 77).unwrap();
        anew[run] = 78;
        take(&here, &anew);
        let third = store();
        for body in here.export_node("a") {
            take(&third, &body);
        }
        assert_eq!(told(&third, CpuUsageUsec, GroupBy::Node), told(&here, CpuUsageUsec, GroupBy::Node));
        assert_eq!(told(&third, CpuUsageUsec, GroupBy::Pod), told(&here, CpuUsageUsec, GroupBy::Pod));
        assert_eq!(third.export_node("a"), here.export_node("a"));
    }
}
