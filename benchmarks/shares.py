"""What fairness costs: the memory of full tables, and the time that their checks take.

    python -m benchmarks.shares [--groups 10000] [--tokens 1000] [--memory]

Fills every bounded table of the edge that counts address groups or tokens, half of them IPv4 and
half IPv6 with a /56 and a /48 around each, up to what it may hold. Prints the bytes of each one
(tracemalloc) and of the process (RSS), and then the microseconds that one request, one connection
and one TLS handshake pay for all checks, with the tables full. No sockets.

A check is timed twice: of one address again and again, as a visitor's browser makes them, and of
all groups in turn, which no cache helps.
"""

from __future__ import annotations

import argparse
import gc
import logging
import math
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, cast

from asgi_tunnel_edge.address import networks_of
from asgi_tunnel_edge.admission.failures import FAILURES, FailureLimiter
from asgi_tunnel_edge.admission.supervisor import MAX_SUSPENDED
from asgi_tunnel_edge.ban import MAX_SCANNER_BANS
from asgi_tunnel_edge.connections.limiter import ConnectionLimiter
from asgi_tunnel_edge.connections.table import ConnectionTable, Tracked
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.guards.guard import RequestContext
from asgi_tunnel_edge.guards.rate import RateGuard
from asgi_tunnel_edge.guards.scanner import BAN_AFTER
from asgi_tunnel_edge.http1.head import read_head
from asgi_tunnel_edge.listeners.acceptor import HANDSHAKE_SHARES, MAX_HANDSHAKES
from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.observers.refusals import RefusalSum
from asgi_tunnel_edge.request import Request
from asgi_tunnel_edge.settings.config import EdgeConfig, Limits
from asgi_tunnel_edge.shares.ledger import CONNECTIONS, ERRORS, MAX_KEYS, Ledger
from asgi_tunnel_edge.shares.pool import FairPool
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

NAME: Final = "shop.example.org"
PROBES: Final = (
    b"/.env",
    b"/wp-login.php",
    b"/.git/config",
    b"/xmlrpc.php",
    b"/.aws/credentials",
    b"/.svn/entries",
)
NUMBER: Final = 200  # checks in one round, a millisecond: the best round was not interrupted
ROUNDS: Final = 500


