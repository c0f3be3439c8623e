//! Records what the agent reads on this machine, as a trace for `benches/ring.rs`.
//!
//! In: how long, which cgroups and subjects, which runtime's socket. Out: a file (`benches/trace/mod.rs` documents it).
//! Discovery and sampler run as in the agent, in this process, at its interval of one second; nothing is served.
//!
//! ```text
//! record_trace --seconds 900 --out benches/data/NAME.trace.zst --keep cgroup=/docker/* --keep filesystem=/
//! ```

#![expect(clippy::print_stderr, reason = "a program for developers tells them what it does")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use ringside::discover::{self, CgroupLayout, DiscoverOptions, RuntimeSocket, SocketKind};
use ringside::sample::{MachineFacts, NodeSample, Sampler, SamplerOptions, SubjectIds};

#[path = "../benches/trace/mod.rs"]
mod trace;

/// Discovery events that may wait, and kernel files that are kept open: the agent's own numbers.
const EVENTS_CAP: usize = 16_384;
const KEPT_FILES: u64 = 256;

/// Ticks that are left out at the beginning, while discovery and runtimes still tell who is there.
const SETTLING_TICKS: u64 = 3;

/// zstd's level: a trace is written once and stored for ever.
const LEVEL: i32 = 22;

/// Records samples of this machine into a file.
#[derive(Parser)]
struct Arguments {
    /// Ticks to record, at one a second.
    #[arg(long)]
    seconds: usize,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
    /// TABLE=NAME or TABLE=BEGINNING*: what to keep; tables that are not named are kept whole.
    #[arg(long)]
    keep: Vec<String>,
    /// Docker's socket, for names and images.
    #[arg(long)]
    docker_socket: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut keeper = trace::keep::Keeper::new(arguments.keep.iter().map(String::as_str)).map_err(anyhow::Error::msg)?;
    let layout = CgroupLayout::detect("/sys/fs/cgroup".as_ref(), "/proc".as_ref())?;
    let machine = Arc::new(MachineFacts::read("/proc".as_ref(), "/sys".as_ref(), None, layout.as_str()));
    let sampler = Sampler::new(SamplerOptions {
        interval: Duration::from_secs(1),
        procfs: "/proc".into(),
        sysfs: "/sys".into(),
        hierarchies: ringside::agent::hierarchies(&layout),
        kept_files: KEPT_FILES,
        skip_idle: true,
        machine,
        ids: SubjectIds::default(),
        details: std::sync::Arc::default(),
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (found, events) = mpsc::sync_channel(EVENTS_CAP);
    let socket = |path| RuntimeSocket { path, kind: SocketKind::Docker };
    let options = DiscoverOptions {
        sockets: arguments.docker_socket.into_iter().map(socket).collect(),
        ..DiscoverOptions::default()
    };
    let discoverer = discover::start(options, &layout, found, runtime.handle())?;

    let stop = AtomicBool::new(false);
    let mut samples: Vec<Arc<NodeSample>> = Vec::new();
    sampler.run(&events, &stop, |sample| {
        if sample.tick <= SETTLING_TICKS {
            return;
        }
        samples.push(keeper.keep(&sample));
        if samples.len().is_multiple_of(60) {
            eprintln!("{} of {} ticks", samples.len(), arguments.seconds);
        }
        stop.store(samples.len() >= arguments.seconds, Ordering::Relaxed);
    });
    drop(discoverer);

    let file = trace::write(&samples, LEVEL)?;
    let read =
        trace::read(&file).context("the file that was just made cannot be read: this is a fault of the format")?;
    anyhow::ensure!(read.len() == samples.len(), "{} ticks became {}", samples.len(), read.len());
    std::fs::write(&arguments.out, &file)
        .with_context(|| format!("cannot write {}: make its folder, or give another --out", arguments.out.display()))?;
    let subjects = samples.last().map_or(0, |sample| trace::subjects(&sample.roster).count());
    eprintln!(
        "{}: {} ticks, {subjects} subjects at the end, {} bytes",
        arguments.out.display(),
        read.len(),
        file.len()
    );
    Ok(())
}
