//! What each collector of the node's details costs: the CPU time of one reading of its files, on this machine as it is.
//!
//! The numbers depend on the machine: on its CPUs, its interfaces, its sockets, and the table says how many rows came.
//! For other interfaces, run it in a network namespace that has them, with a sysfs of its own.
//!
//! `cargo bench --bench node`

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use ringside::sample::details::node::{NodeDetails, NodeRoots};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 200;

/// CPU time of this thread: other programs do not disturb it.
fn cpu_usec() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    std::time::Duration::try_from(time).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

fn main() {
    let roots = NodeRoots { procfs: "/proc".into(), sysfs: "/sys".into() };
    println!("{:<14} {:>6} {:>10} {:>10}", "collector", "rows", "median µs", "p90 µs");
    let mut total = 0.0;
    for (name, mut read) in NodeDetails::each(&roots) {
        let rows = read();
        let mut took: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let began = cpu_usec();
                std::hint::black_box(read());
                cpu_usec() - began
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
        println!("{name:<14} {rows:>6} {:>10.1} {:>10.1}", at(50), at(90));
        total += at(50);
    }
    println!("{:<14} {:>6} {total:>10.1}", "all", "");
}
