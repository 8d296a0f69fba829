#!/bin/sh
# Make the environment of `make oidc`: Debian's Chromium, Playwright without a browser of its own, and two providers.
# Usage: tests/oidc/setup.sh VENV [PYTHON]
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
    echo "oidc: installing$missing"
    # shellcheck disable=SC2086
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null ||
        echo "oidc: apt-get could not install all of$missing"
elif [ -n "$missing" ]; then
    echo "oidc: not here, so the tests are skipped:$missing"
fi

if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$python" -m venv --clear "$venv"
fi
echo "oidc: installing into $venv (half a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c constraints.txt -e . -e edge -r tests/oidc/requirements.txt || {
    echo "oidc: pip could not install everything; its message is above, and the same command continues." >&2
    exit 2
}

# 8.8 is the last one that runs on the Node 18 and 20 of Debian.
if command -v npm >/dev/null 2>&1; then
    mkdir -p "$venv/node"
    cp tests/oidc/node.json "$venv/node/package.json"
    npm install --prefix "$venv/node" --silent --no-audit --no-fund --no-package-lock ||
        echo "oidc: npm could not install oidc-provider"
fi