class Connection:
    """A connection, as the table sees it: idle, or not."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_proxy = False
        self.is_idle = True

    def give_way(self) -> None:
        """Without effect."""


def addresses(count: int) -> list[str]:
    """Return one address of each of so many groups: IPv4, and IPv6 with 16 /64s in each /48."""
    half = count // 2
    v4 = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(count - half)]
    v6 = [f"2001:db8:{n >> 4:x}:{(n & 15) << 4:x}::1" for n in range(half)]
    return [one for pair in zip(v4, v6, strict=False) for one in pair] + v4[half:]


def _request(target: bytes = b"/items/17") -> Request:
    head = (
        b"GET " + target + b" HTTP/1.1\r\nHost: shop.example.org\r\n"
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
        b"Accept: */*\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
    )
    request = read_head(head, len(head), Limits())
    assert isinstance(request, Request)
    return request


class Tables:
    """All of them, filled.

    Args:
        groups: Address groups.
        tokens: Tokens, each with as many sessions as all of them may have together.

    Attributes:
        sizes: Bytes of each table, if tracemalloc is on.
        counts: Keys or members of each.
    """

    def __init__(self, *, groups: int, tokens: int) -> None:
        self.sizes: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.now = 1000.0
        self.addresses = addresses(groups)
        table = {"domain": "example.org", "listen": "127.0.0.1:0"}
        self.guards = Guards(EdgeConfig.from_table(table, Path()), lambda: self.now)
        self._fill("connections: one of each group", lambda: self._connections(groups))
        self._fill("new connections of groups", lambda: self._ledger(CONNECTIONS))
        self._fill("errors of groups", lambda: self._ledger(ERRORS))
        self._fill("requests a second of groups", self._rate)
        self._fill("probes of groups", self._probes)
        self._fill("bans of scanners", self._bans)
        self._fill("wrong tokens of groups", self._failures)
        self._fill("refusals summed up for the log", self._refusals)
        self._fill("lost sessions of tokens", lambda: self._suspended(tokens))
        self._fill("tokens and their hostnames", lambda: self._tokens(tokens))

    def _fill(self, name: str, fill: Callable[[], int]) -> None:
        if not tracemalloc.is_tracing():
            self.counts[name] = fill()
            return
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        self.counts[name] = fill()
        networks_of.cache_clear()
        gc.collect()
        self.sizes[name] = tracemalloc.get_traced_memory()[0] - before

    def _connections(self, groups: int) -> int:
        limits = Limits()
        self.table = ConnectionTable(
            max_connections=groups, max_per_address=limits.max_connections_per_address
        )
        for address in self.addresses:
            self.table.enter(cast(Tracked, Connection(address)))
        self.limiter = ConnectionLimiter(self.guards, lambda: self.now)
        for address in self.addresses:
            self.limiter.admit(address)
        return len(self.table.connections)

    def _ledger(self, allowance: object) -> int:
        ledger = Ledger(CONNECTIONS if allowance is CONNECTIONS else ERRORS)
        for number in range(MAX_KEYS + 1):  # one more than it holds
            ledger.add((f"2001:db8:{number >> 8:x}:{(number & 255) << 8:x}::/64",), self.now)
        setattr(self, "ledger" if allowance is CONNECTIONS else "errors", ledger)
        return len(ledger)

    def _rate(self) -> int:
        request = _request()
        for address in self.addresses:
            visitor = self.guards.visitor_address(address)
            self.guards.check(visitor, request, self.guards.rules(NAME), NAME)
        return len(self.guards.rate)

    def _probe(self, address: str, requests: Sequence[Request]) -> None:
        visitor = self.guards.visitor_address(address)
        for request in requests:
            context = RequestContext(visitor, request, self.guards.rules(NAME), NAME)
            self.guards.scanner.check(context, self.now)

    def _probes(self) -> int:
        requests = [_request(target) for target in PROBES[: BAN_AFTER - 1]]
        # Private addresses are not counted: 10.x becomes 44.x here.
        for address in self.addresses:
            self._probe(address.replace("10.", "44.", 1), requests)
        return len(self.addresses)

    def _bans(self) -> int:
        requests = [_request(target) for target in PROBES]
        for number in range(MAX_SCANNER_BANS + 1):
            self._probe(f"45.0.{number >> 8}.{number & 255}", requests)
        return len(self.guards.scanner)

    def _failures(self) -> int:
        self.failures = FailureLimiter()
        tokens = [f"token {number}" for number in range(FAILURES)]
        for address in self.addresses:
            for token in tokens:
                self.failures.count(networks_of(address)[0], token, self.now)
        return len(self.failures)

    def _refusals(self) -> int:
        self.refusals = RefusalSum(())
        for address in self.addresses:
            entry = Entry(
                b"id", address.encode(), b"GET", "-", b"/", 400, 0, 0.0, "malformed request"
            )
            self.refusals.closed(entry, self.now)
        return len(self.addresses)

    def _suspended(self, tokens: int) -> int:
        self.suspended: FairPool[object] = FairPool(MAX_SUSPENDED, (MAX_SUSPENDED,))
        self.members = [object() for _ in range(MAX_SUSPENDED)]
        for number, member in enumerate(self.members):
            self.suspended.enter(member, (f"tok_{number % tokens:016x}",))
        return len(self.suspended)

    def _tokens(self, tokens: int) -> int:
        records = [
            TokenRecord(
                id=f"tok_{number:016x}",
                name=f"tenant-{number}",
                secret_sha256=f"{number:064x}",
                hostnames=(f"app-{number}.example.org",),
                created_at=0,
            )
            for number in range(tokens)
        ]
        self.snapshot = Snapshot.of(1, records)
        return len(records)


def rss() -> int:
    """Bytes of this process in memory (Linux)."""
    text = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if "VmRSS" in line) * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of one check."""

    name: str
    one: float  #: of one address, again and again
    all: float  #: of all groups in turn


