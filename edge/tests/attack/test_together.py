"""All attacks at once, for a minute: `make attack`.

Whatever stands in ``attacker.ATTACKS`` runs, each attack from addresses of its own, two of them
from IPv6 as well where the machine has it. Beside them a good visitor asks and keeps a
WebSocket open, and another tenant opens its tunnel again and again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import sys
from pathlib import Path

import pytest

from .attacker import ATTACKS, AWAY, TENANTS, WITHOUT_TLS
from .beside import GOOD, Beside, attacks, conversation, watch, world
from .test_shares import only_long

pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("ATTACK_SECONDS", "60"))

CALM = 5.0
"""Seconds before the attacks, to compare with."""

P99 = {"internal": 1.0, "off": 2.0}
"""Seconds. Without TLS the floods come four times as fast, and all have two cores together; such a
port is for a proxy in front, or for this machine."""

LIMITS = "max_tunnels = 50\nmax_tunnels_per_token = 40"
"""So few that the attack on them has filled them at once."""

FROM_THE_VISITOR = frozenset({"probes"})
"""Attacks that make others send something: they come from the good visitor's own address."""

ALSO_BY_IPV6 = frozenset({"silent", "malformed"})

PROXY = "127.0.0.77"
"""Whom the edge trusts, and who names visitors of one IPv6 network."""

FLOODS = frozenset({"chunks", "empty", "fragments", "messages", "pings", "pongs"})

OF_ONE = frozenset({*TENANTS, *FLOODS, "prefixes", "unacknowledged"})
"""Attacks of one tenant or network: from one address each. The others come from two."""


def has_ipv6() -> bool:
    """Whether this machine has ::1."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


def test_every_attack_is_known() -> None:
    """What is said of attacks names attacks that exist."""
    assert {*WITHOUT_TLS, *FROM_THE_VISITOR, *ALSO_BY_IPV6, *OF_ONE} <= set(ATTACKS)


@only_long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("tls", ["internal", "off"])
def test_all_attacks_at_once(tmp_path: Path, tls: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every good request is served, 99 of 100 within a second, and so are tunnels."""
    names = sorted(set(ATTACKS) - WITHOUT_TLS if tls == "internal" else ATTACKS)
    ipv6 = has_ipv6()
    whole = world(
        tmp_path,
        tls=tls,
        limits=LIMITS,
        proxies="" if tls == "internal" else f'trusted = ["{PROXY}/32"]\nprotocol = true',
        has_ipv6=ipv6,
        has_other=True,
    )
    those = [
        (name, source)
        for number, name in enumerate(names)
        for source in _sources(name, number, has_ipv6=ipv6)
    ]
    talking = Beside()
    with whole as one:
        one.edge.create_token(AWAY)
        calm = watch(one, CALM, tenant=one.other)
        with attacks(one, those), conversation(one, talking):
            beside = watch(one, SECONDS, tenant=one.other)
    beside.echoes, beside.failed = talking.echoes, beside.failed + talking.failed
    with capsys.disabled():
        sys.stdout.write(f"\n{tls}: {len(names)} attacks by {len(those)}; {_summary(beside)}\n")
        sys.stdout.write(f"before: {_summary(calm)}\n")
    beside.check(p99=P99[tls], calm=calm)
    assert len(beside.echoes) >= SECONDS


def _sources(name: str, number: int, *, has_ipv6: bool) -> list[str]:
    if name in FROM_THE_VISITOR:
        return [GOOD]
    if name == "prefixes":
        return [PROXY]
    if name in OF_ONE:
        return [f"127.0.1.{number}"]
    both = [f"127.0.1.{number}", f"127.0.2.{number}"]
    return [*both, "::1"] if has_ipv6 and name in ALSO_BY_IPV6 else both


def _summary(beside: Beside) -> str:
    parts = [f"{len(beside.failed)} failed"]
    for name in ("seconds", "echoes", "greetings"):
        times = sorted(getattr(beside, name))
        if times:
            p99 = times[int(len(times) * 0.99)]
            parts.append(
                f"{name}: {len(times)}, median {statistics.median(times) * 1000:.0f} ms, "
                f"p99 {p99 * 1000:.0f} ms, most {times[-1] * 1000:.0f} ms"
            )
    return "; ".join(parts)
