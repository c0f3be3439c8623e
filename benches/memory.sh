#!/usr/bin/env bash
# Measures the agent's memory with history: resident, charged to its cgroup (the kernel's share included), and the ring.
#
# In:  how many cgroups, after how many seconds, which share of them is awake. Root, and a release binary
#      (RINGSIDE_BINARY, or cargo's). Out: a table. It makes its own cgroups beside the existing ones and removes them.
#      The agent reads every cgroup of the machine: on a machine with others, more than its own.
#
#   benches/memory.sh [CONTAINERS] [SECONDS] [BUSY_SHARE_PERCENT]
set -euo pipefail
cd "$(dirname "$0")/.."

containers=${1:-100} seconds=${2:-900} busy=${3:-100}
binary=${RINGSIDE_BINARY:-${CARGO_TARGET_DIR:-target}/release/ringside}
[ -x "$binary" ] || { echo "no $binary: run 'cargo build --release' first, or name one in RINGSIDE_BINARY" >&2; exit 1; }
work=$(mktemp -d)
name=ringside-memory-$$
pids=()
agent=

# Every hierarchy that takes cgroups: all of v1's, the unified tree, or v2 alone. The agent's memory is charged in one.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  roots=(/sys/fs/cgroup)
  charged=/sys/fs/cgroup/$name/agent/memory.current
else
  roots=()
  for root in cpu cpuacct memory blkio pids unified; do
    [ -d "/sys/fs/cgroup/$root" ] && roots+=("$(readlink -f "/sys/fs/cgroup/$root")")
  done
  mapfile -t roots < <(printf '%s\n' "${roots[@]}" | sort -u)
  charged=/sys/fs/cgroup/memory/$name/agent/memory.usage_in_bytes
fi

clean() {
  if [ -n "$agent" ]; then kill "$agent" 2>/dev/null || true; fi
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
trap 'exit 1' INT TERM

for root in "${roots[@]}"; do
  mkdir "$root/$name"
  # Before the children: a v2 cgroup gets its memory file only from a parent that hands the controller on.
  { echo '+cpu +memory +io +pids' > "$root/$name/cgroup.subtree_control"; } 2>/dev/null || true
  mkdir "$root/$name/agent"
done
[ -e "$charged" ] || { echo "no $charged: this machine has no memory controller for cgroups; boot with cgroup_enable=memory" >&2; exit 1; }

# A busy one wakes twenty times a second, as a small service does: its counters move at every tick.
for number in $(seq "$containers"); do
  id=$(printf '%064x' "$number")
  if [ $(((number - 1) * 100 / containers)) -lt "$busy" ]; then
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

# The agent is in its cgroup before it allocates anything, so that every page is charged there.
port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
sh -c 'for procs in "$@"; do [ "$procs" = -- ] && break; echo $$ > "$procs"; shift; done; shift; exec "$@"' sh \
  "${roots[@]/%//$name/agent/cgroup.procs}" -- \
  "$binary" agent --listen "127.0.0.1:$port" --docker-socket none --podman-socket none --cri-socket none >"$work/log" 2>&1 &
agent=$!
until curl -sf "http://127.0.0.1:$port/readyz" >/dev/null; do
  kill -0 "$agent" || { cat "$work/log" >&2; exit 1; }
  sleep 0.05
done
rss() { awk -v key="$1" '$1 == key ":" { printf "%.1f", $2 / 1024 }' "/proc/$agent/status"; }
mib() { awk -v b="$1" 'BEGIN { printf "%.1f", b / 1048576 }'; }
charged_mib() { mib "$(cat "$charged")"; }
row() { printf '| %s | %s | %s |\n' "$@"; }
sleep 5
early_rss=$(rss VmRSS) early_charged=$(charged_mib)
[ "$seconds" -le 5 ] || sleep $((seconds - 5))
# Before anything is asked: a scrape makes buffers that stay.
late_rss=$(rss VmRSS) late_charged=$(charged_mib)
curl -sf "http://127.0.0.1:$port/metrics" > "$work/metrics"
value() { awk -v name="$1" '$1 == name { printf "%.0f", $2 }' "$work/metrics"; }
used=$(value ringside_agent_store_used_bytes) samples=$(value ringside_agent_store_samples)

echo "$containers cgroups of its own, $(value ringside_agent_cgroups) in all, $busy % of its own awake in every second; MiB"
echo
row '' 'after 5 s' "after $seconds s"
row --- --- ---
row 'resident (VmRSS)' "$early_rss" "$late_rss"
row 'charged to its cgroup' "$early_charged" "$late_charged"
row 'resident after a scrape' '' "$(rss VmRSS)"
row 'charged after a scrape' '' "$(charged_mib)"
row "ring, of a budget of $(mib "$(value ringside_agent_store_budget_bytes)")" '' "$(mib "$used")"
echo
echo "$(value ringside_agent_store_ticks) ticks, $samples samples, $(awk -v b="$used" -v n="$samples" 'BEGIN { printf "%.3f", b / n }') bytes per sample, $(value ringside_agent_store_evicted_ticks_total) ticks evicted"
