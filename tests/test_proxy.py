"""The way to the edge through a proxy: which one, what is asked of it, and what it may reply."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.dial import dial
from asgi_tunnel.proxy import MAX_HEAD, Proxy, ProxyError, find_proxy
from asgi_tunnel.token import Token
from asgi_tunnel_edge.certificates.internal import create_internal_certificate, fingerprint
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord, new_secret, new_token_id, secret_digest

EDGE = "wss://edge.example.test"
SECRET = "p@ss/word"


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://one:3128"}, "http://one:3128"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1"),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"all_proxy": "all:8"}, "http://all:8"),
        (
            {"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://[2001:db8::1]"},
            "http://[2001:db8::1]:80",
        ),
        ({"HTTP_PROXY": "http://plain:1"}, None),
        ({"https_proxy": "", "ALL_PROXY": "http://all:1"}, None),
        ({"ALL_PROXY": "socks5h://s"}, "socks5h://s:1080"),
        ({"HTTPS_PROXY": "http://me:p%40ss@one:3128"}, "http://one:3128"),
    ],
)
def test_which_proxy(environ: dict[str, str], found: str | None) -> None:
    """The variable for https comes before the one for all, the lower form before the upper."""
    proxy = find_proxy(EDGE, environ)
    assert (None if proxy is None else str(proxy)) == found


@pytest.mark.parametrize(
    ("edge", "excluded", "is_direct"),
    [
        (EDGE, "*", True),
        (EDGE, "other.test, edge.example.test", True),
        (EDGE, "example.test", True),
        (EDGE, ".example.test", True),
        (EDGE, "*.example.test", True),
        (EDGE, "EXAMPLE.test:443", True),
        (EDGE, "example.test:8443", False),
        (EDGE, "ample.test", False),
        (EDGE, "edge.example", False),
        (EDGE, "", False),
        (EDGE, ".", False),
        ("wss://192.0.2.7:8443", "192.0.2.0/24", True),
        ("wss://192.0.2.7:8443", "192.0.2.7:8443", True),
        ("wss://192.0.2.7", "192.0.2.70", False),
        ("wss://[2001:db8::7]", "2001:db8::/32", True),
        ("wss://[2001:db8::7]", "[2001:db8::7]:443", True),
        ("wss://127.0.0.1:8443", "", True),
        ("wss://localhost:8443", "", True),
        ("wss://[::1]", "", True),
    ],
)
def test_no_proxy(edge: str, excluded: str, is_direct: bool) -> None:
    """NO_PROXY names hosts, domains, ports and networks; loopback never needs a proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        proxy = find_proxy(edge, {"HTTPS_PROXY": "http://one:1", name: excluded})
        assert (proxy is None) is is_direct


def test_plain_edge() -> None:
    """An edge without TLS has the variable for http, except where a visitor could have set it."""
    assert find_proxy("ws://edge.test", {"HTTPS_PROXY": "http://one:1"}) is None
    environ = {"HTTP_PROXY": "http://one:1"}
    assert str(find_proxy("ws://edge.test", environ)) == "http://one:1"
    assert find_proxy("ws://edge.test", {**environ, "REQUEST_METHOD": "GET"}) is None


@pytest.mark.parametrize(
    "text",
    [
        "https://me:secret@one:1",
        "ftp://me:secret@one",
        "http://me:secret@one:99999",
        "http://me:secret@",
        "http://me:sec/ret@one:1",
        "http://me:secret@one:1/path",
        "http://me:secret@[one:1",
    ],
)
def test_no_such_proxy(text: str) -> None:
    """A value that names no proxy is refused in a sentence without the secret that it may hold."""
    with pytest.raises(ProxyError, match="HTTPS_PROXY names") as caught:
        find_proxy(EDGE, {"HTTPS_PROXY": text})
    assert "secret" not in str(caught.value)
    assert "sec/ret" not in str(caught.value)


