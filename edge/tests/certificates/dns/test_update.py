"""Updates of a real BIND, with TSIG."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dns.asyncquery
import dns.message
import dns.tsig
import pytest
from edge.tests.certificates.dns.fakes import NAMED, bind9, fake_dns

from asgi_tunnel_edge.certificates.acme.solver import Solver
from asgi_tunnel_edge.certificates.dns import update as module
from asgi_tunnel_edge.certificates.dns.lookup import Lookup
from asgi_tunnel_edge.certificates.dns.propagation import CheckedSolver
from asgi_tunnel_edge.certificates.dns.update import UpdateServer, UpdateSolver, read_key
from asgi_tunnel_edge.errors import SolverError

SECRET = base64.b64encode(b"s" * 32).decode()
OTHER = base64.b64encode(b"o" * 32).decode()
RECORD = "_acme-challenge.example.org"
needs_bind = pytest.mark.skipif(NAMED is None, reason="named (bind9) is not installed")


def key(
    name: str = "edge-key", secret: str = SECRET, algorithm: str = "hmac-sha256"
) -> dns.tsig.Key:
    """A key as the solver takes it."""
    return dns.tsig.Key(name, secret, algorithm)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a BIND that lets two keys change one name, and a third none of ours."""
    keys = "\n".join(
        f'key "{name}" {{ algorithm {algorithm}; secret "{SECRET}"; }};'
        for name, algorithm in (
            ("edge-key", "hmac-sha256"),
            ("key512", "hmac-sha512"),
            ("weak", "hmac-sha256"),
        )
    )
    policy = (
        f"grant edge-key name {RECORD}. TXT; grant key512 name {RECORD}. TXT; "
        "grant weak name other.example.org. TXT;"
    )
    records = '_acme-challenge TXT "of somebody else"\n'
    folder = tmp_path_factory.mktemp("bind")
    with bind9(folder, keys=keys, policy=policy, records=records) as found:
        yield found


def solver(port: int, with_key: dns.tsig.Key | None = None, zone: str = "example.org") -> Solver:
    """The solver under test."""
    server = UpdateServer(host="127.0.0.1", port=port, zone=zone)
    return UpdateSolver(server, with_key or key())


async def values(port: int) -> set[str]:
    """What BIND answers."""
    query = dns.message.make_query(RECORD, "TXT")
    reply = await dns.asyncquery.udp(query, "127.0.0.1", 5, port)
    return {one.strings[0].decode() for rrset in reply.answer for one in rrset}


@needs_bind
@pytest.mark.parametrize(
    "with_key", [key(), key("key512", SECRET, "hmac-sha512")], ids=lambda one: str(one.name)
)
async def test_values_come_and_go(port: int, with_key: dns.tsig.Key) -> None:
    """Two values of one name are added beside a foreign one, and only they are taken away."""
    one, two = "-" + "A" * 42, "b" * 43
    made = solver(port, with_key)
    await made.present("example.org", one)
    await made.present("example.org", one)
    await made.present("example.org", two)
    assert await values(port) == {one, two, "of somebody else"}
    await made.clear("example.org", one)
    assert await values(port) == {two, "of somebody else"}
    await made.clear("example.org", two)
    await made.clear("example.org", two)
    assert await values(port) == {"of somebody else"}


@needs_bind
async def test_the_servers_of_the_zone_are_asked(port: int) -> None:
    """With the check a proof is presented when the zone's own servers have it."""
    lookup = Lookup([("127.0.0.1", port)], port=port)
    made = CheckedSolver(solver(port), lookup, timeout=20)
    await made.present("example.org", "checked")
    assert "checked" in await values(port)
    await made.clear("example.org", "checked")


