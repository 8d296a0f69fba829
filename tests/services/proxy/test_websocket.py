"""WebSockets to a service: stock servers, and one whose every byte a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.services.scripted import Call, scripted
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from asgi_tunnel import Services
from asgi_tunnel.testing import LocalEdge, WebSocket, WebSocketClosedError, WebSocketDeniedError

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def behind(handler: Handler, **keys: Any) -> AsyncIterator[LocalEdge]:
    """An edge in memory with a service of ``websockets``."""
    async with serve(handler, "127.0.0.1", 0, **keys) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with LocalEdge(Services({"*": f"http://127.0.0.1:{port}"})) as edge:
            yield edge


async def say(socket: WebSocket, message: str | bytes) -> None:
    """Send a message of either kind."""
    if isinstance(message, str):
        await socket.send_text(message)
    else:
        await socket.send_bytes(message)


async def test_messages_go_both_ways() -> None:
    """Text and binary, empty and large ones, in order; the handshake's fields and subprotocol."""

    async def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        await connection.send(connection.request.headers["X-Forwarded-Proto"])
        async for message in connection:
            await connection.send(message)

    async with (
        behind(echo, subprotocols=["chat"]) as edge,
        edge.websocket("/x?y", subprotocols=["other", "chat"]) as socket,
    ):
        assert socket.subprotocol == "chat"
        assert await socket.receive() == "https"
        for message in ("hällo", "", b"\x00\xff", b"", "x" * 200_000, b"y" * 1_000_000):
            await say(socket, message)
            assert await socket.receive() == message


async def test_fragments_are_assembled_and_pings_answered() -> None:
    """A message in parts is one message; a ping between them is the proxy's business."""

    async def handler(connection: ServerConnection) -> None:
        async def parts() -> AsyncIterator[str]:
            yield "one"
            await (await connection.ping())
            yield " two"

        await connection.send(parts())
        await connection.wait_closed()

    async with behind(handler) as edge, edge.websocket("/") as socket:
        assert await socket.receive() == "one two"


@pytest.mark.parametrize(("code", "reason", "seen"), [(4001, "bye", 4001), (1000, "", 1000)])
async def test_the_service_closes(code: int, reason: str, seen: int) -> None:
    """Its code and its reason reach the visitor, after what it sent before."""

    async def handler(connection: ServerConnection) -> None:
        await connection.send("last")
        await connection.close(code, reason)

    async with behind(handler) as edge, edge.websocket("/") as socket:
        assert await socket.receive() == "last"
        with pytest.raises(WebSocketClosedError) as caught:
            await socket.receive()
        assert (caught.value.code, caught.value.reason) == (seen, reason)


@pytest.mark.parametrize(("code", "seen"), [(4002, 4002), (1000, 1000), (1006, 1001)])
async def test_the_visitor_closes(code: int, seen: int) -> None:
    """Its code reaches the service, after what it sent before; a lost one is going away."""
    found: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        try:
            while True:
                found.put_nowait(await connection.recv())
        except ConnectionClosed as error:
            found.put_nowait(error.rcvd.code if error.rcvd is not None else None)

    async with behind(handler) as edge, edge.websocket("/") as socket:
        await socket.send_text("last")
        await socket.close(code)
        async with asyncio.timeout(10):
            assert [await found.get(), await found.get()] == ["last", seen]


async def test_a_refusal_is_passed_on() -> None:
    """With its status and its body."""

    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(401, "who are you?\n")

    async def handler(connection: ServerConnection) -> None: ...

    async with behind(handler, process_request=refuse) as edge:
        with pytest.raises(WebSocketDeniedError) as caught:
            async with edge.websocket("/"):
                pass
        assert (caught.value.status, caught.value.body) == (401, b"who are you?\n")


def _accepted(head: bytes, *more: bytes) -> bytes:
    key = next(line[19:] for line in head.split(b"\r\n") if line.startswith(b"sec-websocket-key: "))
    fields = b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: %s\r\n" % (
        accept_key(key.decode()).encode()
    )
    return b"HTTP/1.1 101 x\r\n" + fields + b"".join(more) + b"\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        lambda head: b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        lambda head: _accepted(head).replace(b"accept: ", b"accept: A"),
        lambda head: _accepted(head).replace(b"upgrade: websocket", b"upgrade: h2c"),
        lambda head: _accepted(head, b"sec-websocket-extensions: permessage-deflate\r\n"),
        lambda head: _accepted(head, b"sec-websocket-protocol: unoffered\r\n"),
        lambda head: b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        lambda head: b"\x00\x00\x12\x04",
        lambda head: b"",
    ],
)
async def test_a_bad_handshake_is_502(answer: Callable[[bytes], bytes]) -> None:
    """A 101 that is not the response to this WebSocket opens nothing."""

    async def script(call: Call) -> None:
        await call.say(answer(await call.head()))

    async with scripted(script) as service, LocalEdge(Services({"*": service.url})) as edge:
        with pytest.raises(WebSocketDeniedError) as caught:
            async with edge.websocket("/"):
                pass
        assert caught.value.status == 502


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"", 1014),  # lost
        (b"\x81", 1014),  # lost in the middle of a frame
        (b"\x83\x00", 1002),  # an opcode that does not exist
        (b"\x81\x85\x00\x00\x00\x00hello", 1002),  # masked
        (b"\x81\x02\xff\xfe", 1007),  # no UTF-8
        (b"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00", 1009),  # 4 GiB
        (b"\x80\x00", 1002),  # a continuation of nothing
    ],
)
async def test_bad_frames_close_the_websocket(frames: bytes, code: int) -> None:
    """With the code of RFC 6455, and nothing of them reaches the visitor."""

    async def script(call: Call) -> None:
        await call.say(_accepted(await call.head()) + frames)
        if frames[1:]:
            await call.reader.read()

    async with (
        scripted(script) as service,
        LocalEdge(Services({"*": service.url})) as edge,
        edge.websocket("/") as socket,
    ):
        with pytest.raises(WebSocketClosedError) as caught:
            await socket.receive()
        assert caught.value.code == code


async def test_a_service_that_is_away_refuses_with_503() -> None:
    """As for any request."""
    async with scripted(_never) as service:
        url = service.url
    async with LocalEdge(Services({"*": url})) as edge:
        with pytest.raises(WebSocketDeniedError) as caught:
            async with edge.websocket("/"):
                pass
        assert caught.value.status == 503


async def _never(call: Call) -> None: ...


async def test_a_visitor_who_leaves_before_the_service_answers() -> None:
    """The connection to the service is closed; the next one has its place."""
    asked, closed = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        while await reader.read(65536):
            pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    services = Services({"*": {"to": f"http://127.0.0.1:{port}", "max_connections": 1}})
    async with server, LocalEdge(services) as edge:

        async def visit() -> None:
            async with edge.websocket("/"):
                pass

        visitor = asyncio.ensure_future(visit())
        await asked.wait()
        visitor.cancel()
        async with asyncio.timeout(10):
            await closed.wait()
        await asyncio.wait([visitor])
