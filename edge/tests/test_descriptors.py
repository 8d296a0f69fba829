"""What an edge does with few file descriptors."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from pathlib import Path

import anyio.to_thread
import pytest
from tests.e2e.harness import BIN, running_edge, spawn, wait_until

from asgi_tunnel_edge.descriptors import DescriptorWatch
from asgi_tunnel_edge.quotas import fitting_limits
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig, Limits, TlsConfig
from asgi_tunnel_edge.storage import Store


def test_limits_that_fit(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be kept is lowered and named; what can is left alone."""
    limits = Limits(max_connections=100, max_tunnels=10)
    assert fitting_limits(limits, None) is limits
    assert fitting_limits(limits, 110) is limits
    assert not caplog.messages
    fitted = fitting_limits(limits, 60)
    assert (fitted.max_connections, fitted.max_tunnels) == (50, 10)
    assert "leaves room for 60 connections, and edge.toml allows 110" in caplog.text
    smallest = fitting_limits(limits, 2)
    assert (smallest.max_connections, smallest.max_tunnels) == (1, 1)


def test_shortage_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A shortage is said at once, then once a minute with how often it was met."""
    now = [0.0]
    watch = DescriptorWatch(0, lambda: now[0])
    for _ in range(5):
        watch.note(OSError(24, "Too many open files"))
    assert [message[:9] for message in caplog.messages] == ["1 times n"]
    now[0] = 61.0
    watch.look()
    assert [message[:9] for message in caplog.messages] == ["1 times n", "4 times n"]


async def test_an_edge_looks_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The event loop drops what it cannot accept without a word, so the edge looks for it."""

    def no_more(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    tls = TlsConfig(mode="off")
    config = EdgeConfig(data_dir=tmp_path, domain="example.test", listen="127.0.0.1:0", tls=tls)
    Store(config.database_path).migrate()
    edge = Edge(config)
    await edge.start()
    try:
        monkeypatch.setattr(os, "dup", no_more)
        await anyio.to_thread.run_sync(
            wait_until, lambda: "no connection could be accepted (Too many" in caplog.text
        )
        monkeypatch.undo()
    finally:
        await edge.stop()


@pytest.mark.e2e
@pytest.mark.parametrize("tls", ["off", "internal"])
def test_few_descriptors(tmp_path: Path, tls: str) -> None:
    """With 64 descriptors it says so at the start, does not spin, and serves again later."""
    with running_edge(tmp_path, tls=tls) as edge:
        edge.stop()
        run = f'ulimit -n 64; exec "{BIN}/asgi-tunnel-edge" run --data "{edge.folder}"'
        process = spawn(["bash", "-c", run], tmp_path)
        try:
            process.wait_for("listening on")
            process.wait_for("the limit of open files leaves room for")
            silent = [socket.create_connection(("127.0.0.1", edge.port)) for _ in range(80)]
            if tls == "internal":
                process.wait_for("no connection could be accepted")
            else:
                readable, _, _ = select.select(silent, [], [], 10)
                assert readable  # some were closed for others, or hear 503
            before = _cpu(process.pid)
            time.sleep(1.0)
            assert _cpu(process.pid) - before < 0.5
            assert process.output.count("no connection could be accepted") <= 1
            for one in silent:
                one.close()
            wait_until(lambda: _is_served(edge.port, tls), what="connections are served again")
        finally:
            process.stop()


def _is_served(port: int, tls: str) -> bool:
    """Whether a new connection is answered: with 404, where HTTP is spoken."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
            one.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            return tls == "internal" or one.recv(12) == b"HTTP/1.1 404"
    except OSError:
        return False


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
