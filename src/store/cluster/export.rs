//! One node as another replica is told of it: a push that stands alone, of the run that the agent is in.
//!
//! In: a node's chain. Out: a body that goes in where an agent's would, after which the agent's next push goes on from it:
//! run, sequence and indices are the agent's own. What is not believed here is told nevertheless: the other replica judges
//! for itself. Next: `uplink::peers`.

use std::sync::Arc;

use super::ClusterStore;
use super::chain::Chain;
use super::entity::{Slot, Who};
use super::frame::{self, Cells, Changes, ChangesWriter};
use super::metric::Metric;
use super::protobuf::put_varint;
use super::push::PROTOCOL_VERSION;

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

/// The cells of an entity in the newest sample and in the one before it.
fn cells(chain: &Chain, slot: &Slot) -> (Cells, Cells) {
    let mut newest: Cells = [0; Metric::ALL.len()];
    if let Some(table) = chain.tables.get(slot.who.kind()) {
        for (metric, cell) in newest.iter_mut().enumerate() {
            *cell = table.get(slot.row, metric);
        }
    }
    let mut before = newest;
    if slot.changed == chain.sequence {
        let mut deltas = Changes::of_deltas(&chain.deltas).deltas_from(slot.offset as usize);
        for metric in frame::bits(slot.mask) {
            let delta = deltas.take();
            if let Some(cell) = before.get_mut(metric) {
                *cell = cell.wrapping_add_signed(delta.wrapping_neg());
            }
        }
    }
    (before, newest)
}

fn born(index: u16, slot: &Slot) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    put_number(&mut message, 1, index.into());
    match &slot.who {
        Who::Node => {}
        Who::Pod(standing) => {
            let claim = standing.claim();
            put_number(&mut message, 2, 1);
            put_bytes(&mut message, 3, claim.namespace.as_bytes());
            put_bytes(&mut message, 4, claim.name.as_bytes());
            put_bytes(&mut message, 5, claim.uid.as_bytes());
        }
        Who::Container(name, pod) => {
            put_number(&mut message, 2, 2);
            put_bytes(&mut message, 4, name.as_bytes());
            put_number(&mut message, 8, u64::from(*pod));
        }
    }
    put_fixed(&mut message, 7, slot.started.0);
    message
}

/// One sample: births of those that `is_born` chooses, pods before their containers, and changes.
fn sample(
    chain: &Chain,
    (sequence, wall): (u64, u64),
    is_born: impl Fn(&Slot) -> bool,
    change: impl Fn(&Slot) -> Option<(Cells, Cells)>,
) -> Vec<u8> {
    let mut message = Vec::new();
    put_number(&mut message, 1, sequence);
    put_fixed(&mut message, 2, wall);
    let is_container = |slot: &Slot| matches!(slot.who, Who::Container(..));
    for containers in [false, true] {
        for (index, slot) in chain.slots.iter().filter(|(_, slot)| is_born(slot) && is_container(slot) == containers) {
            put_bytes(&mut message, 3, &born(index, slot));
        }
    }
    let mut writer = ChangesWriter::default();
    for (index, slot) in chain.slots.iter() {
        if let Some((before, after)) = change(slot) {
            writer.entity(index.into(), &before, &after);
        }
    }
    put_bytes(&mut message, 5, &writer.finish());
    message
}

impl Chain {
    /// The newest sample and the one before it, as the samples of a push that stands alone.
    fn export(&self) -> Vec<Vec<u8>> {
        const NOTHING: Cells = [0; Metric::ALL.len()];
        let newest = (self.sequence, self.wall.0);
        let Some(earlier) = self.earlier.filter(|_| self.sequence > 1) else {
            return vec![sample(self, newest, |_| true, |slot| Some((NOTHING, cells(self, slot).1)))];
        };
        let was_there = |slot: &Slot| slot.born < self.sequence;
        let before = (self.sequence - 1, earlier.0);
        let told = |slot: &Slot| if was_there(slot) { cells(self, slot).0 } else { NOTHING };
        vec![
            sample(self, before, was_there, |slot| was_there(slot).then(|| (NOTHING, told(slot)))),
            sample(self, newest, |slot| !was_there(slot), |slot| Some((told(slot), cells(self, slot).1))),
        ]
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
        let mut body = Vec::new();
        put_number(&mut body, 1, PROTOCOL_VERSION.into());
        put_bytes(&mut body, 2, node.as_bytes());
        put_fixed(&mut body, 3, state.run);
        for sample in state.chain.export() {
            put_bytes(&mut body, 5, &sample);
        }
        vec![body]
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
    use super::super::{ClusterOptions, PushRefused};
    use super::*;
    use crate::units::UnixNanos;

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

    /// A push of the protocol, by hand: births as (index, kind, name, uid, pod), and cells as (index, metric, before, after).
    fn push(base: u64, sequence: u64, births: &[(u64, u64, &str, &str, u64)], cells: &[(u32, Metric, u64, u64)]) -> Vec<u8> {
        let mut message = Vec::new();
        put_number(&mut message, 1, sequence);
        put_fixed(&mut message, 2, START + sequence * 15 * SECOND);
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
        let pods = ["p1", "p2"].map(|name| store.pod("shop", name, now).map(|usage| (usage.readings, usage.containers)));
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
}
