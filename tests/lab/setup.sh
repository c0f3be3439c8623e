#!/usr/bin/env bash
# Gets everything the tests need: Debian packages that are missing, the kernel of the cgroup v2 guest, and Helm's engine.
#
# In:  a Debian machine with apt, as root or with sudo; RINGSIDE_CACHE or XDG_CACHE_HOME say where the cache is.
# Out: the programs in PATH, and <cache>/guest-kernel/ with an unpacked kernel package and the file VERSION.
# It may be run any number of times: what is there is not fetched again. It starts no service and leaves none running.
set -euo pipefail

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
python3-venv                /var/lib/dpkg/info/python3-venv.list
python3-prometheus-client   /var/lib/dpkg/info/python3-prometheus-client.list
'

# shellcheck source=packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
guest_kernel="$cache/guest-kernel"

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
"$(dirname "${BASH_SOURCE[0]}")/../../deploy/render.sh" --prepare || die "Helm's engine could not be installed" "see the lines above"
say "Helm's engine is in the cache"
say "ready"