def _best(check: Callable[[str], object], those: Sequence[str]) -> float:
    """Return the best round's microseconds; each round takes the next groups, in no order."""
    best = nothing = math.inf
    for number in range(ROUNDS):
        turn = [those[(number * NUMBER + n) * 7919 % len(those)] for n in range(NUMBER)]
        start = perf_counter()
        for address in turn:
            check(address)
        middle = perf_counter()
        for address in turn:
            _nothing(address)
        best = min(best, middle - start)
        nothing = min(nothing, perf_counter() - middle)
    return (best - nothing) / NUMBER * 1e6


def _nothing(_: str) -> None:
    """What the loop and a call cost, which is taken off."""


def costs(tables: Tables) -> list[Cost]:
    """Time all checks on full tables."""
    guards, limiter, table = tables.guards, tables.limiter, tables.table
    request = _request()
    rules = guards.rules(NAME)
    visitors = {one: guards.visitor_address(one) for one in tables.addresses}
    contexts = {
        address: RequestContext(visitor, request, rules, NAME)
        for address, visitor in visitors.items()
    }
    pool: FairPool[str] = FairPool(MAX_HANDSHAKES, HANDSHAKE_SHARES, replaces_own=True)
    rate = RateGuard()

    def share(address: str) -> None:
        tables.now += 0.005
        rate.check(contexts[address], tables.now)

    def chain(address: str) -> None:
        tables.now += 0.005
        guards.check(visitors[address], request, rules, NAME)

    def admit(address: str) -> None:
        tables.now += 0.005
        limiter.admit(address)

    def enter(address: str) -> None:
        connection = cast(Tracked, Connection(address))
        table.enter(connection)
        table.leave(connection)

    def handshake(address: str) -> None:
        pool.enter(address, networks_of(address))
        pool.leave(address)

    checks: list[tuple[str, Callable[[str], object]]] = [
        ("request: its address's share", share),
        ("request: all guards", chain),
        ("connection: bans, rate and errors of its groups", admit),
        ("connection: place in the full table, and leaving it", enter),
        ("TLS handshake: place, and leaving it", handshake),
    ]
    return [
        Cost(name, _best(check, tables.addresses[1:2]), _best(check, tables.addresses))
        for name, check in checks
    ]


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shares")
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=1_000)
    parser.add_argument(
        "--memory", action="store_true", help="fill the tables and print the growth of RSS alone"
    )
    given = parser.parse_args()
    out = sys.stdout.write
    logging.disable()  # thousands are banned here
    before = rss()
    kept = Tables(groups=given.groups, tokens=given.tokens)
    grown = rss() - before
    if given.memory:
        for name, count in kept.counts.items():
            out(f"{name:52} {count:7,}\n")
        out(f"{'all (growth of RSS)':60} {grown / 1e6:8.2f} MB\n")
        return 0
    tracemalloc.start()
    traced = Tables(groups=given.groups, tokens=given.tokens)
    tracemalloc.stop()
    for name, size in traced.sizes.items():
        out(f"{name:52} {traced.counts[name]:7,} {size / 1e6:8.2f} MB\n")
    out(f"{'all (tracemalloc)':60} {sum(traced.sizes.values()) / 1e6:8.2f} MB\n")
    out(f"{'all (growth of RSS)':60} {grown / 1e6:8.2f} MB\n")
    del traced
    gc.collect()
    out(f"\n{'microseconds':52} {'one address':>12} {given.groups:>7,} groups\n")
    for cost in costs(kept):
        out(f"{cost.name:52} {cost.one:12.2f} {cost.all:14.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
