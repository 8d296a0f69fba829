from __future__ import annotations

from typing import Any

import pytest

from .conftest import make_world


@pytest.mark.parametrize(
    ("settings", "served", "refused"),
    [
        ({"deny": ["203.0.113.0/24"]}, ["203.0.114.1", "::1"], ["203.0.113.1", "203.0.113.255"]),
        ({"deny": ["203.0.113.7/24"]}, ["203.0.114.1"], ["203.0.113.1"]),
        ({"deny": ["2001:db8::/32"]}, ["2001:db9::1", "32.1.13.184"], ["2001:db8:ffff::1"]),
        ({"deny": ["::/0"]}, ["203.0.113.1"], ["::1", "2001:db8::1"]),
        ({"deny": ["0.0.0.0/0"]}, ["2001:db8::1"], ["203.0.113.1", "::ffff:203.0.113.1"]),
        ({"deny": ["2001:db8::5"]}, ["2001:db8:0:1::5"], ["2001:db8::6"]),
        ({"allow": ["10.0.0.0/8"]}, ["10.1.2.3", "::ffff:10.1.2.3"], ["203.0.113.1", "::1", ""]),
        (
            {"allow": ["10.0.0.0/8"], "deny": ["10.6.6.6", "10.7.0.0/16"]},
            ["10.1.2.3"],
            ["10.6.6.6", "10.7.1.1"],
        ),
    ],
)
def test_lists(settings: dict[str, Any], served: list[str], refused: list[str]) -> None:
    """Only who is allowed and not denied is served; IPv4 in IPv6 clothes is IPv4."""
    world = make_world(**settings)
    for address in served:
        assert world.status(address=address) == 0, address
    for address in refused:
        assert world.status(address=address) == 403, address
    assert world.guards.counts()["addresses"] == len(refused)


def test_hostname_lists() -> None:
    """A hostname's allow takes the place of the edge's; its deny is added to the edge's."""
    world = make_world(
        {
            "open.a.test": {"allow": []},
            "office.a.test": {"allow": ["198.51.100.0/24"], "deny": ["198.51.100.9"]},
        },
        allow=["10.0.0.0/8"],
        deny=["10.6.6.6", "198.51.100.1"],
    )
    table = {
        ("shop.a.test", "10.0.0.1"): 0,
        ("shop.a.test", "203.0.113.1"): 403,
        ("open.a.test", "203.0.113.1"): 0,
        ("open.a.test", "10.6.6.6"): 403,
        ("office.a.test", "198.51.100.2"): 0,
        ("office.a.test", "198.51.100.1"): 403,
        ("office.a.test", "198.51.100.9"): 403,
        ("office.a.test", "10.0.0.1"): 403,
    }
    for (host, address), status in table.items():
        assert world.status(host=host, address=address) == status, (host, address)


def test_exact_name_beats_wildcard() -> None:
    """A wildcard's table is for the names that have none of their own."""
    world = make_world({"*.a.test": {"deny": ["0.0.0.0/0"]}, "shop.a.test": {}})
    assert world.status(host="shop.a.test") == 0
    assert world.status(host="blog.a.test") == 403
    assert world.status(host="a.test") == 0
