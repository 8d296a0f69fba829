from __future__ import annotations

import errno
import re
import socket
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.listeners.advice import listen_advice
from asgi_tunnel_edge.settings.config import EdgeConfig, ListenAddress
from asgi_tunnel_edge.storage import Store, save_snapshot_file

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[EdgeConfig]:
    """Stands in for the server: the settings it was run with. It ends with exit code 7."""
    served: list[EdgeConfig] = []

    def run(config: EdgeConfig) -> int:
        served.append(config)
        return 7

    module = ModuleType("asgi_tunnel_edge.server")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "asgi_tunnel_edge.server", module)
    return served


def test_hands_over(data: Path, run: Run, served: list[EdgeConfig]) -> None:
    """The server gets the settings, and its exit code is the command's."""
    assert run("run", "--data", data).code == 7
    assert served == [EdgeConfig.load(data)]


def test_bad_settings(data: Path, run: Run, served: list[EdgeConfig]) -> None:
    """With a wrong setting nothing is started."""
    file = data / "edge.toml"
    file.write_text("colour = 1\n" + file.read_text())
    done = run("run", "--data", data)
    assert done.code == 2
    assert done.err.startswith("error: edge.toml: colour: there is no such setting; ")
    assert served == []


def test_without_a_store(data: Path, run: Run, served: list[EdgeConfig]) -> None:
    """T30: without its tokens an edge does not start; with a saved snapshot of them it does."""
    config = EdgeConfig.load(data)
    snapshot = Store(config.database_path).snapshot()
    config.database_path.unlink()
    done = run("run", "--data", data)
    assert (done.code, served) == (1, [])
    assert done.err.startswith("error: there is no database ")
    assert not config.database_path.exists()
    save_snapshot_file(snapshot, config.snapshot_path)
    done = run("run", "--data", data)
    assert (done.code, len(served)) == (7, 1)
    assert done.err.startswith("warning: there is no database ")


def test_empty_database_is_brought_up_to_date(
    data: Path, run: Run, served: list[EdgeConfig]
) -> None:
    """The tables of an older version are migrated before the server starts."""
    config = EdgeConfig.load(data)
    config.database_path.write_bytes(b"")
    assert run("run", "--data", data).code == 7
    assert Store(config.database_path).generation() == 0
    assert len(served) == 1


@pytest.mark.parametrize(
    ("host", "error", "advice"),
    [
        ("0.0.0.0", OSError(errno.EACCES, "why"), "cap_net_bind_service"),
        ("203.0.113.1", OSError(errno.EADDRNOTAVAIL, "why"), "no such address"),
        ("0.0.0.0", OSError(errno.EADDRINUSE, "why"), "free the address"),
        ("::", OSError(errno.EADDRNOTAVAIL, "why"), "no IPv6: .* 0.0.0.0:443 for IPv4 alone"),
        ("::", OSError(errno.EAFNOSUPPORT, "why"), "no IPv6: .* 0.0.0.0:443 for IPv4 alone"),
        ("nowhere.test", socket.gaierror(-2, "why"), "an address of this machine"),
    ],
)
def test_what_to_do_about_the_address(host: str, error: OSError, advice: str) -> None:
    """An address that cannot be listened on: the advice fits the reason."""
    assert re.search(advice, listen_advice(error, ListenAddress(host, 443)))
