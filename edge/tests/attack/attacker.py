"""Attacks, in a process of their own: `python attacker.py PORT TOKEN NAME@ADDRESS...`.

One goes on until its standard input ends. It prints a line each second: what it has done so far.
`ATTACK_TLS=1` says that the port speaks TLS. A new attack is a function that opens its connections
with :func:`dial`, and a line in `ATTACKS`; ``test_together`` runs all that are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.frames import FrameDecoder, FrameType, encode_frame
from asgi_tunnel.protocol.handshake import HandshakeReader, Hello, Refuse, encode_handshake
from asgi_tunnel.protocol.limits import Settings

IS_SECURE = os.environ.get("ATTACK_TLS") == "1"

SLICE = 0.005
"""Seconds between two writes of a flood with a rate."""

IS_SECURE = os.environ.get("ATTACK_TLS") == "1"

done: Counter[str] = Counter()


def edge_at(source: str) -> str:
    """Return the edge's address in the family of the attacker's own."""
    return "::1" if ":" in source else "127.0.0.1"


def _connect(port: int, source: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
    sock.setblocking(False)
    sock.bind((source, 0))
    with contextlib.suppress(BlockingIOError):
        sock.connect((edge_at(source), port))
    return sock


async def dial(
    port: int, source: str, *, secure: bool = IS_SECURE
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection, over TLS where the port speaks it."""
    context = trusting() if secure else None
    return await asyncio.open_connection(edge_at(source), port, ssl=context, local_addr=(source, 0))


@cache
def trusting() -> ssl.SSLContext:
    """TLS that takes the edge's own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def silent(port: int, source: str, _: str) -> None:
    """256 connections that say nothing, replaced as they are closed."""
    socks: list[socket.socket] = []
    while True:
        for sock in list(socks):
            with contextlib.suppress(BlockingIOError):
                try:
                    is_open = sock.recv(1) != b""
                except ConnectionError:
                    is_open = False
                if not is_open:
                    sock.close()
                    socks.remove(sock)
        while len(socks) < 256:
            socks.append(_connect(port, source))
            done["opened"] += 1
        await asyncio.sleep(0.02)


async def _flood(port: int, source: str, data: bytes, *, secure: bool = IS_SECURE) -> None:
    """Send this on 32 connections at a time, each replaced as soon as it is refused."""

    async def one() -> None:
        while True:
            try:
                reader, writer = await dial(port, source, secure=secure)
                writer.write(data)
                reply = await reader.read(100)
                done[reply[9:12].decode("latin-1") or "closed"] += 1
                writer.close()
            except OSError:
                done["failed"] += 1
            await asyncio.sleep(0)

    await asyncio.gather(*(one() for _ in range(32)))


async def malformed(port: int, source: str, _: str) -> None:
    """Heads that are no heads, as fast as they are refused."""
    await _flood(port, source, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")


async def handshakes(port: int, source: str, _: str) -> None:
    """Bytes that are no TLS, as fast as they are refused."""
    await _flood(port, source, b"\x16\x03\x01\x00\x05hello", secure=False)


def upgrade(token: str) -> bytes:
    """Return the handshake of a connector."""
    return (
        b"GET /.well-known/asgi-tunnel HTTP/1.1\r\nHost: example.test\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: asgi-tunnel.v1\r\nAuthorization: Bearer "
        + token.encode()
        + b"\r\n\r\n"
    )


def binary(data: bytes) -> bytes:
    """Return a binary message; its mask of zeros changes nothing (RFC 6455 5.3)."""
    return b"\x82\xfe" + len(data).to_bytes(2, "big") + bytes(4) + data


def hello(instance: str, **values: Any) -> bytes:
    """Return HELLO in a binary message."""
    return binary(encode_handshake(Hello(instance=instance, **values)))


async def tokens(port: int, source: str, _: str) -> None:
    """Wrong tokens."""
    for number in itertools.count():
        try:
            reader, writer = await dial(port, source)
            writer.write(upgrade(f"at1.wrong.{number}"))
            done[(await reader.read(100))[9:12].decode("latin-1")] += 1
            writer.close()
        except OSError:
            done["failed"] += 1


async def greetings(port: int, source: str, token: str) -> None:
    """One good token, 256 connections that never say HELLO, replaced as they are closed."""

    async def one() -> None:
        while True:
            try:
                reader, writer = await dial(port, source)
                writer.write(upgrade(token))
                done[(await reader.readuntil(b"\r\n\r\n"))[9:12].decode("latin-1")] += 1
                await reader.read(1)
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                done["failed"] += 1
            await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(256)))


async def sessions(port: int, source: str, token: str) -> None:
    """One good token opens sessions and leaves them, up to the edge's limit."""
    for number in itertools.count():
        try:
            reader, writer = await dial(port, source)
            writer.write(upgrade(token))
            status = (await reader.readuntil(b"\r\n\r\n"))[9:12].decode("latin-1")
            done[status] += 1
            if status == "101":
                writer.write(hello(f"attack{number}"))
                await reader.read(1)
            writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError):
            done["failed"] += 1


