"""An edge behind a proxy: what a trusted one says of the visitor is what app and log see."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .harness import Edge, running_app, running_edge

pytestmark = pytest.mark.e2e

APP = """
import json


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    fields = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    seen = {name: scope[name] for name in ("client", "scheme", "server")}
    body = json.dumps({**seen, "fields": fields}).encode()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
"""

LOCAL = 'trusted = ["127.0.0.1/32"]\n'


@contextmanager
def world(folder: Path, proxies: str, *, limits: str = "") -> Iterator[Edge]:
    """An edge with these ``[proxies]``, and an app that tells what it sees."""
    (folder / "seeing.py").write_text(APP)
    with (
        running_edge(folder, proxies=proxies, limits=limits) as edge,
        running_app(folder, edge.create_token("shop"), "seeing:app"),
    ):
        yield edge


def exchange(connection: socket.socket, *fields: str, target: str = "/") -> Any:
    """One request; the app's JSON, or the status of what is no 200."""
    lines = "".join(f"{field}\r\n" for field in ("Host: shop.example.test", *fields))
    connection.sendall(f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode())
    reader = connection.makefile("rb")
    status = int(reader.readline().split()[1])
    size = 0
    while (line := reader.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    body = reader.read(size)
    return json.loads(body) if status == 200 else status


def dial(edge: Edge, *, source: str = "127.0.0.1") -> socket.socket:
    """A connection that comes from this address."""
    return socket.create_connection(("127.0.0.1", edge.port), 20, source_address=(source, 0))


def test_headers_of_a_trusted_proxy(tmp_path: Path) -> None:
    """Each request of one connection has its own visitor; others are still believed nothing."""
    with world(tmp_path, LOCAL, limits="max_connections_per_address = 3") as edge:
        with dial(edge) as proxy:
            for address, proto in (("203.0.113.5", "https"), ("2001:db8::5", "http")):
                seen = exchange(
                    proxy,
                    f"X-Forwarded-For: 6.6.6.6, {address}",
                    f"X-Forwarded-Proto: {proto}",
                    "X-Real-IP: 6.6.6.6",
                )
                assert (seen["client"], seen["scheme"]) == ([address, 0], proto)
                fields = dict(seen["fields"])
                assert fields["x-forwarded-for"] == fields["x-real-ip"] == address
                assert fields["x-forwarded-proto"] == proto
            assert exchange(proxy)["client"][0] == "127.0.0.1"
            assert exchange(proxy, "X-Forwarded-For: unknown") == 400
        with dial(edge, source="127.0.0.2") as stranger:
            seen = exchange(stranger, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https")
            assert (seen["client"][0], seen["scheme"]) == ("127.0.0.2", "http")
            assert "6.6.6.6" not in json.dumps(seen)
        # The limit on one address' connections is for visitors, not for the proxy of all of them.
        connections = [dial(edge) for _ in range(6)]
        for one in connections:
            assert exchange(one)["client"][0] == "127.0.0.1"
            one.close()
        for visitor in ("2001:db8::5", "203.0.113.5"):
            edge.running.wait_for(f" {visitor} shop.example.test ")
        assert "Traceback" not in edge.running.output


def test_bans_are_the_visitors(tmp_path: Path) -> None:
    """Who looks for secrets through a proxy is banned itself; the proxy's others are not."""
    scanner, other = "X-Forwarded-For: 203.0.113.66", "X-Forwarded-For: 203.0.113.7"
    with world(tmp_path, LOCAL) as edge:
        for folder in ("", "/api", "/app", "/backend", "/blog", "/cms"):
            with dial(edge) as proxy:
                assert exchange(proxy, scanner, target=f"{folder}/.env") == 404
        for field, is_banned in ((scanner, True), (other, False), (scanner, True)):
            with dial(edge) as proxy:
                seen = exchange(proxy, field)
                assert (seen == 403) if is_banned else (seen["client"][0] == "203.0.113.7")


def test_proxy_protocol(tmp_path: Path) -> None:
    """Balancers send it before everything, the connector's connection included."""
    proxies = 'trusted = ["127.0.0.3/32"]\nprotocol = true\n'
    with world(tmp_path, proxies) as edge:
        line = b"PROXY TCP4 203.0.113.5 198.51.100.7 5000 443\r\n"
        with dial(edge, source="127.0.0.3") as balancer:
            for n in range(len(line)):
                balancer.sendall(line[n : n + 1])
            for _ in range(2):
                seen = exchange(balancer, "X-Forwarded-For: 6.6.6.6")
                assert seen["client"] == ["203.0.113.5", 5000]
                assert seen["server"] == ["198.51.100.7", 443]
                assert "6.6.6.6" not in json.dumps(seen)
        ends = bytes([203, 0, 113, 6, 198, 51, 100, 7]) + struct.pack(">HH", 5001, 443)
        values = b"\x20\x00\x05\x01\0\0\0\0"
        head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(ends + values))
        with dial(edge, source="127.0.0.3") as balancer:
            balancer.sendall(head + ends + values)
            seen = exchange(balancer)
            assert (seen["client"], seen["scheme"]) == (["203.0.113.6", 5001], "https")
        for garbage in (b"GET / HTTP/1.1\r\n", b"PROXY TCP4 x\r\n", b"\x16\x03\x01"):
            with dial(edge, source="127.0.0.3") as balancer:
                balancer.sendall(garbage)
                assert read_end(balancer) == b""
        with dial(edge) as visitor:
            visitor.sendall(line)
            assert read_end(visitor).startswith(b"HTTP/1.1 400 ")
        with dial(edge) as visitor:
            assert exchange(visitor)["client"][0] == "127.0.0.1"
        edge.running.wait_for("was closed: it does not start with a PROXY header")
        assert "Traceback" not in edge.running.output


def read_end(connection: socket.socket) -> bytes:
    """All that comes before the end, whether that is an end or a reset."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data
