//! The ring on real samples: bytes per sample, the cost of writing and reading, and other stores on the same samples.
//!
//! In: the traces in `benches/data` (`benches/record.sh` records them). Out: tables. All times are CPU time of this
//! thread. Only the store's public interface is used, so that the same file measures every implementation.
//!
//! ```text
//! cargo bench --bench ring                            everything
//! cargo bench --bench ring -- docker-busy             only traces of this name
//! cargo bench --bench ring -- --only ring             one of the parts ring, rivals, queries, reach
//! ```

#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use ringside::discover::CgroupKind;
use ringside::sample::catalogue::{CgroupColumn, Table};
use ringside::sample::row::Column as _;
use ringside::sample::{NodeSample, Subject};
use ringside::store::query::Windows;
use ringside::store::{self, Store};
use ringside::units::UnixNanos;

#[path = "rivals/mod.rs"]
mod rivals;
#[path = "trace/mod.rs"]
mod trace;

use rivals::{Line, Series, timed};
use trace::replay::{Replay, Replicator};

/// Enough for every trace and hour below: nothing may be evicted while it is measured.
const BUDGET: usize = 64 << 20;
const LARGE_BUDGET: usize = 512 << 20;

const HOUR_TICKS: usize = 3600;
const CONTAINERS: usize = 500;
const MOST_QUERIES: usize = 1_000;

/// A measurement that takes longer stops there and says how far it came.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node of usual size under the default budget, for long enough that every tier is full.
const REACH_CONTAINERS: usize = 100;
const REACH_TICKS: usize = 24 * HOUR_TICKS;
const REACH_BUDGET: usize = 32 << 20;

/// A large ring file, filled.
const REOPEN_BUDGET: usize = 256 << 20;
const REOPEN_TICKS: usize = 4 * HOUR_TICKS;

const PARTS: [&str; 4] = ["ring", "rivals", "queries", "reach"];

fn main() -> anyhow::Result<()> {
    let mut names = Vec::new();
    let mut parts: Vec<&str> = PARTS.into();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        if argument == "--only" {
            let only = arguments.next().unwrap_or_default();
            parts.retain(|part| *part == only);
            ensure!(!parts.is_empty(), "there is no part {only:?}: give one of {PARTS:?}");
        } else {
            names.push(argument);
        }
    }
    let mut traces = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/data");
    for entry in std::fs::read_dir(&folder).context("no benches/data: record traces with benches/record.sh")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".trace.zst"));
        let Some(name) = name.filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == name)) else {
            continue;
        };
        let samples = trace::read(&std::fs::read(&path)?).with_context(|| path.display().to_string())?;
        traces.insert(name.to_owned(), samples);
    }
    if traces.is_empty() {
        bail!("no trace of that name in {}: record it with benches/record.sh", folder.display());
    }
    for (name, samples) in &traces {
        println!("## {name}\n");
        let series = rivals::series(samples);
        describe(samples, &series);
        if parts.contains(&"ring") {
            ring(samples, &series)?;
        }
        if parts.contains(&"rivals") {
            compare(samples, &series)?;
        }
        if parts.contains(&"queries") {
            one_series_over_an_hour(samples)?;
        }
    }
    // The mixed one is what a node looks like.
    let typical = traces.get("docker-mixed").or_else(|| traces.values().next());
    if let Some(samples) = typical.filter(|_| parts.contains(&"queries")) {
        many_containers(samples)?;
    }
    if let Some(samples) = typical.filter(|_| parts.contains(&"reach")) {
        reach(samples)?;
        reopened(samples)?;
    }
    Ok(())
}

