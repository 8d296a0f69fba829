"""A real CA on this machine: pebble, the DNS server beside it, and servers that it looks at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from asgi_tunnel_edge.certificates.acme import (
    ACME_TLS,
    AcmeClient,
    HttpTokens,
    Ordering,
    OrderRecord,
    Solver,
    TlsAlpnCertificates,
)
from asgi_tunnel_edge.certificates.acme.jws import AccountKey
from asgi_tunnel_edge.certificates.acme.names import normal_names
from asgi_tunnel_edge.certificates.acme.order import Issued
from asgi_tunnel_edge.certificates.internal import create_internal_certificate

IS_OLD: Final = bool(os.environ.get("PEBBLE_OLD"))
"""Debian's pebble 2.4, a CA as it was before RFC 9773: without ARI, profiles, dns-persist-01."""

FOLDER: Final = Path(__file__).parents[3] / "build" / ("pebble-debian" if IS_OLD else "pebble")
newer: Final = pytest.mark.skipif(
    IS_OLD, reason="pebble 2.4 has no ARI, no profiles and no dns-persist-01"
)
PATIENCE: Final = 20.0  # seconds for a program to listen

#: Names that pebble refuses.
BLOCKED: Final = "blocked.test"


@dataclass(frozen=True, kw_only=True)
class Pebble:
    """A running pebble."""

    directory: str
    root: Path
    management: str
    dns: str
    http_port: int
    tls_port: int

    def ask_dns(self, verb: str, **body: object) -> None:
        """Change what the DNS server answers."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.dns}/{verb}", data=json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
            assert reply.status == 200

    def manage(self, path: str, body: bytes | None = None) -> bytes:
        """Ask pebble's management side."""
        context = ssl.create_default_context(cafile=str(self.root))
        request = urllib.request.Request(f"{self.management}{path}", data=body)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10, context=context) as reply:  # noqa: S310
            return bytes(reply.read())

    def client(self, key: AccountKey | None = None, **options: Any) -> AcmeClient:
        """A client of this CA that does not wait long between two looks."""
        return AcmeClient(
            self.directory, key or AccountKey.generate(), root=self.root, sleep=soon, **options
        )


async def soon(seconds: float) -> None:
    """A wait, cut short: pebble is quicker than any public CA."""
    await asyncio.sleep(min(seconds, 0.02))


class ChallengeDns:
    """The solver of dns-01 by pebble's DNS server."""

    kind = "dns-01"

    def __init__(self, pebble: Pebble) -> None:
        self._pebble = pebble
        self.present_values: list[tuple[str, str]] = []
        self.most = 0

    async def present(self, name: str, value: str) -> None:
        """Add a TXT record."""
        self.present_values.append((name, value))
        self.most = max(self.most, len(self.present_values))
        host = f"_acme-challenge.{name}."
        await asyncio.to_thread(self._pebble.ask_dns, "set-txt", host=host, value=value)

    async def clear(self, name: str, value: str) -> None:
        """Take it away; this DNS server takes all of a name."""
        self.present_values.remove((name, value))
        host = f"_acme-challenge.{name}."
        await asyncio.to_thread(self._pebble.ask_dns, "clear-txt", host=host)
        for other in [value for kept, value in self.present_values if kept == name]:
            await asyncio.to_thread(self._pebble.ask_dns, "set-txt", host=host, value=other)


class PersistentDns:
    """The solver of dns-persist-01: an owner who makes the record that is asked for."""

    kind = "dns-persist-01"

    def __init__(self, pebble: Pebble) -> None:
        self._pebble = pebble
        self.records: list[tuple[str, str]] = []

    async def present(self, name: str, value: str) -> None:
        """Make the record."""
        self.records.append((name, value))
        host = f"_validation-persist.{name}."
        await asyncio.to_thread(self._pebble.ask_dns, "set-txt", host=host, value=value)

    async def clear(self, name: str, value: str) -> None:
        """It stays."""


async def obtain(
    client: AcmeClient,
    names: Sequence[str],
    solvers: Sequence[Solver],
    *,
    kept: list[OrderRecord | None] | None = None,
    **options: Any,
) -> Issued:
    """One certificate, without an issuer."""
    progress: list[OrderRecord | None] = [None] if kept is None else kept

    async def keep(order: OrderRecord | None) -> None:
        progress.append(order)

    if client.account_url is None:
        await client.register()
    fields = {"profile": "default", "replaces": None, "failures": 0, "now": time.time, **options}
    ordering = Ordering(
        client=client, solvers=solvers, names=normal_names(names), keep=keep, **fields
    )
    return await ordering.obtain(progress[-1])


