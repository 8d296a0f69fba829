#!/bin/sh
# Make a virtual environment with both distributions as a release has them, the hot path compiled, and with
# everything for tests and benchmarks. Nothing of it comes from the checkout's src folders.
# Usage: scripts/compiled.sh VENV   (.venv has to be there: it builds the wheels)
set -eu

venv=$1
cd "$(dirname "$0")/.."

fail() {
    printf 'compiled: %s\n' "$1" >&2
    exit 2
}

echo "compiled: building the wheels (about a minute)"
scripts/build_wheels.sh build/wheels

if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    .venv/bin/python -m venv --clear "$venv"
fi

# Out with the old ones first: pip keeps what is installed when the new wheel has the same version.
echo "compiled: installing them into $venv"
"$venv/bin/python" -m pip uninstall -qq --disable-pip-version-check --yes asgi-tunnel asgi-tunnel-edge
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c constraints.txt build/wheels/*.whl -r requirements-dev.txt -r benchmarks/requirements.txt ||
    fail "pip could not install everything; its message is above, and running the same command again continues."