/// How far back the default budget reaches, by tier.
fn reach(samples: &[Arc<NodeSample>]) -> anyhow::Result<()> {
    println!(
        "## {REACH_CONTAINERS} containers, {} h, a ring of {} MiB\n",
        REACH_TICKS / HOUR_TICKS,
        REACH_BUDGET >> 20
    );
    let mut replicator = Replicator::new(REACH_CONTAINERS);
    let (mut writer, store) = store::ring(REACH_BUDGET)?;
    Replay::new(samples.to_vec()).take(REACH_TICKS).for_each(|sample| writer.append(replicator.replicate(&sample)));
    let stats = store.stats();
    println!("| tier | MiB | points | reaches back | bytes per sample |");
    println!("|---|---|---|---|---|");
    let newest = store.latest().map_or(0, |newest| newest.wall.0);
    for tier in &stats.tiers {
        println!(
            "| {} | {:.1} of {:.1} | {} | {:.2} h | {:.3} |",
            tier.tier.as_str(),
            tier.used_bytes as f64 / f64::from(1 << 20),
            tier.budget_bytes as f64 / f64::from(1 << 20),
            tier.points,
            tier.oldest.map_or(0.0, |oldest| newest.saturating_sub(oldest.0) as f64 / 3.6e12),
            tier.used_bytes as f64 / tier.samples.max(1) as f64,
        );
    }
    let latest = store.latest().context("the ring is empty")?;
    let subjects: Vec<Arc<Subject>> = containers(&latest).cloned().collect();
    let oldest = stats.oldest.context("the ring is empty")?;
    let count = usize::try_from((newest - oldest.0) / 60_000_000_000)?;
    let minutes = Windows { start: oldest, step_nanos: 60_000_000_000, count };
    let column = CgroupColumn::CpuUsageUsec.index();
    let (answered, time) = within_patience(&subjects, |subject| {
        store.fold_increase(subject.id, column, minutes)?;
        Ok::<usize, store::StoreError>(1)
    })?;
    println!(
        "\nOne container's CPU rate in all {count} minutes: {:.0} µs.\n",
        time.as_secs_f64() * 1e6 / answered.max(1) as f64
    );
    Ok(())
}

/// How long a full ring file takes to open. Wall clock: the disk is part of it.
fn reopened(samples: &[Arc<NodeSample>]) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let data_dir = store::DataDir { path: dir.path().to_path_buf(), retry: Duration::from_secs(10) };
    let boot = store::BootId::parse("5a1d6e0f-0000-4000-8000-000000000001");
    let options = store::RingOptions { budget_bytes: REOPEN_BUDGET, boot, data_dir: Some(data_dir) };
    let mut replicator = Replicator::new(CONTAINERS);
    let mut ring = store::open(&options)?;
    for (number, sample) in Replay::new(samples.to_vec()).take(REOPEN_TICKS).enumerate() {
        ring.writer.append(replicator.replicate(&sample));
        if number % 100 == 99 {
            // As fast as it goes, the tick would overtake the thread that seals.
            std::thread::sleep(Duration::from_millis(60));
        }
    }
    let stats = ring.store.stats();
    drop(ring);
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        let opened = store::open(&options)?;
        times.push(begun.elapsed());
        ensure!(opened.store.stats().ticks > 0, "nothing was found in the file");
    }
    times.sort_unstable();
    println!(
        "A ring file of {} MiB with {:.0} MiB of history ({} ticks, {} rows shed) opens in {:.0} ms ({:.0} to {:.0}), wall clock.\n",
        REOPEN_BUDGET >> 20,
        stats.used_bytes as f64 / f64::from(1 << 20),
        stats.ticks,
        stats.shed_rows,
        quantile(&times, 0.5) / 1e3,
        quantile(&times, 0.0) / 1e3,
        quantile(&times, 1.0) / 1e3,
    );
    Ok(())
}

fn describe(samples: &[Arc<NodeSample>], all: &[Series]) {
    let Some(last) = samples.last() else { return };
    let values: usize = all.iter().map(|series| series.values.len()).sum();
    let varying = all.iter().filter(|series| series.varies()).count();
    let pairs = all.iter().flat_map(|series| series.values.windows(2));
    let moved = pairs.filter(|pair| pair.first() != pair.last()).count();
    println!(
        "{} ticks, {} subjects at the end ({} containers), cgroup {}, kernel {}; {} series with {values} samples.",
        samples.len(),
        trace::subjects(&last.roster).count(),
        containers(last).count(),
        last.machine.cgroup_layout,
        last.machine.kernel_version,
        all.len(),
    );
    println!(
        "{:.1} % of the series vary; {:.1} % of the samples differ from the one before.\n",
        percent(varying, all.len()),
        percent(moved, values),
    );
}

