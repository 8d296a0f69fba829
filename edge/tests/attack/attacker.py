"""Attacks, each in a process of its own: `python attacker.py NAME PORT SOURCE [TOKEN]`.

One goes on until its standard input ends. It prints a line each second: what it has done so far.
`ATTACK_TLS=1` says that the port speaks TLS. A new attack is a function and a line in `ATTACKS`;
one that opens its connections with :func:`dial` also stands in `OVER_TLS`. ``test_together`` runs
all that are there.
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

from asgi_tunnel.protocol.handshake import Hello, encode_handshake

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
    """S8: heads that are no heads, as fast as they are refused."""
    await _flood(port, source, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")


async def handshakes(port: int, source: str, _: str) -> None:
    """S8: bytes that are no TLS, as fast as they are refused."""
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


def hello(instance: str) -> bytes:
    """Return HELLO in a binary message; its mask of zeros changes nothing (RFC 6455 5.3)."""
    frame = encode_handshake(Hello(instance=instance))
    return b"\x82\xfe" + len(frame).to_bytes(2, "big") + bytes(4) + frame


async def tokens(port: int, source: str, _: str) -> None:
    """S8: wrong tokens."""
    for number in itertools.count():
        try:
            reader, writer = await dial(port, source)
            writer.write(upgrade(f"at1.wrong.{number}"))
            done[(await reader.read(100))[9:12].decode("latin-1")] += 1
            writer.close()
        except OSError:
            done["failed"] += 1


async def greetings(port: int, source: str, token: str) -> None:
    """S3: one good token, 256 connections that never say HELLO, replaced as they are closed."""

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
    """S4: one good token opens sessions and leaves them, up to the edge's limit."""
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


BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
# What others can be made to send: an image on a page, a link in a chat, an opened folder.
MADE_TO_SEND = (
    ("GET", BROWSER, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image\r\n"),
    ("GET", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", ""),
    ("GET", "WhatsApp/2.23.20.0", ""),
    ("PROPFIND", "WebDAVFS/3.0.0 (03008000) Darwin/24.0.0 (arm64)", "Depth: 1\r\n"),
)
PROBES = ("/.env", "/.git/config", "/wp-login.php", "/.aws/credentials", "/xmlrpc.php", "/pma/")


async def probes(port: int, source: str, _: str) -> None:
    """S5: probes that somebody else makes the visitors of one address send, forty a second."""
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
    "probes": probes,
}

OVER_TLS = frozenset(
    {"silent", "malformed", "handshakes", "tokens", "greetings", "sessions", "probes"}
)
"""Attacks on a port that speaks TLS; the others want one without."""


def main() -> None:
    """Run one attack until standard input ends."""
    name, port, source, token = [*sys.argv[1:], ""][:4]
    # Many attackers would have machines of their own, and leave the cores to edge and visitor.
    os.setpriority(os.PRIO_PROCESS, 0, int(os.environ.get("ATTACK_NICE", "0")))

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
