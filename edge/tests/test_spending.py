"""Rates of several processes: what one takes, the others know of a moment later."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any, cast

from asgi_tunnel.protocol.policy import PolicyRule
from asgi_tunnel_edge.admission.failures import FAILURES, FailureLimiter
from asgi_tunnel_edge.bus.bus import MAX_EVENT, Bus
from asgi_tunnel_edge.bus.events import Events
from asgi_tunnel_edge.guards.app_policy import AppPolicyGuard
from asgi_tunnel_edge.guards.guard import RateLimit, VisitorAddress
from asgi_tunnel_edge.guards.rate import RateGuard
from asgi_tunnel_edge.network import Networks
from asgi_tunnel_edge.policy.matcher import AppPolicy
from asgi_tunnel_edge.shares.ledger import Allowance, Ledger
from asgi_tunnel_edge.spending import MAX_KEYS, Spending

RATE = RateLimit(interval=0.1, tolerance=0.9)  # ten a second, ten at once


class Room:
    """Processes that hear each other at once."""

    def __init__(self) -> None:
        self.events: list[Events] = []
        self.sizes: list[int] = []
        self.heard = asyncio.Event()

    def node(self) -> Events:
        """Add one."""
        events = Events()
        room = self

        class Carrier:
            def broadcast(self, event: Any) -> None:
                room.sizes.append(len(json.dumps(event)))
                room.heard.set()
                for other in room.events:
                    if other is not events:
                        other.happened(event, "x")

        events.bus = cast(Bus, Carrier())
        self.events.append(events)
        return events


def charge(table: RateGuard | Ledger, now: float, key: str, seconds: float) -> None:
    """Take what another process has taken."""
    table.charge(key, seconds, now)


async def told(room: Room, count: int) -> None:
    """Wait until so many words were said."""
    async with asyncio.timeout(20):
        while len(room.sizes) < count:
            room.heard.clear()
            await room.heard.wait()


async def test_a_rate() -> None:
    """Ten at once in one process: the other one lets none pass a moment later."""
    room = Room()
    guards = []
    for _ in range(2):
        guard, spending = RateGuard(), Spending(room.node(), interval=0.01)
        guard.spent = spending.share("rate", partial(charge, guard, 5.0))
        guards.append(guard)
    first, second = guards
    assert [first.take("a", RATE, 5.0) for _ in range(10)] == [0.0] * 10
    assert second.take("b", RATE, 5.0) == 0.0
    await told(room, 2)
    assert second.take("a", RATE, 5.0) > 0
    assert second.take("b", RATE, 5.0) == 0.0
    assert first.take("b", RATE, 5.2) == 0.0


async def test_ledgers_and_tokens() -> None:
    """Connections and errors of an address, and different wrong tokens."""
    room = Room()
    ledgers, failures = [], []
    for _ in range(2):
        ledger, spending = Ledger(Allowance(1.0, 4)), Spending(room.node(), interval=0.01)
        ledger.spent = spending.share("errors", partial(charge, ledger, 7.0))
        ledgers.append(ledger)
        wrong = FailureLimiter()
        wrong.join(spending, lambda: 7.0)
        failures.append(wrong)
    for number in range(3):
        ledgers[0].add(("a",), 7.0)
        assert not failures[0].count("a", f"wrong {number}", 7.0)
    await told(room, 1)
    assert ledgers[1].wait(("a",), 7.0) <= 0.0
    ledgers[1].add(("a",), 7.0)
    assert ledgers[1].wait(("a",), 7.0) > 0.0
    # The same token twice is one token, wherever it was sent.
    assert not failures[1].count("a", "wrong 0", 7.0)
    found = [failures[1].count("a", f"other {number}", 7.0) for number in range(FAILURES - 2)]
    assert found == [*[False] * (FAILURES - 3), True]


async def test_a_flood() -> None:
    """From very many addresses: a word stays small, has those that owe the most, and is one."""
    room = Room()
    spending, heard = Spending(room.node(), interval=0.01), {}
    other = Spending(room.node(), interval=0.01)
    other.share("rate", lambda key, seconds: heard.update({key: seconds}))
    table = spending.share("rate", lambda key, seconds: None)
    for number in range(3000):
        table.note(f"203.0.{number // 256}.{number % 256}", 1.0 if number == 2999 else 0.01)
    await told(room, 1)
    assert heard["203.0.11.183"] == 1.0
    assert 100 < len(heard) <= MAX_KEYS
    for number in range(200):
        table.note("\0".join([f"2001:db8::{number}", "x" * 250]), 1.0)
        table.note(f"{number}\u00e9", 1.0)
    await told(room, 2)
    assert len(room.sizes) == 2
    assert max(room.sizes) <= MAX_EVENT
    spending.stop()


async def test_who_fills_one_limiter_hides_nothing_of_another() -> None:
    """Probes and wrong tokens owe no time, and are told beside a thousand addresses that do."""
    room = Room()
    first, second = Spending(room.node(), interval=0.01), Spending(room.node(), interval=0.01)
    guard, failures = RateGuard(), [FailureLimiter(), FailureLimiter()]
    guard.spent = first.share("rate", lambda _key, _seconds: None)
    for one, spending in zip(failures, (first, second), strict=True):
        one.join(spending, lambda: 5.0)
    for number in range(1000):
        guard.take(f"10.0.{number // 250}.{number % 250}", RATE, 5.0)
    for number in range(10):
        failures[0].count("192.0.2.7", f"token {number}", 5.0)
    await told(room, 1)
    assert room.sizes[0] <= MAX_EVENT
    counts = [failures[1].count("192.0.2.7", f"other {number}", 5.0) for number in range(FAILURES)]
    assert counts.index(True) == FAILURES - 10


async def test_rates_of_apps() -> None:
    """What an app's rule lets pass in one process counts in the others, whatever its path is."""
    room = Room()
    guards = [AppPolicyGuard(), AppPolicyGuard()]
    for one in guards:
        one.join(Spending(room.node(), interval=0.01), lambda: 5.0)
    rule = PolicyRule(path="/anm\u00e4lan/\u0000" + "x" * 200, rate=5, per=60.0)
    policy = AppPolicy((rule,), (), token_id="one")
    match, visitor = policy._matches[0], VisitorAddress("192.0.2.7", Networks([]))
    assert match is not None
    assert [guards[0].check(match, visitor, 5.0) for _ in range(5)] == [None] * 5
    await told(room, 1)
    reply = guards[1].check(match, visitor, 5.0)
    assert reply is not None
    assert reply.status == 429
    assert guards[1]._keys == 1