fn containers(sample: &NodeSample) -> impl Iterator<Item = &Arc<Subject>> {
    sample.roster.subjects(Table::Cgroup).iter().filter(|subject| {
        subject.workload.as_ref().is_some_and(|workload| workload.identity.kind == CgroupKind::Container)
    })
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

fn nanos_each(time: Duration, count: usize) -> f64 {
    time.as_nanos() as f64 / count.max(1) as f64
}

fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    let position = sorted.iter().enumerate().find(|(position, _)| *position as f64 >= share * last);
    position.map_or(f64::NAN, |(_, time)| time.as_secs_f64() * 1e6)
}

/// Appends everything; gives the store and the time of each append.
fn filled(samples: impl Iterator<Item = Arc<NodeSample>>, budget: usize) -> anyhow::Result<(Store, Vec<Duration>)> {
    let (mut writer, store) = store::ring(budget)?;
    let times = samples.map(|sample| timed(|| writer.append(sample)).1).collect();
    let stats = store.stats();
    ensure!(stats.evicted_ticks == 0 && stats.shed_rows == 0, "the ring is too small to be measured: {stats:?}");
    Ok((store, times))
}

fn whole() -> (UnixNanos, UnixNanos) {
    (UnixNanos(0), UnixNanos(u64::MAX))
}

fn ring(samples: &[Arc<NodeSample>], all: &[Series]) -> anyhow::Result<()> {
    let (store, mut times) = filled(samples.iter().cloned(), BUDGET)?;
    let stats = store.stats();
    let values: usize = all.iter().map(|series| series.values.len()).sum();
    let rows = |table| samples.iter().map(|sample| sample.roster.subjects(table).len()).sum::<usize>();
    let total: Duration = times.iter().sum();
    times.sort_unstable();
    println!("| the ring | |");
    println!("|---|---|");
    println!("| bytes, open tails counted | {} |", stats.used_bytes);
    println!("| samples by its own count (limits that are not set are some) | {} |", stats.samples);
    println!("| bytes per sample | {:.3} |", stats.used_bytes as f64 / stats.samples.max(1) as f64);
    println!("| append, per tick | median {:.1} µs, p99 {:.1} µs |", quantile(&times, 0.5), quantile(&times, 0.99));
    println!("| append, per cgroup and tick (all tables in it) | {:.0} ns |", nanos_each(total, rows(Table::Cgroup)));
    println!("| append, per sample | {:.2} ns |", nanos_each(total, values));

    // What is read is held against what was written: the count and a sum of everything.
    let (mut read, mut sum) = (0, 0_u64);
    let (start, end) = whole();
    let subjects = store.remembered();
    let (outcome, time) = timed(|| {
        for known in &subjects {
            store.rows(known.subject.id, None, start, end, |observed| {
                for column in 0..observed.row.values.len() {
                    if let Some(value) = observed.row.cell_at(column).value() {
                        read += 1;
                        sum = sum.wrapping_add(value);
                    }
                }
            })?;
        }
        Ok::<(), store::StoreError>(())
    });
    outcome?;
    let written = all.iter().flat_map(|series| &series.values).fold(0_u64, |sum, value| sum.wrapping_add(*value));
    ensure!((read, sum) == (values, written), "{read} samples were read, {values} were written, or they differ");
    println!("| rows of all subjects, all columns, per sample | {:.2} ns |", nanos_each(time, read));
    let (points, time) = within_patience(all, |series| {
        store.history(series.subject, series.column, start, end).map(|points| points.len())
    })?;
    println!("| history of one column after the other, per sample | {:.2} ns |\n", nanos_each(time, points));
    Ok(())
}