SESSIONS = 17
UPLOADS = 5
"""Of each session: five streams of 4 MiB are more than the 16 MiB that may be unacknowledged."""


async def unacknowledged(port: int, source: str, token: str) -> None:
    """One token, 17 sessions that grant window, take all that comes and acknowledge nothing.

    Visitors of the attacker's own upload as much as the edge takes; what is ended begins anew.
    """
    settings = Settings(stream_window=4 * 1024 * 1024, session_window=256 * 1024 * 1024)
    ping = binary(encode_frame(FrameType.PING, bytes(16)))
    are_open = asyncio.Event()  # uploads that wait would all go to the first session

    async def session(number: int) -> None:
        for turn in itertools.count():
            try:
                reader, writer = await dial(port, source)
                writer.write(upgrade(token))
                status = (await reader.readuntil(b"\r\n\r\n"))[9:12].decode("latin-1")
                done[status] += 1
                if status == "101":
                    writer.write(hello(f"attack{number}x{turn}", settings=settings))
                    if done["101"] >= SESSIONS:
                        are_open.set()
                    while await _some(reader):
                        writer.write(ping)  # it is heard of, and what it has got is 0 frames
                    done["ended"] += 1
                writer.transport.abort()
            except (OSError, asyncio.IncompleteReadError):
                done["failed"] += 1
            await asyncio.sleep(0.2)

    async def upload() -> None:
        head = b"POST / HTTP/1.1\r\nHost: bad.example.test\r\nContent-Length: 1000000000\r\n\r\n"
        await are_open.wait()
        while True:
            try:
                reader, writer = await dial(port, source)
                writer.write(head)
                with contextlib.suppress(TimeoutError):  # then on a session that takes more
                    async with asyncio.timeout(3):
                        await asyncio.wait(
                            [
                                reply := asyncio.ensure_future(reader.read(100)),
                                sending := asyncio.ensure_future(_pour(writer)),
                            ],
                            return_when=asyncio.FIRST_COMPLETED,
                        )
                reply.cancel()
                sending.cancel()
                writer.transport.abort()
                done["uploads"] += 1
            except OSError:
                done["failed"] += 1
            await asyncio.sleep(0.2)

    uploads = (upload() for _ in range(SESSIONS * UPLOADS))
    await asyncio.gather(*(session(number) for number in range(SESSIONS)), *uploads)


async def _pour(writer: asyncio.StreamWriter) -> None:
    """Send as much as is taken, until the connection is lost."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(bytes(65536))
            done["bytes"] += 65536
            await writer.drain()  # which alone lets nobody else run
            await asyncio.sleep(0)


async def _some(reader: asyncio.StreamReader) -> bool:
    """Read and drop what comes in a second; False at the end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while data := await reader.read(1 << 20):
                done["taken"] += len(data)
            return False
    return True


AWAY = "away"
"""The token, and the first label of the hostname, of an app that is offline."""


