"""End-to-end hostnames, from a visitor through a real edge to the app that speaks their TLS."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
from edge.tests.home.world import HOME, SHOP, World, world
from msgspec.structs import replace

from asgi_tunnel.config import EndToEndConfig
from asgi_tunnel.inspection import begin_inspection
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel_edge.home import server as home_server
from asgi_tunnel_edge.tokens import Snapshot

MIB = 1024 * 1024


async def exchange(one: World, request: bytes, name: str = HOME) -> bytes:
    """Send one request on a connection of its own; return all that comes back."""
    reader, writer = await one.dial(name)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()


def request_for(path: str, host: str = HOME, more: str = "") -> bytes:
    """A GET that closes its connection."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode()


async def test_a_page_comes_from_the_app_itself(tmp_path: Path) -> None:
    """With the app's own certificate, and a scope as through an edge that reads it."""
    async with world(tmp_path) as one:
        reader, writer = await one.dial()
        client = writer.get_extra_info("sockname")
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert ssl.DER_cert_to_PEM_cert(shown) == one.home.certificate.read_text()
        writer.write(request_for("/a%20b?c=d", more="X-Forwarded-For: 192.0.2.1\r\n"))
        response = await reader.read()
        writer.close()
        assert response.startswith(b"HTTP/1.1 200 OK\r\n")
        assert response.endswith(b"hello\n\r\n0\r\n\r\n")
        (scope,) = one.scopes
        assert scope["scheme"] == "https"
        assert scope["client"] == client
        assert scope["path"] == "/a b"
        assert scope["raw_path"] == b"/a%20b"
        assert (b"host", HOME.encode()) in scope["headers"]
        forwarded = [value for key, value in scope["headers"] if key == b"x-forwarded-for"]
        assert forwarded == [client[0].encode()]


async def test_bulk_both_ways(tmp_path: Path) -> None:
    """32 MiB up and down, with the windows of a tunnel between."""
    async with world(tmp_path) as one:
        size = 32 * MIB
        response = await exchange(one, request_for(f"/size/{size}"))
        assert response.count(b"\0") == size
        data = bytes(range(256)) * (size // 256)
        head = (
            f"POST /digest HTTP/1.1\r\nHost: {HOME}\r\nContent-Length: {size}\r\n"
            "Connection: close\r\n\r\n"
        )
        response = await exchange(one, head.encode() + data)
        assert hashlib.sha256(data).hexdigest().encode() in response


async def test_a_hostname_that_comes_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The app hears of it by a fresh session; a request in progress is not lost by that."""
    async with world(tmp_path) as one:
        visitor = asyncio.create_task(exchange(one, request_for("/wait")))
        await one.is_waiting.wait()
        (record,) = one.edge.directory.snapshot.tokens.values()
        names = ("later.example.test",)
        later = replace(
            record, hostnames=record.hostnames + names, end_to_end=record.end_to_end + names
        )
        one.edge._apply(Snapshot.of(2, [later]))
        async with asyncio.timeout(20):
            while "is not for later.example.test" not in caplog.text:  # noqa: ASYNC110 - a log
                await asyncio.sleep(0.02)
        one.may_go_on.set()
        assert (await visitor).endswith(b"hello\n\r\n0\r\n\r\n")


async def test_keep_alive_and_pipelining(tmp_path: Path) -> None:
    """One connection carries many requests."""
    async with world(tmp_path) as one:
        reader, writer = await one.dial()
        request = f"GET / HTTP/1.1\r\nHost: {HOME}\r\n\r\n".encode()
        writer.write(request * 20)
        for _ in range(20):
            assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_a_lost_tunnel_is_resumed(tmp_path: Path) -> None:
    """A download goes on over 20 cuts of every connection of the app."""
    async with world(tmp_path) as one:
        size = 64 * MIB
        reader, writer = await one.dial()
        writer.write(request_for(f"/size/{size}"))
        received = 0
        cuts = 0
        while data := await reader.read(MIB):
            received += data.count(b"\0")
            if received > (cuts + 1) * size // 21 and cuts < 20:
                cuts += 1
                for slot in one.connector._slots.values():
                    if slot.session is not None:
                        slot.session.drop_transport()
        writer.close()
        assert (received, cuts) == (size, 20)


async def test_the_edge_does_not_read_it(tmp_path: Path) -> None:
    """A request for the name that comes in another way is not served: 421."""
    async with world(tmp_path) as one:
        trust = ssl.create_default_context(cafile=str(one.edge.config.certificate_path))
        reader, writer = await one.dial(SHOP, trust)
        writer.write(request_for("/", host=HOME))
        assert (await reader.readline()).startswith(b"HTTP/1.1 421 ")
        writer.close()
        assert one.scopes == []
        response = await exchange(one, request_for("/", host=SHOP))
        assert response.startswith(b"HTTP/1.1 421 ")  # nor is another name at home


async def test_without_an_app_an_alert_says_so(tmp_path: Path) -> None:
    """After the time of a hold; the visitor's browser shows that it is not its fault."""
    async with world(tmp_path, has_app=False) as one:
        one.edge.context.limits = type(one.edge.context.limits)(hold_timeout=0.2)
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            await one.dial()


async def test_an_app_that_has_no_certificate_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, in its log; the visitor gets an alert."""
    async with world(tmp_path, end_to_end=EndToEndConfig()) as one:
        for _ in range(2):
            with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
                await one.dial()
        said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert len(said) == 1
        assert "ASGI_TUNNEL_CERTIFICATE" in said[0]


async def test_rubbish_behind_the_name_is_an_alert(tmp_path: Path) -> None:
    """What is no TLS inside a stream ends it, and nothing else."""
    async with world(tmp_path) as one:
        outgoing = ssl.MemoryBIO()
        client = one.trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOME)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        reader, writer = await asyncio.open_connection("127.0.0.1", one.edge.address.port)
        writer.write(outgoing.read() + b"\xff" * 65536)
        try:
            await reader.read()
        except ConnectionError:
            pass
        writer.close()
        assert (await exchange(one, request_for("/"))).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_who_stays_silent_in_the_handshake_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ClientHello alone holds a stream and memory of TLS for a bounded time."""
    monkeypatch.setattr(home_server, "HANDSHAKE_TIMEOUT", 0.3)
    async with world(tmp_path) as one:
        outgoing = ssl.MemoryBIO()
        client = one.trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOME)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        reader, writer = await asyncio.open_connection("127.0.0.1", one.edge.address.port)
        writer.write(outgoing.read())
        assert (await reader.read(5))[0] == 22  # the reply, and then nothing
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(MIB)
        writer.close()
        assert one.server.in_flight == 0


