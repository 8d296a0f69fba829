#!/bin/sh
# Make the environment of `make realapps`: pinned programs, and tools that are no Python packages where they can be had.
# Usage: tests/realapps/setup.sh [--quick] VENV [PYTHON]
#   --quick   only what the programs of the short form need: no browser, a third of the packages
set -eu

quick=""
if [ "$1" = --quick ]; then
    quick=1
    shift
fi
venv=$1
python=${2:-python3}
cd "$(dirname "$0")/../.."

# A case whose tool is missing is skipped, with the tool's name: so nothing here is fatal.
missing=""
wanted="curl git rclone"
[ -n "$quick" ] || wanted="$wanted chromium npm"
for tool in $wanted; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -n "$quick" ] || command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "realapps: installing$missing"
    # A service that starts by itself would be one more thing on the machine: none is.
    # shellcheck disable=SC2086
    { apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing; } >/dev/null ||
        echo "realapps: apt-get could not install all of$missing; their cases are skipped"
elif [ -n "$missing" ]; then
    echo "realapps: not here, their cases are skipped:$missing"
fi

if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$python" -m venv --clear "$venv"
fi
echo "realapps: installing into $venv (some minutes the first time)"
if [ -n "$quick" ]; then
    set -- -r tests/realapps/quick.txt -c tests/realapps/requirements.txt
else
    set -- -r tests/realapps/requirements.txt
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e . -e edge "$@" || {
    echo "realapps: pip could not install everything; its message is above, and the same command continues." >&2
    exit 2
}

# Express and Socket.IO: without them their cases are skipped.
if [ -z "$quick" ] && command -v npm >/dev/null 2>&1; then
    mkdir -p "$venv/node"
    cp tests/realapps/node.json "$venv/node/package.json"
    npm install --prefix "$venv/node" --silent --no-audit --no-fund --no-package-lock ||
        echo "realapps: npm could not install what node.json names; its cases are skipped"
fi