async def waiting(port: int, source: str, _: str) -> None:
    """600 requests for an offline hostname, each asked again as soon as it has its 503."""

    async def one() -> None:
        while True:
            try:
                reader, writer = await dial(port, source)
                writer.write(b"GET / HTTP/1.1\r\nHost: %s.example.test\r\n\r\n" % AWAY.encode())
                done["asked"] += 1
                head = await reader.readuntil(b"\r\n\r\n")
                clean = b" 503 " in head and b"\r\nretry-after: " in head.lower()
                done["clean 503" if clean else "else"] += 1
                writer.transport.abort()
            except (OSError, asyncio.IncompleteReadError):
                done["failed"] += 1
            await asyncio.sleep(0.5)

    await asyncio.gather(*(one() for _ in range(600)))


async def prefixes(port: int, source: str, _: str) -> None:
    """One /48, a /64 for each connection: half of them idle, half waiting for an offline hostname.

    The source is a proxy that the edge trusts, whose PROXY headers name the visitors.
    """
    numbers = itertools.count()

    async def one() -> None:
        while True:
            number = next(numbers)
            try:
                reader, writer = await dial(port, source)
                visitor = f"2001:db8:48:{number & 0xFFFF:x}::1"
                writer.write(f"PROXY TCP6 {visitor} 2001:db8::1 50000 80\r\n".encode())
                done["opened"] += 1
                host = b"good" if number % 2 else AWAY.encode()
                writer.write(b"GET / HTTP/1.1\r\nHost: %s.example.test\r\n\r\n" % host)
                while data := await reader.read(1000):
                    done[data[9:12].decode("latin-1", "replace")] += 1
                done["closed"] += 1
                writer.transport.abort()
            except OSError:
                done["failed"] += 1
            await asyncio.sleep(1.0)

    await asyncio.gather(*(one() for _ in range(800)))


SPOOFED = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "cf-visitor",
    "x-original-url",
    "x-rewrite-url",
    "x-host",
    "x-http-host-override",
    "remote-user",
    "remote-addr",
    "x-remote-user",
    "x-ssl-client-verify",
    "ssl-client-cert",
    "x-client-cert",
    "x-auth-request-user",
    "x-amzn-oidc-data",
    "proxy",
]


async def fields(port: int, source: str, _: str) -> None:
    """A visitor claims to be a proxy, or somebody who has logged in, in every spelling."""
    names = {*SPOOFED, *(name.replace("-", "_") for name in SPOOFED)}
    names |= {name.title() for name in names}
    claims = "".join(f"{name}: 192.0.2.1\r\n" for name in sorted(names))
    request = f"GET /fields HTTP/1.1\r\nHost: good.example.test\r\n{claims}\r\n".encode()
    ours = {"x-forwarded-for", "x-forwarded-host", "x-real-ip"}  # the app's side sets them anew
    while True:
        try:
            reader, writer = await dial(port, source)
            while True:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].split()[0])
                seen = (await reader.readexactly(size)).decode().split("\n")
                leaked = {name for name in seen if name.lower() in names and name not in ours}
                twice = {name for name in ours if seen.count(name) > 1}
                done["leaked" if leaked or twice else "stripped"] += 1
                await asyncio.sleep(0.01)
        except (OSError, IndexError, ValueError, asyncio.IncompleteReadError):
            done["failed"] += 1
            await asyncio.sleep(0.05)


async def names(port: int, source: str, token: str) -> None:
    """One token asks for the hostname of another one, alone and beside its own."""
    for number in itertools.count():
        wanted = ("good.example.test",) if number % 2 else ("bad.example.test", "good.example.test")
        try:
            reader, writer = await dial(port, source)
            writer.write(upgrade(token))
            done[(await reader.readuntil(b"\r\n\r\n"))[9:12].decode("latin-1")] += 1
            writer.write(hello(f"attack{number}", hostnames=wanted))
            _, size = await reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2), "big")
            found = HandshakeReader().feed(await reader.readexactly(size))
            done["refused" if found and isinstance(found[0], Refuse) else "stolen"] += 1
            writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError):
            done["failed"] += 1
        await asyncio.sleep(0.01)


# -- overhead of visitors: bytes that carry nothing ------------------------------------------------

RATE = 18_000_000 // 8
"""Bytes a second of one visitor: 18 Mbit/s, a home uplink."""

