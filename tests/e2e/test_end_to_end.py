"""End-to-end hostnames with real processes, and what the edge in between can be seen to know."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import websockets

from asgi_tunnel_edge.certificates.internal import create_internal_certificate

from .harness import Edge, Process, running_app, running_edge

pytestmark = pytest.mark.e2e

NAME = "home.example.test"
PLAIN = "shop.example.test"
APP = "tests.e2e.apps_end_to_end:app"
ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024


@dataclass
class World:
    """An edge, and one app behind it.

    Attributes:
        name: Its hostname.
        ca: What to trust about it, a PEM file.
        marker: That the app sends at ``/marker``.
    """

    edge: Edge
    app: Process
    name: str
    ca: Path
    marker: bytes

    def curl(self, path: str, *options: str) -> bytes:
        """Send one request; return the body."""
        done = subprocess.run(self.command(path, *options), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self, path: str, *options: str) -> list[str]:
        """The same as a command."""
        port = self.edge.port
        where = ["--resolve", f"{self.name}:{port}:127.0.0.1", "--cacert", str(self.ca)]
        return ["curl", "-sS", "-m", "50", *where, *options, f"https://{self.name}:{port}{path}"]

    @property
    def trust(self) -> ssl.SSLContext:
        """For a client in Python."""
        return ssl.create_default_context(cafile=str(self.ca))


@contextmanager
def world(folder: Path, *, is_end_to_end: bool = True) -> Iterator[World]:
    """One of each; without ``is_end_to_end`` TLS ends at the edge."""
    marker = secrets.token_hex(16).encode()
    with running_edge(folder, tls="internal") as edge:
        name = NAME if is_end_to_end else PLAIN
        words = ["--end-to-end"] if is_end_to_end else []
        token = edge.create_token(name.partition(".")[0], *words)
        ca = edge.folder / "tls" / "certificate.pem"
        env = {"MARKER": marker.decode()}
        if is_end_to_end:
            made = create_internal_certificate(NAME, folder / "home")
            ca = made.certificate
            env |= {"ASGI_TUNNEL_CERTIFICATE": str(ca), "ASGI_TUNNEL_KEY": str(made.key)}
        with running_app(folder, token, APP, app_dir=ROOT, env=env) as app:
            yield World(edge, app, name, ca, marker)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For all that change nothing."""
    with world(tmp_path_factory.mktemp("end-to-end")) as running:
        yield running


def test_the_certificate_is_the_apps(one: World) -> None:
    """As a client that is not ours sees it."""
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{one.edge.port}"),
            *("-servername", NAME, "-verify_hostname", NAME, "-verify_return_error"),
            *("-CAfile", str(one.ca)),
        ],
        input=f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert b"Verify return code: 0 (ok)" in done.stdout
    pem = one.ca.read_text()
    assert pem[: pem.index("-----END")].encode() in done.stdout


def test_a_page_and_large_bodies(one: World) -> None:
    """100 MB each way, whole."""
    assert one.curl("/") == b"hello\n"
    size = 100 * MIB
    assert len(one.curl(f"/size/{size}")) == size + 6
    data = secrets.token_bytes(MIB) * 100
    upload = subprocess.run(
        one.command("/digest", "--data-binary", "@-"), input=data, capture_output=True, check=True
    )
    assert upload.stdout.decode() == hashlib.sha256(data).hexdigest()


def test_events(one: World) -> None:
    """An event stream arrives as it is sent."""
    assert one.curl("/events", "-N") == b"data: 0\n\ndata: 1\n\ndata: 2\n\nhello\n"


async def test_websocket(one: World) -> None:
    """Over the same TLS."""
    async with websockets.connect(
        f"wss://{NAME}:{one.edge.port}/", host="127.0.0.1", ssl=one.trust, proxy=None
    ) as channel:
        for text in ("one", "two"):
            await channel.send(text)
            assert await channel.recv() == text.upper()


