"""Replies of a hostile or broken CA, from a real server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from asgi_tunnel_edge.certificates.acme import transport
from asgi_tunnel_edge.certificates.acme.transport import (
    MAX_RETRY_AFTER,
    Http,
    Reply,
    check_url,
    retry_after,
)
from asgi_tunnel_edge.errors import AcmeError


@asynccontextmanager
async def server(
    reply: bytes | None, *, then: Callable[[], None] = lambda: None
) -> AsyncIterator[str]:
    """Says the same to everybody; None: nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            then()
            if reply is None:
                await reader.read()
            else:
                writer.write(reply)
                await writer.drain()
        writer.close()

    one = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}/dir"
    finally:
        one.close()
        await one.wait_closed()


async def ask(url: str, target: str | None = None) -> Reply:
    """One request."""
    http = Http(url)
    try:
        return await http.request("GET", url if target is None else target)
    finally:
        await http.aclose()


def test_lazy() -> None:
    """An edge that imports the package has not loaded an HTTP library."""
    code = (
        "import sys, asgi_tunnel_edge.certificates.acme; "
        "sys.exit([name for name in sys.modules if name.startswith(('httpx', 'httpcore'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in {"", "[]"}


async def test_good() -> None:
    """A reply comes whole, its field names in lower case."""
    head = b"HTTP/1.1 200 OK\r\nReplay-Nonce: n\r\nContent-Length: 2\r\n\r\n"
    async with server(head + b"{}") as url:
        reply = await ask(url)
    assert (reply.status, reply.body, reply.headers["replay-nonce"]) == (200, b"{}", "n")


async def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply without end is cut."""
    monkeypatch.setattr(transport, "MAX_REPLY", 1000)
    async with server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000) as url:
        with pytest.raises(AcmeError, match="a reply of more than 1000 bytes"):
            await ask(url)


async def test_compressed() -> None:
    """A compressed reply is not unpacked: a few bytes could become a gigabyte."""
    body = gzip.compress(b"{}")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    async with server(head.encode() + body) as url:
        with pytest.raises(AcmeError, match="compressed"):
            await ask(url)


async def test_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA that says nothing is waited for, but not for ever."""
    monkeypatch.setattr(transport, "TIMEOUT", 0.1)
    async with server(None) as url:
        with pytest.raises(AcmeError, match="no whole reply within") as caught:
            await ask(url)
    assert caught.value.kind == "unreachable"


async def test_redirect() -> None:
    """A redirect is a reply like any other: nobody is followed."""
    asked: list[None] = []
    async with server(b"", then=lambda: asked.append(None)) as elsewhere:
        head = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"
        async with server(head.encode()) as url:
            assert (await ask(url)).status == 302
    assert asked == []


@pytest.mark.parametrize(
    "reply", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_broken(reply: bytes) -> None:
    """What is no HTTP, or ends too early, is one sentence."""
    async with server(reply) as url:
        with pytest.raises(AcmeError, match="gave no reply that can be used") as caught:
            await ask(url)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "http://ca.example/directory",
        "http://192.0.2.1/directory",
        "ftp://ca.example/",
        "https://",
        "https://user:secret@ca.example/",
        "https://ca.example:99999/",
        "https://ca.example/a b",
        "https://ca.example/\n",
        "https://[::1/",
        "https://" + "a" * 3000,
        "",
    ],
)
async def test_refused_urls(url: str) -> None:
    """Only https, and nothing that means different things to different readers."""
    with pytest.raises(AcmeError, match="no URL for a CA"):
        Http(url)
    async with server(b"") as good:
        with pytest.raises(AcmeError, match="no URL for a CA"):
            await ask(good, url)


def test_plain_http_never_from_a_real_ca() -> None:
    """A CA over https cannot send the edge to a plain service of this machine."""
    check_url("http://127.0.0.1:8000/dir", plaintext=True)
    with pytest.raises(AcmeError):
        check_url("http://127.0.0.1:8000/dir", plaintext=False)


async def test_root_that_is_none(tmp_path: Path) -> None:
    """A root file that cannot be read is named."""
    for path in (tmp_path / "missing.pem", tmp_path):
        http = Http("https://localhost:1/dir", root=path)
        with pytest.raises(AcmeError, match=r"the root certificate .* cannot be read"):
            await http.request("GET", "https://localhost:1/dir")
        await http.aclose()


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", 120.0),
        (formatdate(1000 + 3600, usegmt=True), 3600.0),
        (formatdate(0, usegmt=True), 0.0),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Wed, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, wait: float | None) -> None:
    """Seconds and dates are both read, and bounded."""
    found = retry_after(Reply(status=429, headers={"retry-after": value}, body=b""), 1000.0)
    assert found == (None if wait is None else 1000.0 + wait)
