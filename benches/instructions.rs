//! Instruction counts, by valgrind: the same number on a quiet machine and on a busy one, so that a change shows.
//!
//! Needs valgrind and `gungraun-runner` of the version in `Cargo.lock`; `make bench` installs the runner.

#![allow(missing_docs, reason = "the macros make public items without documentation")]
#![allow(clippy::exit, reason = "the library's main ends so")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run stops with the reason")]

use std::hint::black_box;
use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use ringside::kernel::cgroup;
use ringside::sample::NodeSample;
use ringside::store::{self, StoreWriter};
use ringside::view::prometheus::layout::Layout;
use ringside::view::prometheus::maxima::{Maxima, Tracker};
use ringside::view::prometheus::sink::Sink;
use ringside::view::prometheus::{Compression, Format, Labels, encoder};

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

const MEMORY_STAT: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v2/cgroupfs/kubepods/memory.stat"));

#[library_benchmark]
fn parse_memory_stat() -> cgroup::MemoryStat {
    black_box(cgroup::parse_memory_stat(black_box(MEMORY_STAT)))
}

/// A ring that has seen the first tick, and the second.
fn second_tick() -> (StoreWriter, Arc<NodeSample>) {
    let (mut writer, _store) = store::ring(store::LEAST_BUDGET_BYTES * 16).expect("the budget is large enough");
    writer.append(Arc::new(synthetic::node(100, 1)));
    (writer, Arc::new(synthetic::node(100, 2)))
}

#[library_benchmark]
#[bench::hundred_containers(second_tick())]
fn append_a_tick((mut writer, sample): (StoreWriter, Arc<NodeSample>)) -> StoreWriter {
    writer.append(black_box(sample));
    writer
}

/// A node with a hundred containers, its labels rendered: what the first scrape of a tick finds.
fn before_a_scrape() -> (NodeSample, Layout, Maxima) {
    let sample = synthetic::node(100, 2);
    let mut tracker = Tracker::default();
    tracker.observe(&synthetic::node(100, 1));
    tracker.observe(&sample);
    let layout = Layout::new(Arc::clone(&sample.roster), Arc::clone(&sample.machine), Labels::Full);
    (sample, layout, tracker.maxima(std::time::Instant::now()))
}

#[library_benchmark]
#[bench::hundred_containers(before_a_scrape())]
fn encode_a_scrape((sample, layout, maxima): (NodeSample, Layout, Maxima)) -> Option<usize> {
    let mut sink = Sink::new(Compression::Identity, Vec::with_capacity(32 << 20)).ok()?;
    encoder::encode(&sample, &layout, &maxima, Format::Text, &mut sink);
    sink.finish().ok().map(|(body, _)| body.len())
}

library_benchmark_group!(name = hot, benchmarks = [parse_memory_stat, append_a_tick, encode_a_scrape]);
main!(library_benchmark_groups = hot);
