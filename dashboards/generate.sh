#!/usr/bin/env bash
# Writes dashboards/*.json from dashboards/generate.py.
#
#   dashboards/generate.sh            into dashboards/
#   dashboards/generate.sh FOLDER     into another folder, to compare
#
# In:  python3 (3.11 or later) with venv. RINGSIDE_CACHE or XDG_CACHE_HOME say where the environment is kept; it is made
#      when it is absent or was made from other requirements, for which PyPI is asked.
# Out: one file per dashboard. Grafana imports them as they are, by hand or by provisioning.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${RINGSIDE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringside}"
venv="$cache/dashboards-venv"
requirements="$here/requirements.txt"

mkdir -p "$cache"
# Two that come at the same time do not make it twice.
exec 9>"$venv.lock"
flock 9
if ! cmp -s "$requirements" "$venv/made-from"; then
    printf 'dashboards: making the Python environment %s\n' "$venv" >&2
    rm -rf "$venv"
    python3 -m venv "$venv" || {
        printf 'dashboards: FAILED: python3 -m venv did not work\ndashboards: what to do: apt-get install python3-venv\n' >&2
        exit 1
    }
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r "$requirements" >&2 || {
        printf 'dashboards: FAILED: pip could not install what dashboards/requirements.txt names\n' >&2
        printf 'dashboards: what to do: look at the network\n' >&2
        exit 1
    }
    cp "$requirements" "$venv/made-from"
fi
flock -u 9
exec "$venv/bin/python" "$here/generate.py" "${1:-$here}"
