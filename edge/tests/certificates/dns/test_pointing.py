"""A custom hostname is taken when its records lead to the edge."""

from __future__ import annotations

import dns.rcode
import pytest

from asgi_tunnel_edge.certificates.dns.pointing import check_pointing, is_below
from asgi_tunnel_edge.errors import HostnameElsewhereError

from .fakes import fake_dns
from .test_records import lookup_of

EDGE = "@ A 192.0.2.7\n@ AAAA 2001:db8::7\n* A 192.0.2.8"
SHOP = """
@ A 192.0.2.7
www CNAME edge.test.
below CNAME any.edge.test.
*.all A 192.0.2.7
half A 192.0.2.7
half AAAA 2001:db8::99
away A 203.0.113.1
many A 203.0.113.1
many A 203.0.113.2
many A 203.0.113.3
many A 203.0.113.4
many A 203.0.113.5
"""


async def why(hostname: str, *, own: tuple[str, ...] = (), edge: str = EDGE) -> str:
    """The sentence that a hostname is refused with; empty: it is taken."""
    async with fake_dns({"edge.test": edge, "shop.test": SHOP}) as server:
        server.failing["broken.shop.test"] = dns.rcode.SERVFAIL
        try:
            await check_pointing(hostname, "edge.test", lookup_of(server), own=own)
        except HostnameElsewhereError as error:
            return str(error)
    return ""


@pytest.mark.parametrize(
    "hostname", ["shop.test", "www.shop.test", "below.shop.test", "*.all.shop.test"]
)
async def test_names_that_lead_here(hostname: str) -> None:
    """By CNAME, by the same address, by the address of what is below the domain."""
    assert await why(hostname) == ""


async def test_an_address_of_this_machine_will_do() -> None:
    """The domain itself may be behind something else."""
    assert await why("away.shop.test", own=("203.0.113.1",)) == ""


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [
        ("away.shop.test", "leads to 203.0.113.1, and the edge is at 192.0.2.7, 192.0.2.8, 2001"),
        ("half.shop.test", "leads to 2001:db8::99, and"),
        ("none.shop.test", "none.shop.test has no address; make the record `none.shop.test. CNAME"),
        (
            "*.none.shop.test",
            "has no address; make the record `*.none.shop.test. CNAME edge.test.`",
        ),
        ("many.shop.test", " and 1 more, and the edge"),
        ("broken.shop.test", "broken.shop.test: "),
    ],
)
async def test_names_that_do_not(hostname: str, expected: str) -> None:
    """One sentence: where it leads, and the record to make."""
    sentence = await why(hostname)
    assert expected in sentence
    assert sentence.endswith("; --unchecked keeps the hostname as it is")


async def test_a_domain_without_an_address() -> None:
    """Then the edge's own records come first."""
    assert "edge.test has no address; make its records first" in await why("shop.test", edge="")


def test_below() -> None:
    """The domain, what is below it, and its wildcards."""
    below = ["a.test", "x.a.test", "y.x.a.test", "*.a.test", "*.x.a.test"]
    assert all(is_below(one, "a.test") for one in below)
    assert not any(is_below(one, "a.test") for one in ["ba.test", "test", "*.test", "a.test.org"])
