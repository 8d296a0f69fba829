from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel.errors import ConfigError
from asgi_tunnel.services.proxy.address import check_addresses, look_up
from asgi_tunnel.services.settings import read_services

METADATA = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::a9fe:a9fe",
    "0.0.0.0",
    "::",
    "::ffff:0.0.0.0",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
]
SPELLINGS = [
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "127.1",
    "127.0.0.01",
    "1",
    "0",
    "a.b.7",
]
OTHERS = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("host", METADATA + SPELLINGS + OTHERS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_address_that_is_no_service_is_refused(host: str, scheme: str) -> None:
    """Addresses of metadata services, of nobody and of everybody, in any spelling."""
    to = f"{scheme}://[{host}]:80" if ":" in host else f"{scheme}://{host}:80"
    with pytest.raises(ConfigError, match=r"has the host|leads to"):
        read_services([{"hostname": "a", "to": to}], folder=Path())


@pytest.mark.parametrize("host", METADATA)
def test_public_does_not_allow_metadata(host: str) -> None:
    """allow_public is about other people's servers, not about a cloud's secrets."""
    with pytest.raises(ConfigError, match="leads to"):
        check_addresses([host], "to", allow_public=True)


def test_own_networks_are_allowed() -> None:
    """Loopback, private addresses, and those that carriers and Tailscale share out."""
    own = ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.9", "172.16.0.1", "fd12::1", "100.64.0.1"]
    assert check_addresses(own, "to", allow_public=False) == own
    assert check_addresses(["8.8.8.8"], "to", allow_public=True) == ["8.8.8.8"]


@pytest.mark.parametrize("found", [["169.254.169.254"], ["127.0.0.1", "::ffff:169.254.169.254"]])
async def test_a_name_that_leads_to_metadata_is_refused(
    found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All addresses of a name are looked at: one bad one is enough."""

    async def getaddrinfo(*args: Any, **kwargs: Any) -> list[Any]:
        return [(0, 0, 0, "", (one, 80)) for one in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ConfigError, match=r"leads to 169\.254\.169\.254"):
        await look_up("metadata.test", 80, "service a: to", allow_public=False)
