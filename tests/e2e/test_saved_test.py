"""A request that failed in production becomes a test: red, and green once the app is mended."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from .harness import BIN, Edge, running_app, running_edge

pytestmark = pytest.mark.e2e

HOSTNAME = "shop.example.test"
APP = """
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    items: list[int]


@app.post("/orders")
async def order(order: Order) -> dict[str, float]:
    return {"mean": sum(order.items) / len(order.items)}
"""
MENDED = APP.replace("/ len(order.items)", "/ max(len(order.items), 1)")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="insp-") as folder:
        yield Path(folder)


def ask(edge: Edge, body: str) -> int:
    """Send an order as a visitor; return the status."""
    connection = HTTPConnection("127.0.0.1", edge.port, timeout=20)
    headers = {"Host": HOSTNAME, "Content-Type": "application/json", "Authorization": "Bearer s3"}
    connection.request("POST", "/orders?page=1", body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def run(folder: Path, *command: str | Path, code: int = 0) -> str:
    """Run a command as a user does; return what it prints."""
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    done = subprocess.run(
        [str(one) for one in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_from_a_failing_request_to_a_green_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_folder: Path
) -> None:
    """As a user does it: look, save, run, mend, run."""
    monkeypatch.setenv("ASGI_TUNNEL_STATUS", str(short_folder))
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "tests").mkdir()
    inspect = (BIN / "asgi-tunnel", "inspect")
    pytest_run = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    with running_edge(tmp_path) as edge:
        token = edge.create_token("shop")
        with running_app(tmp_path, token, "shop:app", "--inspect=full"):
            assert ask(edge, '{"items": [1, 2]}') == 200
            assert ask(edge, '{"items": []}') == 500
            listed = run(tmp_path, *inspect, "--status", "5xx")
            assert "ZeroDivisionError: division by zero" in listed
            assert "ZeroDivisionError" in run(tmp_path, *inspect, "show", "last")
            run(tmp_path, *inspect, "save", "last", "tests/test_bug.py")
            replayed = run(tmp_path, *inspect, "replay", "last", "--data", '{"items": [3]}')
            assert "  200  POST" in replayed
    source = (tmp_path / "tests/test_bug.py").read_text()
    assert "from shop import app\n" in source
    assert "s3" not in source
    red = run(tmp_path, *pytest_run, code=1)
    assert "ZeroDivisionError: division by zero" in red
    assert "assert 500 < 500" in red
    (tmp_path / "shop.py").write_text(MENDED)
    assert "1 passed" in run(tmp_path, *pytest_run)
