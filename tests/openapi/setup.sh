#!/bin/sh
# Make the environment of `make api`: schemathesis, beside both distributions.
# Usage: tests/openapi/setup.sh VENV [PYTHON]
set -eu

venv=$1
python=${2:-python3}
cd "$(dirname "$0")/../.."

if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$python" -m venv --clear "$venv"
fi
echo "api: installing into $venv (half a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e . -e edge -r tests/openapi/requirements.txt || {
    echo "api: pip could not install everything; its message is above, and the same command continues." >&2
    exit 2
}