async def test_the_edge_restarts(tmp_path: Path) -> None:
    """A response in progress ends whole and its connection with it; an idle one is closed."""
    async with world(tmp_path) as one:
        idle = await one.dial()
        idle[1].write(f"GET / HTTP/1.1\r\nHost: {HOME}\r\n\r\n".encode())
        await idle[0].readuntil(b"0\r\n\r\n")
        busy = await one.dial()
        busy[1].write(f"GET /wait HTTP/1.1\r\nHost: {HOME}\r\n\r\n".encode())
        await one.is_waiting.wait()
        stopping = asyncio.ensure_future(one.edge.stop())
        assert await asyncio.wait_for(idle[0].read(), 5.0) == b""
        one.may_go_on.set()
        response = await busy[0].read()
        assert response.endswith(b"hello\n\r\n0\r\n\r\n")
        await asyncio.wait_for(stopping, 5.0)
        for _, writer in (idle, busy):
            writer.close()


async def test_the_app_stops(tmp_path: Path) -> None:
    """The same when it is the app that ends: what is in progress gets its grace."""
    async with world(tmp_path) as one:
        idle = await one.dial()
        busy = await one.dial()
        busy[1].write(f"GET /wait HTTP/1.1\r\nHost: {HOME}\r\n\r\n".encode())
        await one.is_waiting.wait()
        stopping = asyncio.ensure_future(one.connector.stop())
        assert await asyncio.wait_for(idle[0].read(), 5.0) == b""
        one.may_go_on.set()
        assert (await busy[0].read()).endswith(b"hello\n\r\n0\r\n\r\n")
        await asyncio.wait_for(stopping, 5.0)
        for _, writer in (idle, busy):
            writer.close()


async def test_the_app_stops_during_a_transfer(tmp_path: Path) -> None:
    """One that takes longer than the grace is cut, and not taken for whole."""
    async with world(tmp_path) as one:
        reader, writer = await one.dial()
        writer.write(request_for(f"/size/{512 * MIB}"))
        await reader.readexactly(1024)
        await asyncio.wait_for(one.connector.stop(), 10.0)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await reader.readexactly(512 * MIB)
        writer.close()


async def test_the_inspector_knows_what_was_end_to_end(tmp_path: Path) -> None:
    """T145: what came through the app's own TLS has the flag, what the edge has read has not."""
    async with world(tmp_path) as one:
        inspection = begin_inspection(
            Inspect(level="full"), one.connector.origin, "a", "asgi-tunnel/test"
        )
        assert inspection is not None
        await exchange(one, request_for("/private"))
        line = ':inspect: {"by":"a","may_write":true}\r\n'
        reply = await exchange(one, request_for("/state", more=line))
        assert reply.startswith(b"HTTP/1.1 400 ")
        (found,) = [one.summary("x") for one in inspection.recorder.newest(10)]
        assert (found["path"], found["end_to_end"], found["host"]) == ("/private", True, HOME)
