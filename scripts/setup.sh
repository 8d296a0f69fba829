#!/bin/sh
# Make the virtual environment of a checkout: both distributions editable, and everything for tests and examples.
# Usage: scripts/setup.sh VENV [PYTHON]
set -eu

venv=$1
python=${2:-python3}
cd "$(dirname "$0")/.."

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 2
}

command -v "$python" >/dev/null 2>&1 ||
    fail "$python was not found; install Python 3.11 or later, or name one: make setup PYTHON=/path/to/python3."

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is $("$python" -V 2>&1), but asgi-tunnel needs Python 3.11 or later; name another one: make setup PYTHON=python3.12."

has_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

# Debian and Ubuntu ship Python without the venv module.
if ! has_venv && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing python3-venv"
    { apt-get update -qq && apt-get install -y -qq python3-venv; } >/dev/null || true
fi
has_venv ||
    fail "$python has no venv module; install it (Debian and Ubuntu: apt-get install python3-venv) and run this again."

# A folder without a working pip is an interrupted set-up, one of a Python that is gone, or too old: begin again.
if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$python" -m venv --clear "$venv"
fi

echo "setup: installing into $venv (about a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c constraints.txt -e . -e edge -r requirements-dev.txt ||
    fail "pip could not install everything; its message is above, and running the same command again continues."
