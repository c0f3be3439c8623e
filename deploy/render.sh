#!/usr/bin/env bash
# Renders deploy/daemonset.yaml from the chart deploy/helm/ringside, by Helm's own engine.
#
#   deploy/render.sh             writes deploy/daemonset.yaml
#   deploy/render.sh --print     writes it to standard output
#   deploy/render.sh --prepare   only makes the Python environment that this needs
#   deploy/render.sh --run ...   runs deploy/render.py with these words (lint, validate FILE VERSION, render VALUES.json)
#
# In:  python3 with venv. RINGSIDE_CACHE or XDG_CACHE_HOME say where the environment is kept; it is made when it is absent
#      or deploy/requirements.txt has changed, and only then is the network needed.
set -euo pipefail
deploy="$(cd "$(dirname "$0")" && pwd)"
requirements="$deploy/requirements.txt"

cache="${RINGSIDE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME, XDG_CACHE_HOME or RINGSIDE_CACHE must say where the cache is}/.cache}/ringside}"
venv="$cache/deploy-venv"
export PYTHONDONTWRITEBYTECODE=1

prepare() {
    # `made-from` is written last: an environment without it was not finished.
    ! cmp -s "$requirements" "$venv/made-from" || return 0
    mkdir -p "$cache"
    # Two that come at the same time do not make it twice.
    exec 9>"$venv.lock"
    flock 9
    ! cmp -s "$requirements" "$venv/made-from" || return 0
    printf 'render: making the Python environment %s\n' "$venv" >&2
    rm -rf "$venv"
    python3 -m venv "$venv" || {
        printf 'render: FAILED: python3 -m venv did not work\nrender: what to do: apt-get install python3-venv\n' >&2
        exit 1
    }
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r "$requirements" >&2 || {
        printf 'render: FAILED: pip could not install what deploy/requirements.txt names\n' >&2
        printf 'render: what to do: look at the network; on a Python other than 3.11 add the hashes of its files\n' >&2
        exit 1
    }
    # Three names of one library of 81 MiB, as a wheel cannot hold links.
    local library
    library="$(find "$venv" -name 'libhelm_c.so.*.*.*' | head -n 1)"
    if [ -n "$library" ]; then
        find "$(dirname "$library")" -name 'libhelm_c.so*' ! -path "$library" -exec ln -sf "$(basename "$library")" {} \;
    fi
    cp "$requirements" "$venv/made-from"
}

case "${1:-}" in
    --prepare) prepare ;;
    --run)
        prepare
        shift
        exec "$venv/bin/python" "$deploy/render.py" "$@"
        ;;
    --print)
        prepare
        exec "$venv/bin/python" "$deploy/render.py" render
        ;;
    '')
        prepare
        "$venv/bin/python" "$deploy/render.py" render >"$deploy/daemonset.yaml.new" || {
            rm -f "$deploy/daemonset.yaml.new"
            exit 1
        }
        mv "$deploy/daemonset.yaml.new" "$deploy/daemonset.yaml"
        printf 'render: wrote deploy/daemonset.yaml\n' >&2
        ;;
    *)
        printf 'render: "%s" is not known; see the head of this script\n' "$1" >&2
        exit 2
        ;;
esac
