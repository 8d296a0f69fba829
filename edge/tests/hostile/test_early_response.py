"""A response that comes before the request's body is read, and the next request is too."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.e2e.harness import Edge, Token, running_app, running_edge

from asgi_tunnel_edge.http1.deadlines import LINGER

pytestmark = pytest.mark.e2e

APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["method"] == "GET":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
    else:
        await send({"type": "http.response.start", "status": 401,
                    "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})
"""


@dataclass
class World:
    """Two edges, one app that never reads a body."""

    edge: Edge
    token: Token
    is_secure: bool

    def connect(self) -> socket.socket:
        """A connection of a visitor."""
        sock = socket.create_connection(("127.0.0.1", self.edge.port), timeout=10)
        if self.is_secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context.wrap_socket(sock)
        return sock

    def head(self, method: str, *fields: str) -> bytes:
        """A request head for the app."""
        lines = [f"{method} / HTTP/1.1", f"Host: {self.token.hostnames[0]}", *fields, "", ""]
        return "\r\n".join(lines).encode()


@pytest.fixture(scope="module", params=["off", "internal"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Over plain HTTP and over TLS, which has no half-close."""
    folder: Path = tmp_path_factory.mktemp("early")
    (folder / "early.py").write_text(APP)
    with running_edge(folder, tls=request.param) as edge:
        token = edge.create_token("early")
        with running_app(folder, token, "early:app"):
            yield World(edge, token, request.param != "off")


def read_response(sock: socket.socket) -> bytes:
    """Read one response with a Content-Length of less than 10, or chunked."""
    data = b""
    while not (data.endswith((b"no", b"hello", b"0\r\n\r\n"))):
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionResetError(f"ended after {data!r}")
        data += piece
    return data


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 100000",),
        ("Content-Length: 1",),
        ("Transfer-Encoding: chunked",),
        ("Content-Length: 100", "Expect: 100-continue"),
    ],
)
def test_the_response_says_that_the_connection_ends(world: World, fields: tuple[str, ...]) -> None:
    """A pooled client sends no second request behind a body that may not have been read."""
    with world.connect() as sock:
        sock.sendall(world.head("POST", *fields))
        early = read_response(sock)
        assert early.startswith(b"HTTP/1.1 401")
        assert b"\r\nconnection: close\r\n" in early


def test_a_whole_request_keeps_its_connection(world: World) -> None:
    """The app has not read the body, but all of it is here."""
    with world.connect() as sock:
        sock.sendall(world.head("POST", "Content-Length: 5") + b"hello")
        assert b"connection: close" not in read_response(sock)
        sock.sendall(world.head("GET"))
        assert read_response(sock).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("size", [300_000, 50_000_000])
def test_an_upload_can_be_finished_before_the_response_is_read(world: World, size: int) -> None:
    """A client that reads only behind its upload finds no broken pipe and no reset."""
    with world.connect() as sock:
        failed: list[OSError] = []

        def upload() -> None:
            try:
                sock.sendall(world.head("POST", f"Content-Length: {size}"))
                for _ in range(size // 100_000):
                    sock.sendall(b"x" * 100_000)
            except OSError as error:
                failed.append(error)

        if world.is_secure:  # one thread at a time on a TLS connection
            upload()
        else:
            thread = threading.Thread(target=upload)
            thread.start()
            thread.join()
        assert not failed
        assert read_response(sock).startswith(b"HTTP/1.1 401")


def test_a_pool_of_httpx(world: World) -> None:
    """A real client: refused uploads and pages by turns, over one pool."""
    scheme = "https" if world.is_secure else "http"
    headers = {"host": world.token.hostnames[0]}
    url = f"{scheme}://127.0.0.1:{world.edge.port}/"
    with httpx.Client(verify=False, headers=headers, timeout=10) as client:  # noqa: S501 - loopback
        for size in (10, 100_000, 2_000_000) * 5:
            assert client.post(url, content=b"x" * size).status_code == 401
            assert client.get(url).text == "hello"


def test_replies_of_the_edge_are_read_too(world: World) -> None:
    """An unknown name: 404, however much of the body is on its way."""
    with world.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            sock.sendall(b"x" * 100_000)
        assert sock.recv(65536).startswith(b"HTTP/1.1 404")


def test_a_reply_of_the_edge_outlasts_a_slow_upload(world: World) -> None:
    """An upload that takes longer than LINGER is not reset, inside TLS neither."""
    known = world.token.hostnames[0]
    refused = {
        404: ("nobody.test", ""),
        417: (known, "Expect: x\r\n"),
        400: (known, "no field\r\n"),
    }
    socks = {status: world.connect() for status in refused}
    try:
        for status, (host, more) in refused.items():
            head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5000000\r\n"
            socks[status].sendall(f"{head}{more}\r\n".encode())
        end = time.monotonic() + LINGER + 1.5
        while time.monotonic() < end:
            for sock in socks.values():
                sock.sendall(b"x" * 50_000)
            time.sleep(0.25)  # the pace of the upload
        for status, sock in socks.items():
            assert sock.recv(65536).startswith(f"HTTP/1.1 {status}".encode())
    finally:
        for sock in socks.values():
            sock.close()
