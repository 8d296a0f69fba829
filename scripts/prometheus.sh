#!/bin/sh
# Put Debian's prometheus and promtool into build/prometheus: unpacked from the package, not installed, so that no
# service runs and nothing needs root. Where both are on the PATH, those are used.
set -eu

cd "$(dirname "$0")/.."
folder=$PWD/build/prometheus
if [ -f "$folder/version" ]; then
    exit 0
fi
mkdir -p "$folder"
cd "$folder"
if command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1; then
    ln -sf "$(command -v prometheus)" "$(command -v promtool)" .
    ./promtool --version >version 2>&1
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "prometheus: apt-get was not found; install Prometheus with its promtool, and run this again." >&2
    exit 2
fi
echo "prometheus: unpacking Debian's package into build/prometheus"
apt-get -q download prometheus
dpkg-deb -x prometheus_*.deb .
mv usr/bin/prometheus usr/bin/promtool .
dpkg-deb -f prometheus_*.deb Version >version
rm -r usr lib etc var prometheus_*.deb 2>/dev/null || true
