#!/bin/sh
# Fuzzes each target for SECONDS (default 15): fuzz/run.sh [SECONDS] [TARGET…]
# Needs stable Rust and a C++ compiler only: the flags below are what cargo-fuzz would pass, without the sanitizer.
# A crash is left in fuzz/artifacts and ends the run with a failure.
set -eu
cd "$(dirname "$0")"
seconds=${1:-15}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- cgroup cgroup_v1 proc push text

RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
# A named target keeps the flags away from build scripts, which have no fuzzer to link with.
host=$(rustc -vV | sed -n 's/^host: //p')
CARGO_TARGET_DIR=target cargo build --release --bins --target "$host"

for target in "$@"; do
    corpus=corpus-work/$target
    mkdir -p "$corpus" artifacts
    # The machine's own files are the seeds.
    case $target in
    cgroup) seeds='/sys/fs/cgroup/*.stat /sys/fs/cgroup/*.pressure /sys/fs/cgroup/unified/*.* /sys/fs/cgroup/*/*.events' ;;
    cgroup_v1) seeds='/sys/fs/cgroup/memory/memory.* /sys/fs/cgroup/cpu/cpu.* /sys/fs/cgroup/cpuacct/cpuacct.* /sys/fs/cgroup/blkio/blkio.*' ;;
    proc) seeds='/proc/stat /proc/meminfo /proc/vmstat /proc/loadavg /proc/uptime /proc/diskstats /proc/net/dev /proc/self/stat' ;;
    push) seeds='seeds/push/*' ;;
    *) seeds='/proc/self/cgroup /proc/self/mountinfo seeds/text/*' ;;
    esac
    for seed in $seeds; do
        [ -r "$seed" ] && [ -f "$seed" ] && cat "$seed" >"$corpus/seed-$(echo "$seed" | tr / _)" 2>/dev/null || true
    done
    "target/$host/release/$target" -max_total_time="$seconds" -max_len=8192 -timeout=5 -rss_limit_mb=1024 \
        -artifact_prefix="artifacts/$target-" -print_final_stats=1 "$corpus"
done
