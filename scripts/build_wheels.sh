#!/bin/sh
# Build both distributions: source distributions, and from them wheels with the hot path compiled.
# Usage: scripts/build_wheels.sh OUT [--plain]
#   --plain: wheels of plain Python, for any platform; no compiler is needed.
# The wheels are built from the source distributions, in folders of their own: nothing compiled is left in the checkout.
set -eu

out=$1
cd "$(dirname "$0")/.."
if [ "${2:-}" != --plain ]; then
    command -v "${CC:-gcc}" >/dev/null 2>&1 || {
        printf 'build_wheels: there is no C compiler (%s); install one (Debian and Ubuntu: apt-get install gcc), or build with --plain.\n' "${CC:-gcc}" >&2
        exit 2
    }
    HATCH_BUILD_HOOKS_ENABLE=1
    export HATCH_BUILD_HOOKS_ENABLE
fi
rm -rf "$out"
mkdir -p "$out"

# Each is one long run of the compiler, so both at the same time: half the wait on two cores.
build() {
    .venv/bin/python -m build --no-isolation --outdir "$out" "$1" >"$2" 2>&1 || {
        tail -n 20 "$2" >&2
        printf 'build_wheels: %s could not be built; the whole output is in %s.\n' "$1" "$2" >&2
        return 1
    }
}
build . "$out/build.log" &
app=$!
build edge "$out/build-edge.log" &
edge=$!
code=0
wait "$app" || code=1
wait "$edge" || code=1
exit "$code"