@contextlib.asynccontextmanager
async def http_server(tokens: HttpTokens, port: int) -> AsyncIterator[list[str]]:
    """Port 80 of the edge, as far as a CA sees it; yields the paths that were asked for."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ", 2)[1]
            asked.append(path)
            body = tokens.lookup(path.removeprefix("/.well-known/acme-challenge/"))
            status = "404 Not Found" if body is None else "200 OK"
            text = body or ""
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            writer.write((head + text).encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async with _serving(serve, port):
        yield asked


@contextlib.asynccontextmanager
async def tls_server(
    certificates: TlsAlpnCertificates, port: int, folder: Path
) -> AsyncIterator[list[str | None]]:
    """Port 443 of the edge, as far as a CA sees it; yields the names that were asked for."""
    asked: list[str | None] = []
    own = create_internal_certificate("edge.test", folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    context.set_alpn_protocols([ACME_TLS])

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        asked.append(name)
        found = certificates.context(name)
        if found is None:
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        connection.context = found
        return None

    context.sni_callback = choose

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await reader.read()

    async with _serving(serve, port, ssl=context):
        yield asked


@contextlib.asynccontextmanager
async def _serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    port: int,
    **options: Any,
) -> AsyncIterator[None]:
    """A server whose connections are all closed when it ends."""
    serving: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            serving.discard(task)

    server = await asyncio.start_server(one, "127.0.0.1", port, **options)
    try:
        yield
    finally:
        server.close()
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)


@contextlib.contextmanager
def start_pebble(
    folder: Path,
    *,
    bad_nonces: int = 30,
    sleeps: bool = False,
    resolver: str | None = None,
    **config: object,
) -> Iterator[Pebble]:
    """Start pebble and its DNS server; end both.

    Args:
        folder: For its certificate, configuration and log.
        bad_nonces: How many of 100 nonces it refuses.
        sleeps: Whether it takes up to five seconds to look for a proof.
        resolver: HOST:PORT of the DNS server that it asks; its own, when left out.
        config: More of its configuration.
    """
    own = create_internal_certificate("localhost", folder)
    listen, manage, dns, dns_manage, http_port, tls_port = _free_ports(6)
    settings = {
        "listenAddress": f"127.0.0.1:{listen}",
        "managementListenAddress": f"127.0.0.1:{manage}",
        "certificate": str(own.certificate),
        "privateKey": str(own.key),
        "httpPort": http_port,
        "tlsPort": tls_port,
        "keyAlgorithm": "ecdsa",
        "caaIdentities": ["pebble.test"],
        "domainBlocklist": [BLOCKED],
        "retryAfter": {"authz": 1, "order": 1},
        "profiles": {
            "default": {"description": "90 days", "validityPeriod": 7776000},
            "shortlived": {"description": "6 days", "validityPeriod": 518400},
        },
        **config,
    }
    path = folder / "pebble.json"
    path.write_text(json.dumps({"pebble": settings}))
    env = {
        **os.environ,
        "PEBBLE_VA_SLEEPTIME": "5",
        "PEBBLE_VA_NOSLEEP": "0" if sleeps else "1",
        "PEBBLE_AUTHZREUSE": "0",
        "PEBBLE_CHAIN_LENGTH": "2",
        "PEBBLE_WFE_NONCEREJECT": str(bad_nonces),
    }
    dns_server = [
        *(str(FOLDER / "pebble-challtestsrv"), "-defaultIPv6", "", "-http01", "", "-https01", ""),
        *("-tlsalpn01", "", "-management", f"127.0.0.1:{dns_manage}"),
        *(("-dns01",) if IS_OLD else ("-doh", "", "-dnsserver")),
        f"127.0.0.1:{dns}",
    ]
    ca = [
        *(str(FOLDER / "pebble"), "-strict", "-config", str(path)),
        *("-dnsserver", resolver or f"127.0.0.1:{dns}"),
    ]
    with (folder / "log").open("wb") as log, contextlib.ExitStack() as stack:
        for command in (dns_server, ca):
            process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
        pebble = Pebble(
            directory=f"https://localhost:{listen}/dir",
            root=own.certificate,
            management=f"https://localhost:{manage}",
            dns=f"http://127.0.0.1:{dns_manage}",
            http_port=http_port,
            tls_port=tls_port,
        )
        for port in (listen, manage, dns_manage):
            _wait_for(port)
        yield pebble


def _wait_for(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, f"nothing listens on port {port}"
            time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago: pebble takes no port 0."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            found.append(one.getsockname()[1])
        return found