POST = (
    b"POST /upload HTTP/1.1\r\nHost: good.example.test\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)
WEBSOCKET = (
    b"GET /sink HTTP/1.1\r\nHost: good.example.test\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def _stream(port: int, source: str, head: bytes, unit: bytes, *, first: bytes = b"") -> None:
    """Send a request, and then ``unit`` again and again at ``RATE``; one connection at a time."""
    loop = asyncio.get_running_loop()
    piece = unit * int(RATE * SLICE / len(unit))
    while True:
        try:
            reader, writer = await dial(port, source)
            done["opened"] += 1
            writer.write(head)
            if head is WEBSOCKET:
                await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            reply = asyncio.ensure_future(_last(reader))
            due = loop.time()
            with contextlib.suppress(ConnectionError):  # refused, and what came is still read
                while not reply.done():
                    writer.write(piece)
                    done["units"] += len(piece) // len(unit)
                    await writer.drain()
                    due = max(due + SLICE, loop.time() - 1)
                    await asyncio.sleep(max(0.0, due - loop.time()))
            done[_refusal(await reply, is_websocket=head is WEBSOCKET)] += 1
            writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError):
            done["failed"] += 1
            await asyncio.sleep(0.05)


async def _last(reader: asyncio.StreamReader) -> bytes:
    """Read to the end and return what came last."""
    last = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            last = (last + data)[-1000:]
    return last


def _refusal(reply: bytes, *, is_websocket: bool) -> str:
    """Return the status of a response, or the code of a close frame."""
    at = reply.find(b"\x88")
    if is_websocket and at >= 0:
        return f"closed {int.from_bytes(reply[at + 2 : at + 4], 'big')}"
    return reply[9:12].decode("latin-1") if reply[:5] == b"HTTP/" else "cut"


async def chunks(port: int, source: str, _: str) -> None:
    """T67: an upload in chunks of one byte."""
    await _stream(port, source, POST, b"1\r\na\r\n")


async def pongs(port: int, source: str, _: str) -> None:
    """T67: pongs that nobody asked for."""
    await _stream(port, source, WEBSOCKET, b"\x8a\x80mask")


async def pings(port: int, source: str, _: str) -> None:
    """T67: pings."""
    await _stream(port, source, WEBSOCKET, b"\x89\x80mask")


async def empty(port: int, source: str, _: str) -> None:
    """T67: messages without content."""
    await _stream(port, source, WEBSOCKET, b"\x81\x80mask")


async def fragments(port: int, source: str, _: str) -> None:
    """T67: a message in fragments of one byte that has no end."""
    await _stream(port, source, WEBSOCKET, b"\x00\x81aaaa\x00", first=b"\x01\x81aaaa\x00")


async def messages(port: int, source: str, _: str) -> None:
    """T67: messages of one byte: they carry something, so they are only slowed down."""
    await _stream(port, source, WEBSOCKET, b"\x81\x81aaaa\x00")


# -- overhead of tenants: frames that carry nothing ------------------------------------------------

FLOOD = 1_000_000
"""Frames a second of one tenant, or as many as one process can send."""


class Tenant:
    """A connector that breaks the rules.

    Args:
        reader: Of its connection.
        writer: Of its connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._partial = b""
        self._frames = FrameDecoder()
        self.opened = asyncio.Event()
        self.credit = 60_000
        self.has_credit = asyncio.Event()

    @classmethod
    async def connect(cls, port: int, source: str, token: str) -> Tenant | None:
        """Open a session; None when the edge refuses."""
        reader, writer = await dial(port, source)
        writer.write(upgrade(token))
        status = (await reader.readuntil(b"\r\n\r\n"))[9:12].decode("latin-1")
        done[status] += 1
        if status != "101":
            writer.transport.abort()
            return None
        writer.write(hello(f"{time.monotonic_ns()}"))
        return cls(reader, writer)

    def send(self, frames: bytes) -> None:
        """Send frames in one binary message."""
        self.writer.write(b"\x82\xff" + len(frames).to_bytes(8, "big") + bytes(4) + frames)

    async def read(self) -> None:
        """Read until the end, and note OPEN, WINDOW and GOAWAY."""
        is_greeted = False
        while True:
            head = await self._reader.readexactly(2)
            size = head[1]
            if size >= 126:
                size = int.from_bytes(
                    await self._reader.readexactly(2 if size == 126 else 8), "big"
                )
            data = await self._reader.readexactly(size)
            if head[0] != 0x82:
                return
            for frame in self._frames.feed(data):
                if frame.type == FrameType.WELCOME:
                    is_greeted = True
                elif frame.type == FrameType.OPEN:
                    self.opened.set()
                elif frame.type == FrameType.WINDOW:
                    self.credit += sum(
                        int.from_bytes(frame.payload[at : at + 4], "big") for at in (0, 4)
                    )
                    self.has_credit.set()
                elif frame.type == FrameType.GOAWAY:
                    code = int.from_bytes(frame.payload[:2], "big")
                    done[f"GOAWAY {GoawayCode(code).name}"] += 1
                    return
            assert is_greeted


async def _accomplice(port: int, source: str) -> None:
    """Ask the tenant's own app for something, and read what comes."""
    reader, writer = await dial(port, source)
    writer.write(b"GET / HTTP/1.1\r\nHost: bad.example.test\r\n\r\n")
    while await reader.read(65536):
        pass
    writer.close()


async def _tenant(
    port: int, source: str, token: str, unit: bytes, *, answers: bytes = b"", raw: bytes = b""
) -> None:
    """Open a session and send ``unit`` at ``FLOOD`` until it is ended; then again.

    Args:
        port: Of the edge.
        source: Address to come from.
        token: Of the tenant.
        unit: One frame.
        answers: Frames that answer a request of an accomplice, before the flood.
        raw: A whole message, in the place of a frame.
    """
    loop = asyncio.get_running_loop()
    is_data = not raw and unit[3] == FrameType.DATA and not answers.endswith(END)
    unit = unit or raw
    piece = unit * int(min(FLOOD * SLICE, 60_000 / len(unit)))
    while True:
        tasks: list[asyncio.Future[None]] = []
        try:
            tenant = await Tenant.connect(port, source, token)
            if tenant is None:
                await asyncio.sleep(0.05)
                continue
            reading = asyncio.ensure_future(tenant.read())
            tasks.append(reading)
            if answers:
                tasks.append(asyncio.ensure_future(_accomplice(port, source)))
                await asyncio.wait_for(tenant.opened.wait(), 10)
                tenant.send(answers)
            due = loop.time()
            while not reading.done():
                if is_data:
                    while tenant.credit < len(piece) + 1000:
                        tenant.has_credit.clear()
                        waiting = asyncio.ensure_future(tenant.has_credit.wait())
                        await asyncio.wait((waiting, reading), return_when=asyncio.FIRST_COMPLETED)
                        waiting.cancel()
                        if reading.done():
                            break
                    tenant.credit -= len(piece)
                if raw:
                    tenant.writer.write(piece)
                else:
                    tenant.send(piece)
                done["units"] += len(piece) // len(unit)
                await tenant.writer.drain()
                due = max(due + len(piece) / len(unit) / FLOOD, loop.time() - 0.1)
                await asyncio.sleep(max(0.0, due - loop.time()))
            tenant.writer.transport.abort()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            done["failed"] += 1
            await asyncio.sleep(0.05)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


HEAD = encode_frame(FrameType.HEAD, b"\x00\xc8" + bytes(4), stream_id=1)
END = encode_frame(FrameType.HEAD, b"\x00\xc8" + bytes(4), stream_id=1, flags=1)


def _frames(unit: bytes, answers: bytes = b"") -> Callable[[int, str, str], Awaitable[None]]:
    async def attack(port: int, source: str, token: str) -> None:
        await _tenant(port, source, token, unit, answers=answers)

    return attack


async def _tiny_messages(port: int, source: str, token: str) -> None:
    """Send PING in WebSocket messages of one byte, each less than a frame of the tunnel's."""
    ping = encode_frame(FrameType.PING, bytes(16))
    raw = b"".join(b"\x82\x81" + bytes(4) + ping[at : at + 1] for at in range(len(ping)))
    await _tenant(port, source, token, b"", raw=raw)


TENANTS = {
    "frames-ping": _frames(encode_frame(FrameType.PING, bytes(16))),
    "frames-drain": _frames(encode_frame(FrameType.DRAIN, b"\x02" + bytes(8))),
    "frames-trailers": _frames(encode_frame(FrameType.TRAILERS, stream_id=1), END),
    "frames-reset": _frames(encode_frame(FrameType.RESET, b"\x00\x01", stream_id=1), END),
    "frames-late": _frames(encode_frame(FrameType.DATA, b"a", stream_id=1), END),
    "frames-window": _frames(encode_frame(FrameType.WINDOW, bytes(8), stream_id=1), HEAD),
    "frames-interim": _frames(
        encode_frame(FrameType.HEAD, b"\x00\x67" + bytes(4), stream_id=1),
        encode_frame(FrameType.PING, bytes(16)),
    ),
    "frames-tiny": _tiny_messages,
    "frames-data": _frames(encode_frame(FrameType.DATA, b"a", stream_id=1), HEAD),
}
"""T68: frames of one kind. The last one carries something, so it is only slowed down."""


BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
# What others can be made to send: an image on a page, a link in a chat, an opened folder.
MADE_TO_SEND = (
    ("GET", BROWSER, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image\r\n"),
    ("GET", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", ""),
    ("GET", "WhatsApp/2.23.20.0", ""),
    ("PROPFIND", "WebDAVFS/3.0.0 (03008000) Darwin/24.0.0 (arm64)", "Depth: 1\r\n"),
)
PROBES = (
    *("/.env", "/.git/config", "/wp-login.php", "/.aws/credentials", "/xmlrpc.php"),
    *("/.svn/entries", "/.htpasswd", "/wp-config.php"),
)


async def probes(port: int, source: str, _: str) -> None:
    """Probes that somebody else makes the visitors of one address send, forty a second."""
    for number in itertools.count():
        method, agent, fields = MADE_TO_SEND[number % len(MADE_TO_SEND)]
        path = PROBES[number // len(MADE_TO_SEND) % len(PROBES)]
        path = f"{path}.DS_Store" if method == "PROPFIND" and number % 3 else path
        try:
            reader, writer = await dial(port, source)
            writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: good.example.test\r\nUser-Agent: {agent}\r\n"
                f"{fields}Connection: close\r\n\r\n".encode()
            )
            done[(await reader.read(100))[9:12].decode("latin-1")] += 1
            writer.close()
        except OSError:
            done["failed"] += 1
        await asyncio.sleep(0.025)


ATTACKS: dict[str, Callable[[int, str, str], Awaitable[None]]] = {
    "silent": silent,
    "malformed": malformed,
    "handshakes": handshakes,
    "tokens": tokens,
    "greetings": greetings,
    "sessions": sessions,
    "unacknowledged": unacknowledged,
    "waiting": waiting,
    "prefixes": prefixes,
    "fields": fields,
    "names": names,
    "chunks": chunks,
    "pongs": pongs,
    "pings": pings,
    "empty": empty,
    "fragments": fragments,
    "messages": messages,
    **TENANTS,
    "probes": probes,
}

WITHOUT_TLS = frozenset({"prefixes"})
"""Attacks that want a port without TLS: a PROXY header comes before the handshake."""


def main() -> None:
    """Run one attack until standard input ends."""
    port, token, *those = sys.argv[1:]
    if os.environ.get("ATTACK_CROWD"):
        # So many would have machines of their own: here they come after everybody else.
        os.setpriority(os.PRIO_PROCESS, 0, 5)

    async def attack() -> None:
        pairs = [one.split("@") for one in those]
        await asyncio.gather(*(ATTACKS[name](int(port), source, token) for name, source in pairs))

    def run() -> None:
        asyncio.run(attack())

    threading.Thread(target=run, daemon=True).start()

    def report() -> None:
        while True:
            time.sleep(0.5)
            sys.stdout.write(f"{dict(done)}\n")
            sys.stdout.flush()

    threading.Thread(target=report, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
