//! What one scrape costs: text and protobuf of a node with 100 and 500 containers, with and without compression.
//!
//! Measured in CPU time of the thread, because that is what a node pays, and so that a busy machine does not count.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringside::view::prometheus::blocks::Blocks;
use ringside::view::prometheus::encoder::Options;
use ringside::view::prometheus::layout::Layout;
use ringside::view::prometheus::maxima::{Maxima, Tracker};
use ringside::view::prometheus::sink::Sink;
use ringside::view::prometheus::{Compression, Format, Labels, encoder};

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

/// CPU time of the calling thread.
struct ThreadCpu;

fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Measurement for ThreadCpu {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        thread_cpu()
    }

    fn end(&self, start: Duration) -> Duration {
        thread_cpu().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn expositions(criterion: &mut Criterion<ThreadCpu>) {
    for containers in [100, 500] {
        let before = synthetic::node(containers, 1);
        let sample = synthetic::node(containers, 2);
        let mut tracker = Tracker::default();
        tracker.observe(&before);
        tracker.observe(&sample);
        for tick in 3..63 {
            tracker.observe(&synthetic::node(containers, tick));
        }
        let maxima: Maxima = tracker.maxima(std::time::Instant::now());
        let mut group = criterion.benchmark_group(format!("exposition/{containers}"));
        group.sample_size(20);
        for labels in [Labels::Slim, Labels::Full] {
            let layout = Layout::new(Arc::clone(&sample.roster), Arc::clone(&sample.machine), labels);
            let layout = Arc::new(layout);
            let blocks = Blocks::new(&layout);
            let make_as = |format, classic, compression, room| {
                let mut sink = Sink::new(compression, room).ok()?;
                let options = Options { format, classic, blocks: Some(&blocks), ..Options::default() };
                encoder::encode_with(black_box(&sample), &layout, &maxima, &options, &mut sink);
                sink.finish().ok().map(|(body, _)| body)
            };
            let make = |compression, room| make_as(Format::Text, false, compression, room);
            let Some(text) = make(Compression::Identity, Vec::new()) else { continue };
            let lines = text.iter().filter(|byte| **byte == b'\n').count();
            eprintln_count(containers, labels, lines, text.len());
            let Some(mut protobuf) = make_as(Format::Protobuf, false, Compression::Identity, Vec::new()) else {
                continue;
            };
            eprintln_count(containers, labels, 0, protobuf.len());
            group.throughput(Throughput::Bytes(u64::try_from(text.len()).unwrap_or(0)));
            let bytes = text.len();
            // Without the page faults of fresh memory: what the encoder itself costs.
            let mut room = text;
            group.bench_function(format!("{}/encode", labels.as_str()), |bencher| {
                bencher.iter(|| room = make(Compression::Identity, std::mem::take(&mut room)).unwrap_or_default());
            });
            group.bench_function(format!("{}/protobuf/encode", labels.as_str()), |bencher| {
                bencher.iter(|| {
                    let room = std::mem::take(&mut protobuf);
                    protobuf = make_as(Format::Protobuf, false, Compression::Identity, room).unwrap_or_default();
                });
            });
            group.bench_function(format!("{}/protobuf/gzip", labels.as_str()), |bencher| {
                bencher.iter(|| make_as(Format::Protobuf, false, Compression::Gzip, Vec::new()).map(|body| body.len()));
            });
            for (compression, likely) in
                [(Compression::Identity, bytes), (Compression::Gzip, bytes / 8), (Compression::Zstd, bytes / 8)]
            {
                group.bench_function(format!("{}/{}", labels.as_str(), compression.as_str()), |bencher| {
                    bencher.iter(|| make(compression, Vec::with_capacity(likely)).map(|body| body.len()));
                });
            }
        }
        let full = Layout::new(Arc::clone(&sample.roster), Arc::clone(&sample.machine), Labels::Full);
        let full = Arc::new(full);
        group.bench_function("blocks/full", |bencher| bencher.iter(|| Blocks::new(&full)));
        group.bench_function("layout/full", |bencher| {
            bencher.iter(|| Layout::new(Arc::clone(&sample.roster), Arc::clone(&sample.machine), Labels::Full));
        });
        let mut next = 63;
        drop(maxima);
        group.bench_function("maxima/observe", |bencher| {
            bencher.iter(|| {
                let mut later = sample.clone();
                later.tick = next;
                next += 1;
                tracker.observe(&later);
            });
        });
        group.finish();
    }
}

#[expect(clippy::print_stderr, reason = "the sizes belong beside the times")]
fn eprintln_count(containers: u64, labels: Labels, lines: usize, text: usize) {
    eprintln!("{containers} containers, {}: {lines} lines, {text} bytes", labels.as_str());
}

criterion_group!(name = benches; config = Criterion::default().with_measurement(ThreadCpu); targets = expositions);
criterion_main!(benches);