@needs_bind
@pytest.mark.parametrize(
    ("with_key", "zone", "expected"),
    [
        (key("unknown"), "example.org", "does not know the key unknown"),
        (key(secret=OTHER), "example.org", "secret of the key edge-key is another one"),
        (key(algorithm="hmac-sha512"), "example.org", "does not know the key edge-key"),
        (key("weak"), "example.org", r"REFUSED\); allow the key weak .*update-policy"),
        (key(), "org", r"NOTAUTH\); it is not the primary server of the zone org"),
    ],
)
async def test_refusals(port: int, with_key: dns.tsig.Key, zone: str, expected: str) -> None:
    """Each refusal says what is wrong, and nothing of the secret; ``clear`` only logs it."""
    made = solver(port, with_key, zone)
    with pytest.raises(SolverError, match=expected) as caught:
        await made.present("example.org", "value")
    assert SECRET not in str(caught.value)
    assert OTHER not in str(caught.value)
    await made.clear("example.org", "value")


@needs_bind
async def test_another_clock(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is an hour off is named as the reason."""
    monkeypatch.setattr(dns.message, "time", SimpleNamespace(time=lambda: time.time() + 3600))
    with pytest.raises(SolverError, match="clock and this machine's differ"):
        await solver(port).present("example.org", "value")


async def test_a_name_outside_the_zone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is not in the zone is not sent; a CNAME into the zone is followed."""
    monkeypatch.setattr(module, "TRY_TIMEOUT", 0.2)
    with pytest.raises(SolverError, match=r"not in the zone example\.org.*CNAME"):
        await solver(1).present("example.com", "value")
    zones = {
        "example.com": "_acme-challenge CNAME com.example.org.",
        "example.org": "ns A 127.0.0.1",
    }
    async with fake_dns(zones) as server:
        lookup = Lookup([("127.0.0.1", server.port)])
        update_server = UpdateServer(host="127.0.0.1", port=1, zone="example.org")
        made = UpdateSolver(update_server, key(), lookup=lookup)
        with pytest.raises(
            SolverError, match=r"update of com\.example\.org at 127\.0\.0\.1 failed"
        ):
            await made.present("example.com", "value")
        assert {kind for _, kind in server.asked} == {"CNAME"}
        with caplog.at_level(logging.WARNING):
            await made.clear("example.com", "value")
        assert "may be left behind" in caplog.text


async def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not reply, or is not there, ends in a sentence after a bounded time."""
    monkeypatch.setattr(module, "TRY_TIMEOUT", 0.2)
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(tcp.getsockname())
        with pytest.raises(SolverError, match=r"timed out\); check the server's name"):
            await solver(tcp.getsockname()[1]).present("example.org", "value")
    server = UpdateServer(host="no-such-name.invalid", zone="example.org")
    with pytest.raises(SolverError, match="check the server's name"):
        await UpdateSolver(server, key()).present("example.org", "value")


async def test_an_unsigned_reply_is_no_reply() -> None:
    """Whoever answers without the key does not count: it may be anybody."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        reply = dns.message.make_response(dns.message.from_wire(query, keyring=False)).to_wire()
        writer.write(len(reply).to_bytes(2) + reply)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SolverError, match="not signed"):
            await solver(port).present("example.org", "value")


def test_key_files(tmp_path: Path) -> None:
    """What tsig-keygen prints, and a secret alone; anything else gets a sentence without it."""
    path = tmp_path / "key"
    path.write_text(
        f'# made\nkey "a.key" {{\n\talgorithm hmac-sha512;\n\tsecret "{SECRET}";\n}};\n'
    )
    found = read_key(path)
    assert (found.name.to_text(), found.algorithm) == ("a.key.", dns.tsig.HMAC_SHA512)
    assert found.secret == b"s" * 32
    path.write_text(SECRET + "\n")
    assert read_key(path, name="b.key").algorithm == dns.tsig.HMAC_SHA256
    with pytest.raises(SolverError, match="without a name"):
        read_key(path)
    with pytest.raises(SolverError, match=r"for hmac-md5.*hmac-sha256"):
        read_key(path, name="b", algorithm="hmac-md5")
    for text in ("", "???", SECRET[:-3], "key { }"):
        path.write_text(text)
        with pytest.raises(SolverError, match="holds no TSIG key") as caught:
            read_key(path, name="b.key")
        assert SECRET[:8] not in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SolverError, match="it is no text"):
        read_key(path, name="b.key")
    with pytest.raises(SolverError, match="cannot be read"):
        read_key(tmp_path / "none", name="b.key")
