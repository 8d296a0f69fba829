"""Runs ``asgi-tunnel-edge`` in this process, with a real directory and database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest
from click.testing import CliRunner

from asgi_tunnel_edge.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs one command."""

    def __call__(self, *words: object) -> Done:
        """Run ``asgi-tunnel-edge`` with these words."""


@pytest.fixture
def run() -> Run:
    """The command line."""

    def run_command(*words: object) -> Done:
        result = CliRunner().invoke(main, [str(word) for word in words])
        unexpected = result.exception is not None and not isinstance(result.exception, SystemExit)
        if unexpected:
            assert result.exception is not None
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run_command


@pytest.fixture
def data(tmp_path: Path, run: Run) -> Path:
    """The directory of an edge for a.test, plain HTTP at 127.0.0.1:8080."""
    path = tmp_path / "data"
    assert run("init", "--data", path, "--domain", "a.test", "--tls", "off").code == 0
    return path
