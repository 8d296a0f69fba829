#!/bin/sh
# Make the environment of `make mcp`: the MCP SDK and FastMCP as they are, beside both distributions.
# Usage: tests/mcp_clients/setup.sh VENV [PYTHON]
set -eu

venv=$1
python=${2:-python3}
cd "$(dirname "$0")/../.."

if ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$python" -m venv --clear "$venv"
fi
echo "mcp: installing into $venv (half a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e . -e edge -r tests/mcp_clients/requirements.txt || {
    echo "mcp: pip could not install everything; its message is above, and the same command continues." >&2
    exit 2
}
