#!/bin/sh
# Install what `make containers` builds and runs images with, and make build/containers/base.tar: a Debian root of packages,
# as debian:trixie-slim is one, for machines that reach no registry of images.
# Usage: scripts/containers.sh [BASE]   (with the name of an image, no root is made)
# Exit status: 0, or 77 where this machine can do neither; then the last line says why.
set -eu

suite=trixie
cd "$(dirname "$0")/.."
folder=$PWD/build/containers

skip() {
    printf 'containers: skipped: %s\n' "$1"
    exit 77
}

[ "$(uname -s)" = Linux ] || skip "this is no Linux"
[ "$(id -u)" = 0 ] || skip "it needs root, to install packages and to mount"

missing=""
for tool in podman crun; do
    command -v $tool >/dev/null 2>&1 || missing="$missing $tool"
done
[ -n "${1:-}" ] || [ -f "$folder/base.tar" ] || command -v mmdebstrap >/dev/null 2>&1 || missing="$missing mmdebstrap"
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 || skip "not installed, for that takes apt-get:$missing"
    echo "containers: installing$missing"
    # A service that starts by itself would be one more thing on the machine: none is.
    # shellcheck disable=SC2086 # a list of names
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 ||
        skip "apt-get could not install$missing"
fi
[ -z "${1:-}" ] || exit 0

if [ ! -f "$folder/base.tar" ]; then
    echo "containers: making a Debian root ($suite)"
    mkdir -p "$folder"
    # The files that Debian's own slim images leave out as well.
    mmdebstrap --quiet --variant=minbase \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/groff/*' \
        "$suite" "$folder/base.part.tar" >"$folder/base.log" 2>&1 ||
        skip "no Debian root could be made; why is in build/containers/base.log"
    mv "$folder/base.part.tar" "$folder/base.tar"
fi
