from __future__ import annotations

import math

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.network import NO_NUMBER, Networks, normalise_network, number_of


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7/32", "203.0.113.7"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::1", "2001:db8::/64"),
        ("2001:db8::1/128", "2001:db8::1/128"),
        ("2001:db8:ffff::/32", "2001:db8::/32"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7/120", "203.0.113.0/24"),
        ("::/0", "::/0"),
    ],
)
def test_one_spelling(text: str, normal: str) -> None:
    """A network has one spelling; a lone IPv6 address means its /64."""
    assert normalise_network(text, setting="x") == normal
    assert normalise_network(normal, setting="x") == normal


@pytest.mark.parametrize(
    "text", ["", "a", "1.2.3", "1.2.3.4/33", "1.2.3.4/a", "::/129", "1.2.3.4 "]
)
def test_no_network(text: str) -> None:
    """Anything else is refused under the name of what it was written for."""
    with pytest.raises(EdgeConfigError, match=r"^ADDRESS: expected an IP address or a network"):
        normalise_network(text, setting="ADDRESS")


def test_numbers() -> None:
    """Addresses as sockets spell them have a number; a UNIX socket's peer has none."""
    assert number_of("203.0.113.7") == number_of("::ffff:203.0.113.7")
    assert number_of("fe80::1%eth0") == number_of("fe80::1")
    assert len({number_of(one) for one in ("1.2.3.4", "::1.2.3.4", "102:304::", "::")}) == 4
    for text in ("", "@", "1.2.3", "01.2.3.4.5", "a:b:", "\0:"):
        assert number_of(text) == NO_NUMBER
    assert Networks([("0.0.0.0/0", math.inf), ("::/0", math.inf)]).find(NO_NUMBER, 0.0) is None


def test_find_gives_the_time() -> None:
    """A network is found until its time; the families are apart."""
    networks = Networks([("10.0.0.0/8", 5.0), ("10.1.0.0/16", math.inf), ("2001:db8::/32", 7.0)])
    assert networks.find(number_of("10.2.0.1"), 4.9) == 5.0
    assert networks.find(number_of("10.2.0.1"), 5.0) is None
    assert networks.find(number_of("10.1.0.1"), 6.0) == math.inf
    assert networks.find(number_of("2001:db8:1::"), 6.0) == 7.0
    assert networks.find(number_of("a00::"), 0.0) is None
