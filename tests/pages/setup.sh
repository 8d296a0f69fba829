#!/bin/sh
# Make the environment of `make pages`: Debian's Chromium, Playwright without a browser of its own, and axe-core.
# Usage: tests/pages/setup.sh VENV [PYTHON]
set -eu

venv=$1
python=${2:-python3}
cd "$(dirname "$0")/../.."

# What is missing is said by the tests, which are skipped then.
missing=""
for tool in chromium npm; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "pages: installing$missing"
    # shellcheck disable=SC2086
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null ||
        echo "pages: apt-get could not install all of$missing"
elif [ -n "$missing" ]; then
    echo "pages: not here, so the tests are skipped:$missing"
fi

if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$python" -m venv --clear "$venv"
fi
echo "pages: installing into $venv (half a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c constraints.txt -e . -e edge -r tests/pages/requirements.txt || {
    echo "pages: pip could not install everything; its message is above, and the same command continues." >&2
    exit 2
}

# Checks pages for people who see, hear or move otherwise (WCAG).
if command -v npm >/dev/null 2>&1; then
    mkdir -p "$venv/node"
    cp tests/pages/node.json "$venv/node/package.json"
    npm install --prefix "$venv/node" --silent --no-audit --no-fund --no-package-lock ||
        echo "pages: npm could not install axe-core"
fi
