"""Attacks, each in a process of its own: `python attacker.py NAME PORT SOURCE [TOKEN]`.

One goes on until its standard input ends. It prints a line each second: what it has done so far.
`ATTACK_TLS=1` says that the port speaks TLS.
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

from asgi_tunnel.protocol.frames import FrameType, encode_frame
from asgi_tunnel.protocol.handshake import HandshakeReader, Hello, Refuse, encode_handshake
from asgi_tunnel.protocol.limits import Settings

IS_SECURE = os.environ.get("ATTACK_TLS") == "1"

done: Counter[str] = Counter()


def _connect(port: int, source: str) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind((source, 0))
    with contextlib.suppress(BlockingIOError):
        sock.connect(("127.0.0.1", port))
    return sock


async def dial(
    port: int, source: str, *, secure: bool = IS_SECURE
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection, over TLS where the port speaks it."""
    context = trusting() if secure else None
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=(source, 0))


@cache
def trusting() -> ssl.SSLContext:
    """TLS that takes the edge's own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def silent(port: int, source: str, _: str) -> None:
    """S1: 256 connections that say nothing, replaced as they are closed."""
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


async def _flood(port: int, source: str, data: bytes) -> None:
    """Send this on 32 connections at a time, each replaced as soon as it is refused."""

    async def one() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, local_addr=(source, 0)
                )
                writer.write(data)
                reply = await reader.read(100)
                done[reply[9:12].decode("latin-1") or "closed"] += 1
                writer.close()
            except OSError:
                done["failed"] += 1
            await asyncio.sleep(0)

    await asyncio.gather(*(one() for _ in range(32)))


async def malformed(port: int, source: str, _: str) -> None:
    """S8: heads that are no heads, as fast as they are refused."""
    await _flood(port, source, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")


async def handshakes(port: int, source: str, _: str) -> None:
    """S8: bytes that are no TLS, as fast as they are refused."""
    await _flood(port, source, b"\x16\x03\x01\x00\x05hello")


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
    """S8: wrong tokens."""
    secure = ssl.create_default_context()
    secure.check_hostname, secure.verify_mode = False, ssl.CERT_NONE
    for number in itertools.count():
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=secure, local_addr=(source, 0)
            )
            writer.write(upgrade(f"at1.wrong.{number}"))
            done[(await reader.read(100))[9:12].decode("latin-1")] += 1
            writer.close()
        except OSError:
            done["failed"] += 1


async def greetings(port: int, source: str, token: str) -> None:
    """S3: one good token, 256 connections that never say HELLO, replaced as they are closed."""
    secure = ssl.create_default_context()
    secure.check_hostname, secure.verify_mode = False, ssl.CERT_NONE

    async def one() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=secure, local_addr=(source, 0)
                )
                writer.write(upgrade(token))
                done[(await reader.readuntil(b"\r\n\r\n"))[9:12].decode("latin-1")] += 1
                await reader.read(1)
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                done["failed"] += 1
            await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(256)))


async def sessions(port: int, source: str, token: str) -> None:
    """S4: one good token opens sessions and leaves them, up to the edge's limit."""
    secure = ssl.create_default_context()
    secure.check_hostname, secure.verify_mode = False, ssl.CERT_NONE
    for number in itertools.count():
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=secure, local_addr=(source, 0)
            )
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
}


def main() -> None:
    """Run one attack until standard input ends."""
    name, port, source, token = [*sys.argv[1:], ""][:4]
    os.nice(19)  # an attacker has a machine of its own: not the edge's core, nor a visitor's

    def run() -> None:
        asyncio.run(ATTACKS[name](int(port), source, token))  # type: ignore[arg-type]

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
