from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from asgi_tunnel_edge.certificates.dns import addresses
from asgi_tunnel_edge.certificates.dns.addresses import own_addresses, public_addresses

if TYPE_CHECKING:
    import pytest


def test_addresses_are_of_this_machine() -> None:
    """Each can be bound, and there is one of each family at the most."""
    found = own_addresses()
    assert len({ip_address(one).version for one in found}) == len(found)
    for one in found:
        with socket.socket(socket.AF_INET6 if ":" in one else socket.AF_INET) as sock:
            sock.bind((one, 0))


def test_only_public_ones_are_for_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Private and local addresses are none that others reach."""
    every = ("10.0.0.1", "192.168.1.1", "8.8.8.8", "fd00::1", "fe80::1", "2a00:1450::1")
    monkeypatch.setattr(addresses, "own_addresses", lambda: every)
    assert public_addresses() == ("8.8.8.8", "2a00:1450::1")
