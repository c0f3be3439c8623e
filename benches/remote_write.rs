//! Pushes on real samples: bytes per sample on the wire and CPU time per sample, by protocol, step and interval.
//!
//! In: the traces in `benches/data`. Out: a table for each. What is measured is what the agent does: the ring is read by
//! the same source and written by the same formats; nothing is sent. All times are CPU time of this thread.
//!
//! ```text
//! cargo bench --bench remote_write                  every trace
//! cargo bench --bench remote_write -- docker-mixed  only traces of this name
//! ```

#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ringside::agent::export::TailSource;
use ringside::sample::NodeSample;
use ringside::store;
use ringside::uplink::export::{Format, Source as _, Version, Window};
use ringside::view::prometheus::Labels;
use ringside::view::remote::tail::{Tail, TailOptions};

#[expect(dead_code, reason = "only the replay's CPU clock is used")]
#[path = "rivals/mod.rs"]
mod rivals;
#[path = "trace/mod.rs"]
mod trace;

use rivals::timed;
use trace::replay::{Replay, Replicator};

/// Enough for every trace: nothing may be evicted while it is measured.
const BUDGET: usize = 128 << 20;

/// How long is sent of each trace, and on how many containers.
const TICKS: usize = 600;
const CONTAINERS: usize = 50;

fn main() -> anyhow::Result<()> {
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/data");
    let mut found = false;
    for name in ["docker-mixed", "docker-busy", "guest-v2"] {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        found = true;
        let path = folder.join(format!("{name}.trace.zst"));
        let samples = trace::read(&std::fs::read(&path)?).with_context(|| path.display().to_string())?;
        measure(name, &samples)?;
    }
    ensure!(found, "there is no trace of that name");
    Ok(())
}

fn measure(name: &str, samples: &[Arc<NodeSample>]) -> anyhow::Result<()> {
    let mut replicator = Replicator::new(CONTAINERS);
    let (mut writer, store) = store::ring(BUDGET)?;
    Replay::new(samples.to_vec()).take(TICKS).for_each(|sample| writer.append(replicator.replicate(&sample)));
    let labels = [("instance", "node-1"), ("job", "ringside")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = TailOptions { labels: labels.into(), ..TailOptions::default() };
    let mut source = TailSource::new(Tail::new(store, Labels::Full, options));
    let extent = source.extent().context("the ring is empty")?;
    println!("## {name}, at least {CONTAINERS} containers, {TICKS} ticks\n");
    println!(
        "| step | interval | samples of a series in a request | protocol | samples | requests | bytes per sample | µs of CPU per 1,000 samples |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (step, interval) in [(1, 1), (1, 15), (1, 60), (1, 120), (15, 15), (15, 60), (15, 120), (15, 240)] {
        let (step_ms, interval_ms) = (if step == 1 { 0 } else { step * 1000 }, interval * 1000);
        let resource = vec![("service.name".to_owned(), "ringside".to_owned())];
        let formats = [
            ("remote write 1.0", Format::RemoteWrite(Version::V1)),
            ("remote write 2.0", Format::RemoteWrite(Version::V2)),
            ("OTLP, gzip", Format::Otlp { resource, is_gzip: true }),
        ];
        let mut sums = formats.map(|(name, format)| (name, format, 0u64, 0usize, 0usize, Duration::ZERO));
        // The first interval is left out: whole steps are measured.
        let mut after_ms = (extent.oldest_ms / interval_ms + 1) * interval_ms - 1;
        let mut windows = 0;
        while after_ms + interval_ms <= extent.newest_ms && windows < (120 / interval).clamp(2, 10) {
            let window = Window { after_ms, until_ms: after_ms + interval_ms, step_ms };
            let (series, reading) = timed(|| source.read(window));
            for (_, format, samples, requests, bytes, time) in &mut sums {
                let (bodies, encoding) = timed(|| format.encode(&series));
                *samples += bodies.iter().map(|body| body.samples).sum::<u64>();
                *requests += bodies.len();
                *bytes += bodies.iter().map(|body| body.bytes.len()).sum::<usize>();
                *time += reading + encoding;
            }
            after_ms += interval_ms;
            windows += 1;
        }
        for (name, _, samples, requests, bytes, time) in &sums {
            println!(
                "| {step} s | {interval} s | {} | {name} | {samples} | {requests} | {:.2} | {:.0} |",
                interval / step,
                *bytes as f64 / *samples as f64,
                time.as_secs_f64() * 1e9 / *samples as f64,
            );
        }
    }
    println!();
    Ok(())
}