/// Asks one after the other until patience ends; gives the sum of the answers and the time.
fn within_patience<T, E>(items: &[T], mut ask: impl FnMut(&T) -> Result<usize, E>) -> Result<(usize, Duration), E> {
    let (mut sum, mut spent) = (0, Duration::ZERO);
    for item in items {
        let (answer, time) = timed(|| ask(item));
        sum += answer?;
        spent += time;
        if spent > PATIENCE {
            break;
        }
    }
    Ok((sum, spent))
}

fn compare(samples: &[Arc<NodeSample>], all: &[Series]) -> anyhow::Result<()> {
    println!("| store | bytes | B/sample | encode ns/sample | decode ns/sample |");
    println!("|---|---|---|---|---|");
    let (store, times) = filled(samples.iter().cloned(), BUDGET)?;
    let stats = store.stats();
    // By numbers, as the others are counted: limits that are not set are no samples here.
    let samples: usize = all.iter().map(|series| series.values.len()).sum();
    let append = times.iter().sum();
    let (start, end) = whole();
    let subjects = store.remembered();
    let (read, time) = within_patience(&subjects, |known| {
        let mut read = 0;
        let count = |observed: store::Observed<'_>| {
            read += observed.row.present.0.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        };
        store.rows(known.subject.id, None, start, end, count).map(|_| read)
    })?;
    let decode = time.mul_f64(samples as f64 / read.max(1) as f64);
    let ours = Line {
        name: "ringside's ring (with absence, limits, instants of reading)".to_owned(),
        bytes: stats.used_bytes,
        samples,
        encode: Some(append),
        decode: Some(decode),
    };
    print(&ours);
    match rivals::gorilla::measure(all) {
        Some(line) => print(&line),
        None => println!("| Gorilla: what was read is not what was written; repair benches/rivals/gorilla.rs |"),
    }
    match rivals::prometheus::measure(all) {
        Ok(lines) => lines.iter().for_each(print),
        Err(reason) => println!("| Prometheus TSDB: {reason} | | | | |"),
    }
    rivals::general::measure(all).iter().for_each(print);
    println!();
    Ok(())
}

fn print(line: &Line) {
    let each =
        |time: Option<Duration>| time.map_or("–".to_owned(), |time| format!("{:.1}", nanos_each(time, line.samples)));
    println!(
        "| {} | {} | {:.3} | {} | {} |",
        line.name,
        line.bytes,
        line.bytes as f64 / line.samples.max(1) as f64,
        each(line.encode),
        each(line.decode)
    );
}

/// Numbers that look random and are the same in every run (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

/// Asks many times; gives the sorted times.
fn ask_many(mut ask: impl FnMut(u64) -> anyhow::Result<()>) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let (mut state, mut spent) = (1, Duration::ZERO);
    while times.len() < MOST_QUERIES && spent < PATIENCE {
        let number = random(&mut state);
        let (answer, time) = timed(|| ask(number));
        answer?;
        times.push(time);
        spent += time;
    }
    times.sort_unstable();
    Ok(times)
}

fn print_times(what: &str, times: &[Duration]) {
    let (median, worst) = (quantile(times, 0.5), quantile(times, 0.99));
    println!("| {what} | {} | {median:.1} | {worst:.1} |", times.len());
}

fn hour(samples: &[Arc<NodeSample>]) -> impl Iterator<Item = Arc<NodeSample>> {
    Replay::new(samples.to_vec()).take(HOUR_TICKS)
}

fn windows(store: &Store) -> anyhow::Result<Windows> {
    let newest = store.latest().context("the ring is empty")?.wall;
    let length = HOUR_TICKS as u64 * 1_000_000_000;
    Ok(Windows { start: UnixNanos(newest.0.saturating_sub(length)), step_nanos: length, count: 1 })
}

