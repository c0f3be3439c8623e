# Shared by the scripts of this folder: messages, root, the cache, and Debian packages that are installed if missing.
#
# In:  the variable `packages`, set by the script that reads this file. Out: functions and the variable `cache`.
# It is read with `source`, not run.

cache="${RINGSIDE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME, XDG_CACHE_HOME or RINGSIDE_CACHE must say where the cache is}/.cache}/ringside}"

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