def test_a_host_field_that_lies(one: World) -> None:
    """The name in TLS is what the connection was made for: another one inside gets 421."""
    response = one.curl("/", "-i", "-H", "Host: other.example.test")
    assert response.startswith(b"HTTP/1.1 421 ")


def test_the_edge_cannot_see_it(one: World) -> None:
    """Neither its memory during a transfer, nor its log, nor its folder have a byte of contents."""
    secret = secrets.token_hex(16)
    with transferring(one, "-H", f"Authorization: Bearer {secret}", path="/marker"):
        held = {what: count(one.edge.running, what) for what in (one.marker, secret.encode())}
        assert count(one.app, one.marker) > 0  # the way of looking is right
    assert held == {one.marker: 0, secret.encode(): 0}
    one.edge.running.wait_for(f'{NAME} "TLS -"')
    output = one.edge.running.output.encode()
    written = [output, *(p.read_bytes() for p in one.edge.folder.rglob("*") if p.is_file())]
    for content in written:
        assert one.marker not in content
        assert secret.encode() not in content
        assert b"/marker" not in content


def test_the_way_of_looking_finds_what_an_edge_reads(tmp_path: Path) -> None:
    """Where TLS ends at the edge, its memory has the contents."""
    with world(tmp_path, is_end_to_end=False) as plain, transferring(plain, path="/marker"):
        assert count(plain.edge.running, plain.marker) > 0


@contextmanager
def transferring(one: World, *options: str, path: str) -> Iterator[None]:
    """A download is in progress."""
    curl = subprocess.Popen(one.command(path, "-N", *options), stdout=subprocess.PIPE)
    assert curl.stdout is not None
    assert one.marker in curl.stdout.read(65536)
    reading = threading.Thread(target=curl.stdout.read)
    reading.start()
    try:
        yield
    finally:
        curl.kill()
        reading.join()
        curl.wait()
        curl.stdout.close()


def count(process: Process, what: bytes) -> int:
    """How often the writable memory of a process has some bytes."""
    found = 0
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    with Path(f"/proc/{process.pid}/mem").open("rb", buffering=0) as memory:
        for start, end in re.findall(r"(?m)^(\w+)-(\w+) rw", maps):
            try:
                memory.seek(int(start, 16))
                data = memory.read(int(end, 16) - int(start, 16))
            except (OSError, ValueError, OverflowError):
                continue  # not a place that can be read
            found += data.count(what)
    return found


def test_an_edge_that_restarts_finishes_what_is_in_progress(tmp_path: Path) -> None:
    """A response that takes its time ends whole; the next one comes from the new edge."""
    with world(tmp_path) as own:
        slow = subprocess.Popen(own.command("/slow"), stdout=subprocess.PIPE)
        own.app.wait_for("slow begins")
        own.edge.stop()
        assert slow.communicate()[0] == b"hello\n"
        own.edge.start()
        own.app.wait_for("connected again")
        assert own.curl("/") == b"hello\n"


def test_an_app_that_ends_finishes_what_is_in_progress(tmp_path: Path) -> None:
    """Within its grace."""
    with world(tmp_path) as own:
        slow = subprocess.Popen(own.command("/slow"), stdout=subprocess.PIPE)
        own.app.wait_for("slow begins")
        assert own.app.stop() == 0
        assert slow.communicate()[0] == b"hello\n"
        assert "Traceback" not in own.app.output


def descriptors(process: Process) -> int:
    """How many a process has open."""
    return sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir())


async def test_visitors_that_are_killed_leave_nothing(one: World) -> None:
    """Connections in every state are cut; the app's side has none left."""
    before = descriptors(one.edge.running)
    writers = []
    for _ in range(20):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", one.edge.port, ssl=one.trust, server_hostname=NAME
        )
        writer.write(f"GET /size/{MIB * 64} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        writers.append(writer)
    await asyncio.sleep(0.5)
    for writer in writers:
        writer.transport.abort()
    for _ in range(200):
        if descriptors(one.edge.running) <= before:
            break
        await asyncio.sleep(0.05)
    assert descriptors(one.edge.running) <= before
    assert one.curl("/") == b"hello\n"