class ConnectProxy:
    """An HTTP proxy that wants a user and a password and leads every name to loopback."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reply = b""  # sent in the place of a way, when set
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _ = lines[0].split(" ")
            self.asked.append(target)
            fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            wanted = base64.b64encode(f"me:{SECRET}".encode()).decode().lower()
            if self.reply:
                writer.write(self.reply)
            elif method != "CONNECT" or fields.get("proxy-authorization") != f"basic {wanted}":
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            else:
                port = int(target.rpartition(":")[2])
                other = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
                await asyncio.gather(self._pump(reader, other[1]), self._pump(other[0], writer))
        finally:
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    """A proxy on loopback."""
    found = ConnectProxy()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Is never called."""


@pytest.mark.e2e
async def test_tunnel_through_a_proxy(
    proxy: ConnectProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The proxy gets the edge's name and the credentials; the log names it without these."""
    config = EdgeConfig(data_dir=tmp_path, domain="example.test", listen="127.0.0.1:0")
    files = create_internal_certificate("example.test", tmp_path / "tls")
    store = Store(config.database_path)
    store.migrate()
    token = Token(
        edge=EDGE,
        id=new_token_id(),
        secret=new_secret(),
        pin=fingerprint(files.certificate.read_bytes()),
    )
    store.create_token(
        TokenRecord(
            id=token.id,
            name="shop",
            secret_sha256=secret_digest(token.secret),
            hostnames=("shop.example.test",),
            created_at=1,
        )
    )
    edge = Edge(config)
    await edge.start()
    token = replace(token, edge=f"{EDGE}:{edge.address.port}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss%2Fword@127.0.0.1:{proxy.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    caplog.set_level(logging.INFO, "asgi_tunnel")
    settings = TunnelConfig.from_env({}, token=token.format())
    assert settings is not None
    connector = Connector(settings, Origin(app))
    connector.start()
    try:
        async with asyncio.timeout(10):
            await connector.wait_connected()
    finally:
        await connector.stop()
        await edge.stop()
    assert proxy.asked[0] == f"edge.example.test:{edge.address.port}"
    said = f"dialing the edge through the proxy http://127.0.0.1:{proxy.port} (HTTPS_PROXY)"
    assert caplog.messages.count(said) == 1
    assert "word" not in caplog.text


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"", "replied 407: it wants a user and a password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "replied 403: it does not allow this"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "replied 502: it does not reach the edge"),
        (b"HTTP/1.1 599 Odd\r\n\r\n", "replied 599: it opens no way to the edge"),
        (b"SSH-2.0-x\r\n\r\n", "sent no HTTP response"),
        (b"HTTP/1.1 200 OK\r\n", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", "sent bytes behind its head"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n", "sent a head of more than"),
    ],
)
async def test_proxy_refuses(proxy: ConnectProxy, reply: bytes, why: str) -> None:
    """Whatever a proxy replies becomes a sentence that names it, without the password."""
    proxy.reply = reply
    one = Proxy(scheme="http", host="127.0.0.1", port=proxy.port, user="me", password="wrong")
    with pytest.raises(ProxyError, match=why) as caught:
        await dial(EDGE, "att1", proxy=one)
    assert str(one) in str(caught.value)
    assert "wrong" not in f"{caught.value} {one!r}"


async def test_proxy_is_away() -> None:
    """A proxy that is not there is named, with the variable to change."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    one = Proxy(scheme="http", host="127.0.0.1", port=port, variable="ALL_PROXY")
    with pytest.raises(ProxyError, match=r"cannot be reached: .*; start it, or change ALL_PROXY"):
        await dial(EDGE, "att1", proxy=one)


async def test_socks_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy without the package that speaks SOCKS is refused with its name."""
    monkeypatch.setitem(sys.modules, "python_socks", None)
    one = Proxy(scheme="socks5h", host="one", port=1080, variable="ALL_PROXY")
    with pytest.raises(ProxyError, match="needs the package python-socks"):
        await dial(EDGE, "att1", proxy=one)
