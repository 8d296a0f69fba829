"""What an edge does at its start with what it cannot use."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import AccessLogConfig, EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import Store


def make(folder: Path, access_log: str | None = None) -> EdgeConfig:
    """The settings of an edge on a free port."""
    config = EdgeConfig(
        data_dir=folder,
        domain="example.test",
        listen="127.0.0.1:0",
        tls=TlsConfig(mode="off"),
        access_log=AccessLogConfig(path=access_log),
    )
    Store(config.database_path).migrate()
    return config


async def test_address_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """R8: an edge.address that cannot be written is a warning; the edge serves."""
    config = make(tmp_path)
    (config.address_path / "in the way").mkdir(parents=True)
    caplog.set_level(logging.INFO, "asgi_tunnel_edge")
    edge = Edge(config)
    await edge.start()
    await edge.stop()
    assert "edge.address cannot be written" in caplog.text
    assert "listening on 127.0.0.1:" in caplog.text


async def test_access_log_that_cannot_be_opened(tmp_path: Path) -> None:
    """O1: a log file whose folder is missing is refused before anything listens."""
    edge = Edge(make(tmp_path, "missing/access.log"))
    with pytest.raises(EdgeConfigError, match=r"access_log.path: .* cannot be written .*; make"):
        await edge.start()
