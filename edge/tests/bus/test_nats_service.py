"""What a URL of NATS says."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_tunnel_edge.bus.nats_service import Service


def test_urls() -> None:
    """Several servers stand in one URL; behind them is a name for two clusters on one NATS."""
    assert Service.of("nats://a:4222") == Service(servers=["nats://a:4222"])
    found = Service.of("tls://u@a:1,b:2/prod?passfile=/p&sslrootcert=/c")
    assert found == Service(
        servers=["tls://a:1", "tls://b:2"], name="prod", user="u", passfile="/p", rootcert="/c"
    )


def test_options(tmp_path: Path) -> None:
    """A password belongs to a user, a token to nobody; TLS is verified by the system or a file."""
    file = tmp_path / "secret"
    file.write_text("x\n")
    options = Service.of(f"nats://u@a?passfile={file}").options
    assert (options["user"], options["password"]()) == ("u", "x")
    options = Service.of(f"nats://a?passfile={file}").options
    assert list(options) == ["token"]
    assert list(Service.of("tls://a").options) == ["tls"]
    with pytest.raises(OSError, match="No such file"):
        _ = Service.of(f"tls://a?sslrootcert={tmp_path}/none").options
