"""What an edge does at its start with what it cannot use."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from asgi_tunnel_edge.ban import BanRecord
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import AccessLogConfig, EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import SnapshotWatcher, Store
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord


def make(
    folder: Path,
    access_log: str | None = None,
    *,
    listen: str = "127.0.0.1:0",
    mode: Literal["off", "internal"] = "off",
) -> EdgeConfig:
    """The settings of an edge on a free port."""
    config = EdgeConfig(
        data_dir=folder,
        domain="example.test",
        listen=listen,
        tls=TlsConfig(mode=mode),
        access_log=AccessLogConfig(path=access_log),
    )
    Store(config.database_path).migrate()
    return config


async def test_address_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An edge.address that cannot be written is a warning; the edge serves."""
    config = make(tmp_path)
    (config.address_path / "in the way").mkdir(parents=True)
    caplog.set_level(logging.INFO, "asgi_tunnel_edge")
    edge = Edge(config)
    await edge.start()
    await edge.stop()
    assert "edge.address cannot be written" in caplog.text
    assert "listening on 127.0.0.1:" in caplog.text


@pytest.mark.parametrize("mode", ["off", "internal"])
async def test_ipv6_wildcard_serves_ipv4_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], mode: Literal["off", "internal"]
) -> None:
    """``[::]:0`` serves both families, with and without TLS; logs show plain addresses."""
    config = make(tmp_path, listen="[::]:0", mode=mode)
    if mode == "internal":
        create_internal_certificate(config.domain, config.data_dir / "tls")
    edge = Edge(config)
    await edge.start()
    context = (
        ssl.create_default_context(cafile=config.certificate_path) if mode == "internal" else None
    )
    try:
        for address in ("127.0.0.1", "::1"):
            reader, writer = await asyncio.open_connection(
                address,
                edge.address.port,
                ssl=context,
                server_hostname=None if context is None else "localhost",
            )
            writer.write(b"GET / HTTP/1.1\r\nHost: x.example.test\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
            writer.close()
    finally:
        await edge.stop()
    assert all(sock.fileno() == -1 for sock in edge.ports._sockets)
    logged = capfd.readouterr().out
    assert "127.0.0.1" in logged
    assert "::ffff:" not in logged


async def test_an_edge_that_has_stopped_places_nobody(tmp_path: Path) -> None:
    """What is lost at the end of a stop is not begun again on another session."""
    edge = Edge(make(tmp_path))
    await edge.start()
    token = TokenRecord(
        id="t", name="t", secret_sha256="", hostnames=("shop.example.test",), created_at=0
    )
    edge.directory.apply(Snapshot.of(1, [token]))
    route = edge.directory.find("shop.example.test")
    assert route is not None
    assert not route.is_closed
    await edge.stop()
    assert route.is_closed


async def test_access_log_that_cannot_be_opened(tmp_path: Path) -> None:
    """A log file whose folder is missing is refused before anything listens."""
    edge = Edge(make(tmp_path, "missing/access.log"))
    with pytest.raises(EdgeConfigError, match=r"access_log.path: .* cannot be written .*; make"):
        await edge.start()


async def test_the_store_changes_while_the_edge_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a look finds before all is there that follows it holds from the first request on."""
    config = make(tmp_path)
    store = Store(config.database_path)
    record = TokenRecord(
        id="tok_1", name="shop", secret_sha256="", hostnames=("shop.test",), created_at=0
    )
    store.create_token(record)
    edge = Edge(config)
    open_doors = edge._open_doors

    def watcher() -> SnapshotWatcher:
        assert edge._watcher is not None
        return edge._watcher

    async def slowly(snapshot: Snapshot) -> object:
        store.revoke_tokens(["shop"])
        store.add_ban(BanRecord(address="198.51.100.0/24", created_at=1))
        async with asyncio.timeout(10):
            while watcher().snapshot is snapshot:  # noqa: ASYNC110 - a thread looks
                await asyncio.sleep(0.01)
        return await open_doors(snapshot)

    monkeypatch.setattr(edge, "_open_doors", slowly)
    await edge.start()
    try:
        assert edge.directory.snapshot.tokens["tok_1"].revoked
        assert edge.guards.is_banned("198.51.100.7")
        assert "failed" not in caplog.text
    finally:
        await edge.stop()


@pytest.mark.plain
async def test_a_look_that_fails_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else no token would expire any more, and no new certificate be shown."""
    edge = Edge(make(tmp_path))
    await edge.start()
    try:
        monkeypatch.setattr(edge.directory, "end_expired", lambda now: 1 / 0)
        edge._look()
        assert "a look at what has expired failed; the next one follows" in caplog.text
        assert edge._expiry is not None
        assert edge._expiry.when() > asyncio.get_running_loop().time()
    finally:
        await edge.stop()


ENDS = """
import asyncio, os, signal
from asgi_tunnel_edge import server

class Edge:
    def __init__(self, *args, **options):
        pass

    async def run(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, print)
        return 0

class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGHUP):
        print("the interpreter ends", flush=True)
        kill(pid, number)

last = Last()
server.Edge = Edge
raise SystemExit(server.run(None))
"""


def test_a_reload_that_meets_a_process_at_its_very_end() -> None:
    """SIGHUP comes to each process, also when Python has taken its handlers away."""
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"the interpreter ends\n"), done.stderr