fn one_series_over_an_hour(samples: &[Arc<NodeSample>]) -> anyhow::Result<()> {
    let (store, _) = filled(hour(samples), LARGE_BUDGET)?;
    let all = rivals::series(samples);
    let varying: Vec<&Series> = all.iter().filter(|series| series.varies()).collect();
    let newest = store.latest().context("the ring is empty")?.wall;
    let pick = |from: &[&Series], number: u64| {
        let position = usize::try_from(number % from.len().max(1) as u64).unwrap_or(0);
        from.get(position).map(|series| (series.subject, series.column)).context("no series varies")
    };
    println!("| one series over an hour of {HOUR_TICKS} ticks | queries | median µs | p99 µs |");
    println!("|---|---|---|---|");
    let every: Vec<&Series> = all.iter().collect();
    for (what, from) in [("any series", &every), ("series that vary", &varying)] {
        let times = ask_many(|number| {
            let (subject, column) = pick(from, number)?;
            std::hint::black_box(store.history(subject, column, UnixNanos(0), newest)?);
            Ok(())
        })?;
        print_times(&format!("history, {what}"), &times);
    }
    let whole = windows(&store)?;
    let minutes = Windows { step_nanos: whole.step_nanos / 60, count: 60, ..whole };
    let times = ask_many(|number| {
        let (subject, column) = pick(&varying, number)?;
        std::hint::black_box(store.fold(subject, column, minutes)?);
        Ok(())
    })?;
    print_times("fold into 60 minutes, series that vary", &times);
    println!();
    Ok(())
}

fn many_containers(samples: &[Arc<NodeSample>]) -> anyhow::Result<()> {
    println!("## {CONTAINERS} containers, {HOUR_TICKS} ticks\n");
    let mut replicator = Replicator::new(CONTAINERS);
    let (store, mut times) = filled(hour(samples).map(|sample| replicator.replicate(&sample)), LARGE_BUDGET)?;
    let stats = store.stats();
    let total: Duration = times.iter().sum();
    let appended = times.len();
    times.sort_unstable();
    println!("| | |");
    println!("|---|---|");
    println!(
        "| ring | {:.1} MiB, {:.3} bytes per sample |",
        stats.used_bytes as f64 / f64::from(1 << 20),
        stats.used_bytes as f64 / stats.samples.max(1) as f64
    );
    println!("| append, per tick | median {:.0} µs, p99 {:.0} µs |", quantile(&times, 0.5), quantile(&times, 0.99));
    println!("| append, per container and tick | {:.0} ns |", nanos_each(total, appended * CONTAINERS));
    println!("| append, per sample | {:.2} ns |", nanos_each(total, usize::try_from(stats.samples)?));
    let latest = store.latest().context("the ring is empty")?;
    let subjects: Vec<Arc<Subject>> = containers(&latest).cloned().collect();
    let windows = windows(&store)?;
    let mut rates = Vec::new();
    let column = CgroupColumn::CpuUsageUsec.index();
    let (answered, time) = within_patience(&subjects, |subject| {
        let (folds, _) = store.fold_increase(subject.id, column, windows)?;
        rates.push((folds.first().and_then(store::query::Fold::rate).unwrap_or(0.0), Arc::clone(&subject.name)));
        Ok::<usize, store::StoreError>(1)
    })?;
    rates.sort_by(|one, other| other.0.total_cmp(&one.0));
    rates.truncate(10);
    let milliseconds = time.as_secs_f64() * 1e3;
    if answered == subjects.len() {
        println!("| top 10 of {answered} containers by CPU over 1 h | {milliseconds:.1} ms |");
    } else {
        let all = milliseconds * subjects.len() as f64 / answered.max(1) as f64;
        println!(
            "| top 10 by CPU over 1 h | {answered} of {} took {milliseconds:.0} ms: all would take {all:.0} ms |",
            subjects.len()
        );
    }
    if let Some((rate, name)) = rates.first() {
        println!("| the first of them | {:.3} CPUs, {name} |", rate / 1e6);
    }
    Ok(())
}
