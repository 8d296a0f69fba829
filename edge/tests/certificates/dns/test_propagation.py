from __future__ import annotations

import asyncio

import dns.rcode
import dns.rdataset
import pytest
from edge.tests.certificates.dns.fakes import FakeDNS, fake_dns

from asgi_tunnel_edge.certificates.dns.lookup import DNSLookupError, Lookup
from asgi_tunnel_edge.certificates.dns.propagation import CheckedSolver, wait_until_visible
from asgi_tunnel_edge.errors import SolverError

ZONES = {
    "example.org": "ns A 127.0.0.1\n_acme-challenge CNAME org.proofs.test.",
    "proofs.test": "ns A 127.0.0.1\n",
}


class Recorder:
    """A solver whose record appears at a server when it is asked for it the third time."""

    kind = "dns-01"

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    async def present(self, name: str, value: str) -> None:
        """Note it."""
        self.calls.append(("present", name, value))

    async def clear(self, name: str, value: str) -> None:
        """Note it."""
        self.calls.append(("clear", name, value))


def lookup_of(server: FakeDNS) -> Lookup:
    """Asks the fake as resolver and as server of every zone."""
    return Lookup([("127.0.0.1", server.port)], port=server.port)


def add(server: FakeDNS, value: str) -> None:
    """Put a value where the CNAME leads to."""
    zone = next(zone for name, zone in server.zones.items() if "proofs" in name.to_text())
    zone.replace_rdataset(
        dns.name.from_text("org.proofs.test"), dns.rdataset.from_text("IN", "TXT", 60, value)
    )


async def test_it_waits_for_the_value() -> None:
    """The record is followed to its zone, and that zone's servers are asked until they have it."""
    async with fake_dns(ZONES) as server:
        add(server, "older")
        waiting = asyncio.create_task(
            wait_until_visible(lookup_of(server), "example.org", "value", interval=0.01)
        )
        while server.asked.count(("org.proofs.test", "TXT")) < 3:  # noqa: ASYNC110 - counts
            await asyncio.sleep(0.01)
        assert not waiting.done()
        add(server, "value")
        await asyncio.wait_for(waiting, 10)
        assert ("_acme-challenge.example.org", "TXT") not in server.asked


async def test_what_is_not_seen_is_cleared() -> None:
    """After its time the sentence names the server, and the record is taken away again."""
    async with fake_dns(ZONES) as server:
        recorder = Recorder()
        made = CheckedSolver(recorder, lookup_of(server), timeout=2.0)
        with pytest.raises(SolverError, match=r"within 2 s \(not yet at ns\.proofs\.test"):
            await made.present("example.org", "value")
        assert [call[0] for call in recorder.calls] == ["present", "clear"]


async def test_a_zone_that_cannot_be_looked_up() -> None:
    """A resolver that fails is named as what is in the way."""
    async with fake_dns(ZONES) as server:
        server.failing["org.proofs.test"] = dns.rcode.SERVFAIL
        with pytest.raises(SolverError, match=r"looking up .* failed \(SERVFAIL"):
            await wait_until_visible(lookup_of(server), "example.org", "value", timeout=2.0)


async def test_a_circle_of_aliases() -> None:
    """CNAME records that go in a circle end in an error."""
    zones = {"example.org": "ns A 127.0.0.1\na CNAME b\nb CNAME a"}
    async with fake_dns(zones) as server:
        with pytest.raises(DNSLookupError, match="CNAME"):
            await lookup_of(server).canonical("a.example.org")


async def test_a_name_that_is_none() -> None:
    """What is no DNS name is refused before anything is sent."""
    with pytest.raises(DNSLookupError, match="is no DNS name"):
        await Lookup([("127.0.0.1", 1)]).find("a..b", "A")
