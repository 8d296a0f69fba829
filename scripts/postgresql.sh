#!/bin/sh
# Install Debian's PostgreSQL for tests, without the server that the package would start.
set -eu

if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "postgresql: initdb was not found; install PostgreSQL 15 or later, and run this again." >&2
    exit 2
fi
echo "postgresql: installing Debian's package"
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql; } >/dev/null
