"""Which addresses a listener takes, and what happens without one of them."""

from __future__ import annotations

import errno
import socket

import pytest

from asgi_tunnel.transport import MAX_ROOM
from asgi_tunnel_edge.listeners.sockets import commit_late, listen

_real_socket = socket.socket


def close(sockets: list[socket.socket]) -> None:
    """Close all."""
    for sock in sockets:
        sock.close()


def without(monkeypatch: pytest.MonkeyPatch, family: socket.AddressFamily) -> None:
    """Take an address family away from this machine."""

    def make(wanted: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        if wanted == family:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return _real_socket(wanted, kind)

    monkeypatch.setattr(socket, "socket", make)


@pytest.mark.parametrize("host", ["::", "0:0:0:0:0:0:0:0"])
async def test_the_ipv6_wildcard_takes_both_families(host: str) -> None:
    """``[::]:0`` is one port in both families, and IPv4 peers keep their plain address."""
    sockets = await listen(host, 0, backlog=8)
    try:
        port = sockets[0].getsockname()[1]
        assert [one.getsockname()[:2] for one in sockets] == [("::", port), ("0.0.0.0", port)]
        for sock, address in zip(sockets, ("::1", "127.0.0.1"), strict=True):
            with socket.create_connection((address, port), timeout=5):
                sock.settimeout(5)
                connection, peer = sock.accept()
                connection.close()
                assert peer[0] == address
    finally:
        close(sockets)


async def test_other_addresses_are_taken_alone() -> None:
    """One address is one socket; an IPv4 one in IPv6 spelling is the IPv4 one."""
    for host, expected in [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
    ]:
        sockets = await listen(host, 0, backlog=8)
        close(sockets)
        found = await listen(host, 0, backlog=8)
        try:
            assert [one.getsockname()[0] for one in found] == [expected]
        finally:
            close(found)


async def test_a_machine_without_one_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """``[::]`` needs IPv6, for it was asked for; without IPv4 it serves IPv6 alone."""
    with monkeypatch.context() as patch:
        without(patch, socket.AF_INET6)
        with pytest.raises(OSError, match="not supported"):
            await listen("::", 0, backlog=8)
    with monkeypatch.context() as patch:
        without(patch, socket.AF_INET)
        sockets = await listen("::", 0, backlog=8)
    assert [one.family for one in sockets] == [socket.AF_INET6]
    close(sockets)


async def test_a_port_that_is_taken_in_ipv4() -> None:
    """A port that is free in one family only is refused whole."""
    (taken,) = await listen("0.0.0.0", 0, backlog=8)
    port = taken.getsockname()[1]
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what is looked at
            await listen("::", port, backlog=8)
        assert caught.value.errno == errno.EADDRINUSE
    finally:
        taken.close()
    close(await listen("::", port, backlog=8))  # no socket of the first try has stayed


async def test_a_name_without_one_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """``localhost`` is served on the addresses that the machine has, on one port."""
    without(monkeypatch, socket.AF_INET6)
    sockets = await listen("localhost", 0, backlog=8)
    assert [one.getsockname()[0] for one in sockets] == ["127.0.0.1"]
    close(sockets)


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="no such option here")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_connections_inherit_how_little_the_kernel_holds(host: str) -> None:
    """The option is set once for a listening socket, and each connection has it."""
    sockets = await listen(host, 0, backlog=8)
    try:
        commit_late(sockets)
        with socket.create_connection((host, sockets[0].getsockname()[1]), timeout=5):
            sockets[0].settimeout(5)
            connection, _ = sockets[0].accept()
            with connection:
                option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert option == MAX_ROOM
    finally:
        close(sockets)
