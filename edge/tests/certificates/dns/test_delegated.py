from __future__ import annotations

import dns.message
import pytest

from asgi_tunnel_edge.certificates.acme.solver import Solver
from asgi_tunnel_edge.certificates.dns.delegated import DelegatedZoneSolver, place_in
from asgi_tunnel_edge.certificates.dns.zone import MAX_VALUES, Zone
from asgi_tunnel_edge.errors import SolverError

APEX = "_acme-challenge.example.org"


def values(zone: Zone, name: str) -> list[str]:
    """What the zone answers."""
    reply = zone.answer(dns.message.make_query(name, "TXT").to_wire(), tcp=True)
    assert reply is not None
    answer = dns.message.from_wire(reply).answer
    return [one.strings[0].decode() for rrset in answer for one in rrset]


async def test_proofs_are_answered_at_once() -> None:
    """A wildcard and its base at the zone itself; another identifier at its own place below it."""
    zone = Zone(APEX, ["example.org"])
    solver: Solver = DelegatedZoneSolver(zone)
    await solver.present("example.org", "one")
    await solver.present("example.org", "two")
    await solver.present("example.com", "three")
    assert values(zone, APEX) == ["one", "two"]
    assert place_in(APEX, "example.com") == f"example.com.{APEX}"
    assert values(zone, f"example.com.{APEX}") == ["three"]
    await solver.clear("example.org", "one")
    await solver.clear("example.com", "three")
    await solver.clear("example.com", "three")
    assert values(zone, APEX) == ["two"]
    assert values(zone, f"example.com.{APEX}") == []


async def test_no_room() -> None:
    """A full or too long name is refused in a sentence; clearing it raises nothing."""
    zone = Zone(APEX, ["example.org"])
    solver = DelegatedZoneSolver(zone)
    for at in range(MAX_VALUES):
        await solver.present("example.org", str(at))
    with pytest.raises(SolverError, match="no room for the proof of example"):
        await solver.present("example.org", "one more")
    long = ".".join(["a" * 60] * 4)
    with pytest.raises(SolverError, match="shorter name"):
        await solver.present(long, "value")
    await solver.clear(long, "value")
