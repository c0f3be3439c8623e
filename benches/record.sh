#!/usr/bin/env bash
# Records the traces that benches/ring.rs replays, each on real containers at one tick a second.
#
# In:  docker-mixed, docker-busy or guest-v2; the seconds; the file. Root, and what tests/lab/setup.sh installs.
#      RECORDER names the recorder, if it is built already.
# Out: benches/data/NAME.trace.zst. It starts a dockerd of its own (or a virtual machine) and takes it away again.
#
#   benches/record.sh docker-mixed [SECONDS] [FILE]     12 containers of which few are busy, 900 s
#   benches/record.sh docker-busy  [SECONDS] [FILE]     3 containers, each doing everything all the time, 450 s
#   benches/record.sh guest-v2     [SECONDS] [FILE]     a machine with cgroup v2, several workloads, 600 s
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

name=${1:?docker-mixed, docker-busy or guest-v2}
file=${3:-benches/data/$name.trace.zst}
target=${CARGO_TARGET_DIR:-target}
if [ -z "${RECORDER:-}" ]; then
  cargo build --example record_trace
  RECORDER=$target/debug/examples/record_trace
fi

if [ "$name" = guest-v2 ]; then
  RECORDER=$(readlink -f "$RECORDER") TRACE_SECONDS=${2:-600} TRACE_FILE=$(readlink -f "$file") \
    exec cargo bench --profile dev --bench record_guest
fi

work=$(mktemp -d /tmp/rs-record-XXXXXX)
bridge=rr$((RANDOM % 1000))
subnet=10.88.$((RANDOM % 250 + 1))
docker=(docker -H "unix://$work/docker.sock")
dockerd=

clean() {
  "${docker[@]}" ps -aq 2>/dev/null | xargs -r "${docker[@]}" rm -fv >/dev/null 2>&1 || true
  if [ -n "$dockerd" ]; then kill "$dockerd" 2>/dev/null || true; wait "$dockerd" 2>/dev/null || true; fi
  ip link del "$bridge" 2>/dev/null || true
  iptables -w -D FORWARD -i "$bridge" -o "$bridge" -j ACCEPT 2>/dev/null || true
  awk -v d="$work/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l || true
  rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM

ip link add "$bridge" type bridge
ip addr add "$subnet.1/24" dev "$bridge"
ip link set "$bridge" up
iptables -w -I FORWARD -i "$bridge" -o "$bridge" -j ACCEPT

echo '{}' >"$work/daemon.json"
dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" --config-file "$work/daemon.json" \
  --host "unix://$work/docker.sock" --bridge "$bridge" --iptables=false --ip6tables=false --ip-forward=false \
  --ip-masq=false --userland-proxy=false --exec-opt native.cgroupdriver=cgroupfs --shutdown-timeout 3 \
  >"$work/log" 2>&1 &
dockerd=$!
for _ in $(seq 300); do
  "${docker[@]}" version >/dev/null 2>&1 && break
  kill -0 "$dockerd" || { tail -n 20 "$work/log" >&2; exit 1; }
  sleep 0.2
done

mkdir -p "$work"/rootfs/{bin,dev,etc,proc,root,run,sys,tmp,var}
cp /bin/busybox "$work/rootfs/bin/"
for command in $(/bin/busybox --list); do
  [ "$command" = busybox ] || ln -s busybox "$work/rootfs/bin/$command"
done
tar -C "$work/rootfs" -cf "$work/image.tar" .
"${docker[@]}" import "$work/image.tar" busybox:lab >/dev/null

keep=(--keep cgroup=/ --keep cgroup=/docker --keep filesystem=/ --keep interface=lo --keep "interface=eth*" --keep "disk=vd*" --keep "disk=sd*" --keep "disk=nvme*")
# container NAME SCRIPT [OPTIONS…]
container() {
  local name=$1 script=$2 id
  shift 2
  id=$("${docker[@]}" run -d --name "$name" "$@" busybox:lab sh -c "$script")
  keep+=(--keep "cgroup=/docker/$id*")
}
address() { "${docker[@]}" inspect -f '{{.NetworkSettings.IPAddress}}' "$1"; }

case "$name" in
  docker-mixed)
    seconds=${2:-900}
    container busy-1 'while :; do :; done' --cpus 0.2
    container busy-2 'while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.1; done' --cpus 0.2
    container bursty 'while :; do sleep 17; timeout 3 sh -c "while :; do :; done"; done' --cpus 0.5 --memory 64m
    container memory 'while :; do head -c 24m /dev/zero | tail -c 24m >/dev/null; sleep 0.3; done' --cpus 0.3 --memory 128m
    container disk 'while :; do dd if=/dev/zero of=/tmp/file bs=64k count=16 conv=fsync; sleep 0.7; done' --cpus 0.2
    container server 'head -c 200k /dev/urandom >/tmp/page; while :; do nc -l -p 80 </tmp/page >/dev/null; done' --cpus 0.2
    container client "ping $(address server) >/dev/null & while :; do nc $(address server) 80 </dev/null >/dev/null; sleep 0.2; done" --cpus 0.2
    container forks 'while :; do true | cat; ls / >/dev/null; sleep 0.1; done' --cpus 0.2 --pids-limit 100
    for number in 1 2 3 4; do container "idle-$number" 'exec sleep 100000' --memory 256m; done
    ;;
  docker-busy)
    seconds=${2:-450}
    # Each serves, asks its neighbour, computes, fills memory, writes to disk and forks, always at its quota.
    script='
      (while :; do nc -l -p 80 </tmp/page >/dev/null; done) &
      head -c 100k /dev/urandom >/tmp/page
      gateway=$(ip route | sed -n "s/default via \([0-9.]*\) .*/\1/p"); ping "$gateway" >/dev/null &
      round=0
      while :; do
        round=$(( (round * 1103515245 + 12345) & 2147483647 ))
        i=0; while [ $i -lt $(( round % 3000 )) ]; do i=$((i+1)); done
        head -c $(( 1 + round % 8 ))m /dev/zero | tail -c 8m >/dev/null
        dd if=/dev/zero of=/tmp/file bs=$(( 4 + round % 60 ))k count=3 conv=fsync 2>/dev/null
        [ -z "$1" ] || nc "$1" 80 </dev/null >/dev/null
        ls -R /bin >/dev/null
      done'
    before=
    for number in 1 2 3; do
      container "busy-$number" "set -- $before; $script" --cpus 0.3 --memory 96m
      before=$(address "busy-$number")
    done
    ;;
  *) echo "no such trace: $name; give docker-mixed, docker-busy or guest-v2" >&2; exit 1 ;;
esac

# The host's ends of the containers' network, and nobody else's.
for veth in /sys/class/net/"$bridge"/brif/*; do keep+=(--keep "interface=$(basename "$veth")"); done
keep+=(--keep "interface=$bridge")
sleep 3
"${docker[@]}" ps --format '{{.Names}} {{.Status}}' >&2
"$RECORDER" --seconds "$seconds" --out "$file" --docker-socket "$work/docker.sock" "${keep[@]}"
