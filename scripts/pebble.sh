#!/bin/sh
# Build pebble, Let's Encrypt's ACME server for tests, and its DNS server into build/pebble (two minutes the first time).
# Usage: scripts/pebble.sh
set -eu

version=v2.10.0
cd "$(dirname "$0")/.."
folder=$PWD/build/pebble

if [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ]; then
    exit 0
fi
if ! command -v go >/dev/null 2>&1; then
    echo "pebble: go was not found; install Go 1.23 or later (Debian and Ubuntu: apt-get install golang) and run this again." >&2
    exit 2
fi
echo "pebble: building $version into build/pebble"
mkdir -p "$folder"
module=github.com/letsencrypt/pebble/v2/cmd
GOBIN=$folder go install "$module/pebble@$version" "$module/pebble-challtestsrv@$version"
echo "$version" >"$folder/version"
