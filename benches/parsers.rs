//! What a parser adds to a read: the files of a captured machine, parsed from memory.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringside::kernel::{cgroup, cgroup_v1, proc};

macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/", $path))
    };
}

fn parsers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let mut bench = |name: &str, bytes: &'static [u8], parse: &mut dyn FnMut(&[u8])| {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| parse(black_box(bytes))));
    };
    bench("memory.stat v2", fixture!("v2/cgroupfs/kubepods/memory.stat"), &mut |bytes| {
        black_box(cgroup::parse_memory_stat(bytes));
    });
    bench("memory.stat v1", fixture!("v1/cgroupfs/memory/kubepods/memory.stat"), &mut |bytes| {
        black_box(cgroup_v1::parse_memory_stat(bytes));
    });
    bench("cpu.stat v2", fixture!("v2/cgroupfs/kubepods/cpu.stat"), &mut |bytes| {
        black_box(cgroup::parse_cpu_stat(bytes));
    });
    bench("cpu.pressure", fixture!("v2/cgroupfs/kubepods/cpu.pressure"), &mut |bytes| {
        black_box(cgroup::parse_pressure(bytes));
    });
    bench("io.stat", fixture!("v2/cgroupfs/kubepods/io.stat"), &mut |bytes| {
        black_box(cgroup::parse_io_stat(bytes).count());
    });
    bench("memory.current", fixture!("v2/cgroupfs/kubepods/memory.current"), &mut |bytes| {
        black_box(cgroup::parse_value(bytes).ok());
    });
    bench("/proc/stat", fixture!("v2/proc/stat"), &mut |bytes| {
        black_box(proc::parse_stat(bytes));
    });
    bench("/proc/meminfo", fixture!("v2/proc/meminfo"), &mut |bytes| {
        black_box(proc::parse_meminfo(bytes));
    });
    bench("/proc/vmstat", fixture!("v2/proc/vmstat"), &mut |bytes| {
        black_box(proc::parse_vmstat(bytes));
    });
    group.finish();
}

criterion_group!(benches, parsers);
criterion_main!(benches);
