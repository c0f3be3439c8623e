#!/usr/bin/env bash
# Gets everything the tests need: Debian packages that are missing, and the kernel of the cgroup v2 guest.
#
# In:  a Debian machine with apt, as root or with sudo; RINGSIDE_CACHE or XDG_CACHE_HOME say where the cache is.
# Out: the programs in PATH, and <cache>/guest-kernel/ with an unpacked kernel package and the file VERSION.
# It may be run any number of times: what is there is not fetched again. It starts no service and leaves none running.
set -euo pipefail

cache="${RINGSIDE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME, XDG_CACHE_HOME or RINGSIDE_CACHE must say where the cache is}/.cache}/ringside}"
guest_kernel="$cache/guest-kernel"

# One row per package: the package, and a file that shows it is there (so that a machine that has the
# program from elsewhere is left as it is). A name without a slash is looked for in PATH.
packages='
docker.io                   dockerd
docker.io                   docker
containerd                  containerd
containerd                  ctr
runc                        runc
crun                        crun
containernetworking-plugins /usr/lib/cni/bridge
prometheus                  prometheus
prometheus                  promtool
victoria-metrics            victoria-metrics
qemu-system-x86             qemu-system-x86_64
cpio                        cpio
busybox-static              /var/lib/dpkg/info/busybox-static.list
iptables                    iptables
e2fsprogs                   mke2fs
iproute2                    ip
util-linux                  nsenter
mount                       mount
libc-bin                    ldd
strace                      strace
tmux                        tmux
curl                        curl
ca-certificates             /etc/ssl/certs/ca-certificates.crt
'

say() { printf 'lab: %s\n' "$*"; }
die() {
    printf 'lab: FAILED: %s\n' "$1" >&2
    printf 'lab: what to do: %s\n' "$2" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@" || die "\"sudo -n $*\" did not work" "run this script as root once, or let this user use sudo without a password"
    else
        die "\"$*\" needs root" "run this script as root once, or install sudo"
    fi
}

# Sbin folders hold dockerd's helpers and are not in every user's PATH.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

is_there() {
    case "$1" in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing_packages() {
    while read -r package shown_by; do
        [ -n "$package" ] || continue
        is_there "$shown_by" || printf '%s\n' "$package"
    done <<<"$packages" | sort -u
}

apt_updated=
update_apt_once() {
    [ -z "$apt_updated" ] || return 0
    say "reading the package lists (apt-get update)"
    as_root apt-get update -qq >/dev/null || die "apt-get update did not work" "look at /etc/apt/sources.list and at the network"
    apt_updated=yes
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    if [ "${#missing[@]}" = 0 ]; then
        say "all packages are there"
        return
    fi
    update_apt_once
    say "installing: ${missing[*]}"

    # The tests start their own daemons from their own folders; the packages' services must stay down.
    # invoke-rc.d asks this file, with and without systemd; one that is there already is respected.
    local policy=/usr/sbin/policy-rc.d made_policy=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 0755 "$policy"
        made_policy=yes
    fi
    local log status=0
    log="$(mktemp)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "${missing[@]}" >"$log" 2>&1 || status=$?
    [ -z "$made_policy" ] || as_root rm -f "$policy"
    if [ "$status" != 0 ]; then
        tail -n 20 "$log" >&2
        die "apt-get could not install: ${missing[*]}" "see the lines above; install these packages by hand and run this script again"
    fi
    rm -f "$log"

    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" = 0 ] || die "installed, but their programs are not found: ${missing[*]}" "look at what these packages hold on this distribution (dpkg -L)"
    say "installed"
}

newest_guest_kernel() {
    apt-cache search --names-only '^linux-image-6\.1\.0-[0-9]+-cloud-amd64$' | cut -d' ' -f1 | sort -V | tail -n 1
}

fetch_guest_kernel() {
    # VERSION is written last: a folder without it is a fetch that did not finish.
    if [ -s "$guest_kernel/VERSION" ] && [ -s "$guest_kernel/boot/vmlinuz-$(cat "$guest_kernel/VERSION")" ]; then
        say "guest kernel $(cat "$guest_kernel/VERSION") is in the cache"
        return
    fi
    local package
    package="$(newest_guest_kernel)"
    if [ -z "$package" ]; then
        update_apt_once
        package="$(newest_guest_kernel)"
    fi
    [ -n "$package" ] || die "no linux-image-6.1.0-*-cloud-amd64 package is known to apt" \
        "add Debian 12 (bookworm) main to /etc/apt/sources.list, or unpack such a package with dpkg -x into $guest_kernel and write its kernel release into $guest_kernel/VERSION"

    mkdir -p "$cache"
    local work
    work="$(mktemp -d "$cache/guest-kernel.XXXXXX")"
    say "fetching $package"
    (cd "$work" && apt-get download -qq "$package" >/dev/null 2>&1) || {
        # The lists may be older than the archive; one look at it anew.
        update_apt_once
        package="$(newest_guest_kernel)"
        (cd "$work" && apt-get download -qq "$package" >"$work/log" 2>&1) || {
            cat "$work/log" >&2
            rm -rf "$work"
            die "apt-get download $package did not work" "look at the network and at /etc/apt/sources.list"
        }
    }
    mkdir "$work/root"
    dpkg -x "$work"/linux-image-*.deb "$work/root"
    local release="${package#linux-image-}"
    [ -s "$work/root/boot/vmlinuz-$release" ] || die "$package holds no boot/vmlinuz-$release" "another package layout: adapt tests/lab/setup.sh"
    printf '%s\n' "$release" >"$work/root/VERSION"
    rm -rf "$guest_kernel"
    mv "$work/root" "$guest_kernel"
    rm -rf "$work"
    say "guest kernel $release unpacked into the cache"
}

command -v apt-get >/dev/null || die "this is not a Debian machine (no apt-get)" "install by hand: $(awk 'NF { print $1 }' <<<"$packages" | sort -u | tr '\n' ' ')"
install_packages
fetch_guest_kernel
say "ready"
