#!/usr/bin/env bash
# Measures the whole agent, as the kernel accounts it: CPU, resident memory, memory charged to its cgroup, time to the
# first sample, and what one scrape costs. Makes its own cgroups beside the existing ones and removes them. Needs root.
#
#   benches/agent.sh [CGROUPS] [SECONDS] [BUSY_SHARE_PERCENT] [WARM_UP_SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."

cgroups=${1:-100} seconds=${2:-60} busy=${3:-100} warm_up=${4:-15}
binary=${RINGSIDE_BINARY:-${CARGO_TARGET_DIR:-target}/release/ringside}
[ -x "$binary" ] || { echo "no $binary: run 'cargo build --release' first" >&2; exit 1; }
ticks_per_second=$(getconf CLK_TCK)
work=$(mktemp -d)
name=ringside-measure-$$
pids=()

# Every hierarchy that takes cgroups: all of v1's, the unified tree, or v2 alone.
roots=()
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  roots=(/sys/fs/cgroup)
else
  for root in cpu cpuacct memory blkio pids unified; do
    [ -d "/sys/fs/cgroup/$root" ] && roots+=("$(readlink -f "/sys/fs/cgroup/$root")")
  done
  mapfile -t roots < <(printf '%s\n' "${roots[@]}" | sort -u)
fi

clean() {
  [ -n "${agent:-}" ] && kill "$agent" 2>/dev/null && wait "$agent" 2>/dev/null
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  for _ in 1 2 3 4 5; do
    for root in "${roots[@]}"; do
      find "$root/$name" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    [ -e "${roots[0]}/$name" ] || break
    sleep 0.2
  done
  rm -rf "$work"
}
trap clean EXIT

for root in "${roots[@]}"; do
  mkdir "$root/$name" "$root/$name/agent"
  { echo '+cpu +memory +io +pids' > "$root/$name/cgroup.subtree_control"; } 2>/dev/null || true
done

# A busy one wakes twenty times a second, as a small service does: its counters move at every tick.
for number in $(seq "$cgroups"); do
  id=$(printf '%064x' "$number")
  if [ $(((number - 1) * 100 / cgroups)) -lt "$busy" ]; then
    perl -e 'while (1) { select undef, undef, undef, 0.05 }' &
  else
    sleep 100000 &
  fi
  pids+=($!)
  for root in "${roots[@]}"; do
    mkdir "$root/$name/docker-$id.scope"
    echo $! > "$root/$name/docker-$id.scope/cgroup.procs"
  done
done

port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$agent/stat"; }
nanoseconds() { date +%s%N; }

began=$(nanoseconds)
"$binary" agent --listen "127.0.0.1:$port" --docker-socket none --podman-socket none --cri-socket none >"$work/log" 2>&1 &
agent=$!
for root in "${roots[@]}"; do echo "$agent" > "$root/$name/agent/cgroup.procs"; done
until curl -sf "http://127.0.0.1:$port/readyz" >/dev/null; do
  kill -0 "$agent" || { cat "$work/log" >&2; exit 1; }
  sleep 0.005
done
first_ms=$((($(nanoseconds) - began) / 1000000))

sleep "$warm_up"
before=$(cpu_ticks) began=$(nanoseconds)
sleep "$seconds"
after=$(cpu_ticks) ended=$(nanoseconds)
percent=$(awk -v t=$((after - before)) -v hz="$ticks_per_second" -v ns=$((ended - began)) 'BEGIN { printf "%.2f", 100 * t / hz / (ns / 1e9) }')

series=$(curl -s "http://127.0.0.1:$port/metrics" | grep -vc '^#')
bytes=$(curl -s "http://127.0.0.1:$port/metrics" | wc -c)
before=$(cpu_ticks) began=$(nanoseconds)
scrapes=30
for _ in $(seq $scrapes); do
  curl -s "http://127.0.0.1:$port/metrics" >/dev/null
  sleep 1
done
after=$(cpu_ticks) ended=$(nanoseconds)
scrape_ms=$(awk -v t=$((after - before)) -v hz="$ticks_per_second" -v n=$scrapes -v idle="$percent" -v ns=$((ended - began)) \
  'BEGIN { printf "%.1f", (t / hz - idle / 100 * ns / 1e9) / n * 1000 }')

# How late ticks begin: one reading a second.
for _ in $(seq "$seconds"); do
  curl -s "http://127.0.0.1:$port/api/v1/node" | grep -o '"delay_seconds":[0-9.e-]*' | cut -d: -f2
  sleep 1
done | sort -g > "$work/delays"
delays=$(awk '{ v[NR] = $1 } END { printf "median %.2f ms, p99 %.2f ms, worst %.2f ms of %d", v[int((NR + 1) / 2)] * 1e3, v[int(NR * 0.99 + 0.5)] * 1e3, v[NR] * 1e3, NR }' "$work/delays")

rss=$(awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$agent/status")
charged=$(cat "/sys/fs/cgroup/$name/agent/memory.current" 2>/dev/null || cat "/sys/fs/cgroup/memory/$name/agent/memory.usage_in_bytes")
missed=$(curl -s "http://127.0.0.1:$port/metrics" | awk '/^ringside_agent_missed_ticks_total/ { print $2 }')

cat <<END
cgroups                      $cgroups, $busy % of them awake in every second, after $warm_up s
first sample                 $first_ms ms after start
CPU                          $percent % of a core, over $seconds s
resident memory              $rss MiB
memory charged to its cgroup $(awk -v b="$charged" 'BEGIN { printf "%.1f", b / 1048576 }') MiB
ticks begin late by          $delays
missed ticks                 ${missed:-?}
a scrape                     $scrape_ms ms CPU for $series series, $bytes bytes
binary                       $(awk -v b="$(stat -c %s "$binary")" 'BEGIN { printf "%.1f", b / 1048576 }') MiB
END
