"""Guards through a real edge: visitors come from several addresses of loopback."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.harness import Edge, Process, allowed, edge_command, running_app, wait_until

pytestmark = pytest.mark.e2e

APP = """
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        return
    if scope["type"] != "http":
        return
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]}
    body = {"type": "http.response.body", "body": b"app"}
    if scope["path"] == "/silent":
        await receive()  # until the visitor is gone
        return
    await send(start)
    if scope["path"] == "/endless":
        await send({**body, "more_body": True})
        await receive()
        return
    await send(body)
"""

SETTINGS = """
[guards]
exempt = ["127.0.0.1/32"]
deny = ["127.0.0.66"]
rate = 0.05
burst = 20

[hostnames."shop.example.test"]
max_body = 1000
max_time = 1.0
origins = ["https://shop.example.test"]

[hostnames."blog.example.test"]
scanner = false
body_grace = 0.5
"""

SHOP, BLOG = "shop.example.test", "blog.example.test"
OTHER = "other.example.test"  # of another token
FOLDERS = ("", "/api", "/app", "/backend", "/blog", "/cms", "/core", "/old", "/public", "/site")
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}


@dataclass
class World:
    """An edge with guards and an app behind it."""

    edge: Edge
    app: Process

    def visitor(self, address: str) -> http.client.HTTPConnection:
        """A connection from this address."""
        return http.client.HTTPConnection(
            "127.0.0.1", self.edge.port, timeout=10, source_address=(address, 0)
        )

    def ask(
        self,
        path: str,
        *,
        address: str = "127.0.0.1",
        host: str = SHOP,
        method: str = "GET",
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, fields and body of an answer, over a connection of its own."""
        with closing(self.visitor(address)) as one:
            one.request(
                method,
                path,
                body=body,
                headers={"Host": host, **(headers or {})},
                encode_chunked=body is not None and not isinstance(body, bytes),
            )
            answer = one.getresponse()
            return answer.status, answer.headers, answer.read()

    def status(self, path: str, **options: str) -> int:
        """The status alone."""
        return self.ask(path, address=options.get("address", "127.0.0.1"))[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One edge for all tests of this file; each has addresses of its own."""
    folder = tmp_path_factory.mktemp("guards")
    (folder / "app.py").write_text(APP)
    data = folder / "edge"
    where = ["--data", str(data), "--domain", "example.test", "--listen", "127.0.0.1:0"]
    edge_command("init", *where, "--tls", "off")
    text = (data / "edge.toml").read_text()
    (data / "edge.toml").write_text(text.replace("[guards]\n", "", 1) + SETTINGS)
    edge = Edge(data)
    edge.start()
    try:
        token = edge.create_token("shop", "--hostname", SHOP, "--hostname", BLOG)
        edge.create_token("other")
        with running_app(Path(folder), token, "app:app") as app:
            yield World(edge, app)
        assert "Traceback" not in edge.running.output
    finally:
        if edge.running.is_alive():
            edge.stop()


def test_probes_that_ban_nobody(world: World) -> None:
    """A page's images and a file manager's requests get a reply, and their sender is served on."""
    status, headers, _ = world.ask("/.env", address="127.0.0.8")
    assert (status, headers["x-app"], headers["connection"]) == (404, None, "close")
    fields = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}
    for folder in FOLDERS:
        assert world.ask(f"{folder}/.env", address="127.0.0.8", headers=fields)[0] == 404
    assert world.ask("/.DS_Store", address="127.0.0.8", method="PROPFIND")[0] == 200
    assert world.status("/", address="127.0.0.8") == 200


def test_scanner_is_banned_and_nobody_else(world: World) -> None:
    """A scanner is out at one owner's names; not its neighbour, other tenants and its tunnel."""
    for folder in FOLDERS[:6]:
        assert world.ask(f"{folder}/.env", address="127.0.0.9")[0] == 404
    status, fields, body = world.ask("/", address="127.0.0.9")
    assert (status, fields["cache-control"]) == (403, "no-store")
    assert 590 <= int(fields["retry-after"]) <= 600
    assert b"127.0.0.9" not in body
    assert world.status("/", address="127.0.0.8") == 200
    assert world.ask("/.env", address="127.0.0.9", host=OTHER)[0] == 404  # and no 403
    tunnel = {**HANDSHAKE, "Sec-WebSocket-Protocol": "asgi-tunnel.v1"}
    status, _, _ = world.ask("/.well-known/asgi-tunnel", address="127.0.0.9", headers=tunnel)
    assert status == 401  # the tunnel endpoint asks for a token
    wait_until(
        lambda: "refused: scanner" in world.edge.running.output, what="a line in the access log"
    )
    wait_until(
        lambda: (
            "127.0.0.9 is banned from the hostnames of the token shop for 600 s: 6 different"
            in world.edge.running.output
        ),
        what="a line in the log",
    )


def test_ban_of_the_scanner_guard_is_taken_back(world: World) -> None:
    """It is in `ban list` with owner, reason and end; it outlives the edge; one command ends it."""
    address = "127.0.0.30"
    for folder in FOLDERS[:6]:
        assert world.ask(f"{folder}/.env", address=address)[0] == 404

    def listed() -> list[dict[str, str]]:
        rows = json.loads(world.edge.command("ban", "list", "--json"))
        return [row for row in rows if row["address"] == address]

    wait_until(listed, what="the ban is in the list")
    (row,) = listed()
    assert (row["by"], row["owner"]) == ("scanner", "shop")
    assert row["reason"] == "6 different probes in 60 s, the last one /cms/.env"
    assert row["expires_at"] > row["created_at"]
    world.edge.stop()
    world.edge.start()
    wait_until(lambda: world.status("/") == 200, what="the app is back")
    assert world.status("/", address=address) == 403
    world.edge.command("ban", "rm", address)
    wait_until(lambda: world.status("/", address=address) == 200, what="served again")
    assert listed() == []


def test_hostname_with_a_real_wordpress(world: World) -> None:
    """A name that switched the filter off serves ``/wp-login.php``, and bans nobody."""
    status, fields, _ = world.ask("/wp-login.php", host=BLOG, address="127.0.0.10")
    assert (status, fields["x-app"]) == (200, "1")
    assert world.status("/", address="127.0.0.10") == 200


def test_one_address_over_its_rate(world: World) -> None:
    """429 with Retry-After for who asks too fast, also over one connection; others go on."""
    statuses = [world.ask("/", address="127.0.0.11")[0] for _ in range(22)]
    assert statuses[:20] == [200] * 20
    status, fields, _ = world.ask("/", address="127.0.0.11")
    assert (statuses[-1], status) == (429, 429)
    assert 1 <= int(fields["retry-after"]) <= 20
    assert world.status("/", address="127.0.0.12") == 200
    assert [world.status("/") for _ in range(50)] == [200] * 50  # exempt


def test_flood_of_refusals_is_few_lines(world: World) -> None:
    """The access log has a line for the first refusals of an address, and one for the rest."""
    for number in range(40):
        assert world.ask(f"/{number}", address="127.0.0.1", host="no.test")[0] == 404
    line = "127.0.0.1 no.test "
    wait_until(lambda: world.edge.running.output.count(line) == 20, what="the first lines")
    world.edge.stop()
    assert world.edge.running.output.count(line) == 20
    assert (
        '127.0.0.1 - "- -" 404 0 0.0ms no app is served under this name (20 more times in a '
        in world.edge.running.output
    )
    world.edge.start()
    wait_until(lambda: world.status("/") == 200, what="the app is back")


def test_denied_address(world: World) -> None:
    """An address on the list gets 403, and a HEAD gets no body with it."""
    assert world.status("/", address="127.0.0.66") == 403
    status, _, body = world.ask("/", address="127.0.0.66", method="HEAD")
    assert (status, body) == (403, b"")


def test_ban_of_a_running_edge(world: World) -> None:
    """A ban ends open connections and refuses new ones within a second, until it is taken back."""
    address = "127.0.0.20"
    with closing(world.visitor(address)) as idle:
        idle.request("GET", "/", headers={"Host": SHOP})
        assert idle.getresponse().read() == b"app"
        world.edge.command("ban", "add", address, "--for", "1h", "--reason", "a test")
        start = time.monotonic()
        assert idle.sock is not None
        idle.sock.settimeout(5)
        try:
            assert idle.sock.recv(1) == b""
        except ConnectionResetError:
            pass
        assert time.monotonic() - start < allowed(1.0, start)
    assert world.status("/", address=address) == 403
    assert world.status("/", address="127.0.0.21") == 200
    world.edge.command("ban", "rm", address)
    wait_until(lambda: world.status("/", address=address) == 200, what="served again")


def test_ban_outlives_the_edge(world: World) -> None:
    """A ban is in the store: it holds after a restart of the edge."""
    world.edge.command("ban", "add", "127.0.0.24/30")
    world.edge.stop()
    world.edge.start()
    assert world.status("/", address="127.0.0.26") == 403
    wait_until(lambda: world.status("/") == 200, what="the app is back")


def test_body_of_one_hostname(world: World) -> None:
    """T20: over a name's ``max_body`` is 413, announced or in chunks; another name takes it."""
    assert world.ask("/", method="POST", body=b"x" * 1000)[0] == 200
    assert world.ask("/", method="POST", body=b"x" * 1001)[0] == 413
    assert world.ask("/", method="POST", body=iter([b"x" * 600] * 2))[0] == 413
    assert world.ask("/", method="POST", body=b"x" * 5000, host=BLOG)[0] == 200


def test_pace_of_one_hostname(world: World) -> None:
    """A body of which no byte comes is 408 after a name's ``body_grace``."""
    with closing(world.visitor("127.0.0.1")) as one:
        one.putrequest("POST", "/", skip_host=True)
        one.putheader("Host", BLOG)
        one.putheader("Content-Length", "9")
        one.endheaders()
        start = time.monotonic()
        assert one.getresponse().status == 408
        assert 0.4 <= time.monotonic() - start < allowed(3.0, start)


def test_time_of_one_hostname(world: World) -> None:
    """A silent app is 504 after ``max_time``; an answer that has begun is cut, and looks cut."""
    start = time.monotonic()
    assert world.status("/silent") == 504
    assert 1.0 <= time.monotonic() - start < allowed(3.0, start)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        world.ask("/endless")
    assert world.status("/") == 200


def test_origin_of_a_websocket(world: World) -> None:
    """T25: a page of a listed origin opens a WebSocket, another one gets 403."""
    for origin, status in (("https://shop.example.test", 101), ("https://evil.test", 403)):
        with closing(world.visitor("127.0.0.1")) as one:
            one.request("GET", "/ws", headers={"Host": SHOP, "Origin": origin, **HANDSHAKE})
            assert one.getresponse().status == status
