"""``asgi-tunnel run --inspect``: from a visitor's request to what is read on the app's machine."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel.cli import _child_arguments, _parser, main

from .harness import BIN, Edge, Token, running_edge, spawn
from .visitor import visiting

pytestmark = pytest.mark.e2e

APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError("HTTP only")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
    if scope["path"] == "/wrong":
        raise ValueError("too late")
"""


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="insp-") as folder:
        yield Path(folder)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """An edge."""
    with running_edge(tmp_path / "edge") as one:
        yield one


def asked(folder: Path, target: str) -> Any:
    """What the one inspector of a folder replies."""
    (path,) = folder.glob("*.inspect")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(path))
        sock.sendall(f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return json.loads(data.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("options", [("--inspect=full",), ("--inspect",)])
def test_a_request_is_seen_on_the_apps_machine(
    tmp_path: Path, run_folder: Path, edge: Edge, options: tuple[str, ...]
) -> None:
    """By a real process through a real edge; the socket goes with the process."""
    (tmp_path / "seen.py").write_text(APP)
    shop: Token = edge.create_token("shop")
    command = [str(BIN / "asgi-tunnel"), "run", *options, "seen:app"]
    env = {"ASGI_TUNNEL_TOKEN": shop.token, "ASGI_TUNNEL_STATUS": str(run_folder)}
    process = spawn(command, tmp_path, env=env, cwd=tmp_path)
    process.wait_for("is live")
    with visiting(edge) as visitor:
        visitor.ask("/wrong?token=secret-of-anna")
        visitor.read_body(visitor.read_head())
    process.wait_for("ValueError: too late")
    state = asked(run_folder, "/state")
    (one,) = asked(run_folder, "/exchanges")["exchanges"]
    found = asked(run_folder, f"/exchanges/{one['id']}")
    assert (one["status"], one["host"], state["app"]) == (200, "shop.example.test", "seen:app")
    assert "secret-of-anna" not in str(found)
    if options == ("--inspect",):
        assert (state["level"], one["error"]) == ("metadata", "ValueError")
        assert found["response"]["fields"] == []
    else:
        assert (state["level"], one["error"]) == ("full", "ValueError: too late")
        assert found["response"]["body"]["text"] == "hello"
        assert 'raise ValueError("too late")' in found["traceback"]
    assert process.stop() == 0
    assert not list(run_folder.iterdir())


def test_another_level_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error names what there is."""
    with pytest.raises(SystemExit) as caught:
        main(["run", "seen:app", "--inspect=all"])
    assert caught.value.code == 2
    assert "full" in capsys.readouterr().err


def test_children_inspect_as_well() -> None:
    """Under ``--reload`` and ``--workers`` each process of the app gets the option."""
    options = _parser().parse_args(["run", "seen:app", "--reload", "--inspect=full"])
    assert "--inspect=full" in _child_arguments(options)
