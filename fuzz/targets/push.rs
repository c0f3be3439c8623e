//! Bodies that agents push, into a cluster's store.
//!
//! The input is two bodies behind one another: the length of the first in two bytes, the first, the second. Whatever they
//! say, a body that is refused leaves the newest values as they were, and the history can be asked for.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringside_fuzz::cluster::push::Push;
use ringside_fuzz::cluster::{ClusterOptions, ClusterStore, GroupBy, HistoryQuery, Metric, NodeRecord};
use ringside_fuzz::units::UnixNanos;

const NOW: UnixNanos = UnixNanos(1_700_000_100_000_000_000);

fn push(store: &ClusterStore, body: &[u8]) {
    let before = store.stats();
    let Ok(push) = Push::decode(body) else { return };
    if store.push("a", &push, NOW).is_err() {
        let after = store.stats();
        assert_eq!((before.entities, before.samples, before.newest), (after.entities, after.samples, after.newest));
    }
    for metric in [Metric::CpuUsageUsec, Metric::MemoryWorkingSetBytes] {
        let (from, step) = (UnixNanos(NOW.0 - 300_000_000_000), Duration::from_secs(30));
        let (by, name) = (GroupBy::Cluster, None);
        let query = HistoryQuery { metric, by, namespace: None, node: None, name, pods: None, from, to: NOW, step };
        let _ = store.history(&query);
    }
    let _ = store.nodes(NOW);
}

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (first, second) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    let (history, stale_after) = (Duration::from_secs(900), Duration::from_secs(120));
    let store = ClusterStore::new(ClusterOptions { history, budget_bytes: 1 << 20, stale_after });
    store.put_node(&NodeRecord { name: "a".into(), uid: "u".into(), labels: [].into() });
    push(&store, first);
    push(&store, second);
});
