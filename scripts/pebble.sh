#!/bin/sh
# Put pebble, Let's Encrypt's ACME server for tests, and its DNS server into build/pebble: built with Go (two minutes the
# first time). With the word `debian` Debian's own older package goes into build/pebble-debian instead.
# Usage: scripts/pebble.sh [debian]
set -eu

version=v2.10.0
cd "$(dirname "$0")/.."

if [ "${1:-}" = debian ]; then
    folder=$PWD/build/pebble-debian
    if [ -f "$folder/version" ]; then
        exit 0
    fi
    echo "pebble: unpacking Debian's package into build/pebble-debian"
    mkdir -p "$folder"
    cd "$folder"
    apt-get -q download pebble
    dpkg-deb -x pebble_*.deb .
    mv usr/bin/pebble usr/bin/pebble-challtestsrv .
    dpkg-deb -f pebble_*.deb Version >version
    rm -r usr pebble_*.deb
    exit 0
fi

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
