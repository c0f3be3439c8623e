#!/usr/bin/env bash
# Builds the static binary with cargo, and an image of it. No registry is asked.
#
#   deploy/image.sh [NAME:TAG]      the image; the name is ringside:<version in Cargo.toml> if none is given
#   deploy/image.sh --static FILE   only the static binary, into FILE
#
# In:  Rust with rustup, a C compiler; for the image a docker (or CONTAINER_TOOL, such as podman) that answers.
# Out: the image, or the file. A binary that is not static is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    printf 'image: FAILED: %s\nimage: what to do: %s\n' "$1" "$2" >&2
    exit 1
}

target="$(uname -m)-unknown-linux-musl"
tool="${CONTAINER_TOOL:-docker}"

build_static() {
    local out="$1" library
    # Without rustup the target may have come with the distribution's Rust: the library itself tells.
    library="$(rustc --print sysroot)/lib/rustlib/$target"
    if [ ! -d "$library" ]; then
        command -v rustup >/dev/null || die "Rust has no target $target" "install your distribution's package for it, or Rust by rustup"
        rustup target add "$target" || die "rustup could not add $target" "look at the network"
    fi
    # The C files include no header that differs in musl, so the machine's compiler does for them. Checked copies
    # (_FORTIFY_SOURCE) are functions of glibc only.
    local name="${target//-/_}"
    export "CC_$name=${CC:-gcc}" "CFLAGS_$name=-U_FORTIFY_SOURCE"
    cargo build --release --locked --bin ringside --target "$target"
    mkdir -p "$(dirname "$out")"
    install -m 0755 "${CARGO_TARGET_DIR:-target}/$target/release/ringside" "$out"
    # A program that asks for no loader is static.
    if ldd "$out" 2>&1 | grep -q '=>'; then
        die "$out is not static" "look at: ldd $out"
    fi
    printf 'image: %s, %s bytes\n' "$out" "$(stat -c %s "$out")" >&2
}

case "${1:-}" in
    --static)
        [ -n "${2:-}" ] || die '--static wants a file' 'deploy/image.sh --static FILE'
        build_static "$2"
        ;;
    -*) die "\"$1\" is not known" 'see the head of this script' ;;
    *)
        name="${1:-ringside:$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}"
        "$tool" version >/dev/null 2>&1 || die "$tool does not answer" "start it, or name another in CONTAINER_TOOL"
        context="$(mktemp -d)"
        trap 'rm -rf "$context"' EXIT
        build_static "$context/ringside"
        # Where the machine has no CAs the image has none; connections inside the cluster do not need them.
        cat /etc/ssl/certs/ca-certificates.crt >"$context/ca-certificates.crt" 2>/dev/null || : >"$context/ca-certificates.crt"
        "$tool" build --file deploy/Dockerfile --target prebuilt --tag "$name" "$context"
        printf 'image: %s is built\n' "$name" >&2
        ;;
esac
