#!/usr/bin/env bash
# Gets a real control plane for the end-to-end tests: etcd, kubectl, and five Kubernetes programs built from source.
#
# In:  a Debian machine with apt, as root or with sudo, and 4 GB of free disk in the cache while it builds.
# Out: etcd, kubectl and dnsmasq in PATH, and <cache>/control-plane/ with kube-apiserver, kube-controller-manager,
#      kube-scheduler, kubelet, kube-proxy and the file VERSION (the version of the source package they were built from).
# Debian has no packages of these programs, but their source with all its modules. The build takes six to ten minutes on
# two CPUs, once. The machine's own package lists are not touched; nothing is left running.
set -euo pipefail

packages='
etcd-server        etcd
kubernetes-client  kubectl
dnsmasq-base       dnsmasq
golang-1.19-go     /usr/lib/go-1.19/bin/go
dpkg-dev           dpkg-source
gcc                gcc
libc6-dev          /usr/include/stdio.h
'
programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)

# shellcheck source=packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
control_plane="$cache/control-plane"

# VERSION is written last: a folder without it is a build that did not finish.
is_built() {
    [ -s "$control_plane/VERSION" ] || return 1
    local program
    for program in "${programs[@]}"; do
        [ -x "$control_plane/$program" ] || return 1
    done
}

# Compilers are of use only to the build, so a machine with the programs in its cache is not asked for them.
install_what_is_missing() {
    if is_built; then
        packages="$(grep -E '^(etcd-server|kubernetes-client|dnsmasq-base) ' <<<"$packages")"
    fi
    install_packages
}

# apt with a source list of its own in the folder $1: the machine's lists often hold no deb-src, and stay as they are.
source_apt() {
    local folder="$1"
    shift
    apt-get -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}

fetch_source() {
    local folder="$1" keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$keyring" ] || die "there is no $keyring" "install the package debian-archive-keyring"
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/src/k8s.io"
    # The same mirrors as for the machine's binary packages.
    apt-get indextargets --format "deb-src [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
        'Created-By: Packages' 'Origin: Debian' | sort -u >"$folder/sources.list"
    [ -s "$folder/sources.list" ] || die "apt knows no Debian mirror (apt-get indextargets)" \
        "add Debian 12 (bookworm) main to /etc/apt/sources.list and run apt-get update"
    (cd "$folder" && source_apt "$folder" update -qq && source_apt "$folder" source -qq --download-only kubernetes) \
        >"$folder/log" 2>&1 || {
        tail -n 20 "$folder/log" >&2
        die "apt-get source kubernetes did not work" "look at the lines above and at the network; Debian 12 (bookworm) has this package"
    }
    # apt has checked the signature; dpkg-source would want a keyring of Debian's developers to do it again.
    (cd "$folder" && dpkg-source --no-check -x ./*.dsc "$folder/src/k8s.io/kubernetes") >>"$folder/log" 2>&1 || {
        tail -n 20 "$folder/log" >&2
        die "dpkg-source could not unpack the package" "look at the lines above; is the disk of $cache full?"
    }
}


# The one generated file that the source package lacks: what the API server says of its types in /openapi/v2.
make_openapi() {
    local bin="$1" inputs
    go build -o "$bin/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    inputs="$(grep -rlE --include='*.go' '^// \+k8s:openapi-gen=' pkg staging/src/k8s.io \
        | grep -vE '^staging/src/k8s.io/(code-generator|sample-apiserver)/' \
        | xargs -n 1 dirname | sed -E 's|^staging/src/|vendor/|; s|^|k8s.io/kubernetes/|' | sort -u | paste -sd,)"
    "$bin/openapi-gen" --input-dirs "$inputs" \
        --output-package k8s.io/kubernetes/pkg/generated/openapi --output-file-base zz_generated.openapi \
        --output-base "$GOPATH/src" --go-header-file hack/boilerplate/boilerplate.generatego.txt \
        --report-filename "$bin/violations"
    [ -s pkg/generated/openapi/zz_generated.openapi.go ]
}

build() {
    # A temporary folder beside the cache's own: the same disk, so the result is moved in one step.
    mkdir -p "$cache"
    local work
    work="$(mktemp -d "$cache/control-plane.XXXXXX")"
    # shellcheck disable=SC2064 # the folder's name is wanted as it is now
    trap "chmod -R u+w '$work'; rm -rf '$work'" EXIT
    say "fetching the source package kubernetes"
    fetch_source "$work"

    local version upstream
    version="$(dpkg-parsechangelog -l "$work/src/k8s.io/kubernetes/debian/changelog" -S Version)"
    # 1.20.5+really1.20.2-1.1+deb12u1 is 1.20.2.
    upstream="$(sed -E 's/^.*\+really//; s/-.*$//' <<<"$version")"
    case "$upstream" in 1.20.*) ;; *) die "the source package is Kubernetes $upstream, not 1.20" \
        "this script knows how to build 1.20 with golang-1.19; adapt it" ;; esac

    export PATH="/usr/lib/go-1.19/bin:$PATH" GOPATH="$work" GO111MODULE=off GOFLAGS= GOTOOLCHAIN=local GOPROXY=off
    export GOCACHE="${GOCACHE:-$work/go-cache}" GOTMPDIR="$work" TMPDIR="$work"
    local bin="$work/bin" log="$work/log" began
    mkdir "$bin"
    # In a subshell with errexit: after `||` bash would ignore it.
    local status
    set +e
    (
        set -e
        cd "$work/src/k8s.io/kubernetes"
        say "making the OpenAPI definitions"
        make_openapi "$bin" >>"$log" 2>&1
        # Programs know their version from the one package, the answer to /version is from the other.
        local stamps='' package
        for package in component-base/version client-go/pkg/version; do
            package="k8s.io/kubernetes/vendor/k8s.io/$package"
            stamps+=" -X $package.gitVersion=v$upstream -X $package.gitMajor=1 -X $package.gitMinor=20"
            stamps+=" -X $package.gitTreeState=clean -X $package.gitCommit=debian"
        done
        for program in "${programs[@]}"; do
            began=$(date +%s)
            nice go build -trimpath -o "$bin/$program" -ldflags "-s -w $stamps" "./cmd/$program" >>"$log" 2>&1
            say "built $program in $(($(date +%s) - began)) s"
        done
    )
    status=$?
    set -e
    if [ "$status" != 0 ]; then
        tail -n 30 "$log" >&2
        die "the build of Kubernetes $upstream did not work" "look at the lines above; it needs 4 GB of disk below $cache"
    fi
    for program in "${programs[@]}"; do
        "$bin/$program" --version | grep -qF "v$upstream" || die "the new $program does not say v$upstream" "the version's package moved: adapt the build"
    done
    rm -f "$bin/openapi-gen" "$bin/violations"
    printf '%s\n' "$version" >"$bin/VERSION"
    rm -rf "$control_plane"
    mv "$bin" "$control_plane"
}

command -v apt-get >/dev/null || die "this is not a Debian machine (no apt-get)" \
    "put kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy (1.20) and a file VERSION into $control_plane, etcd, kubectl and dnsmasq into PATH"
install_what_is_missing
is_built || build
say "control plane $(cat "$control_plane/VERSION") is in the cache"
