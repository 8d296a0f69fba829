"""Folders of edges that share a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from asgi_tunnel_edge.cli import main

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

MakeEdge = Callable[..., Path]


@pytest.fixture
def make_edge(postgres: PostgresServer, tmp_path: Path) -> MakeEdge:
    """Return the folder of an edge: a whole one, or one with nothing but its settings."""
    url = postgres.create()

    def make(node: str, *, port: int = 9443, is_new: bool = False) -> Path:
        folder = tmp_path / node
        if is_new:
            folder.mkdir()
            first = next(one for one in tmp_path.iterdir() if (one / "tls").exists())
            content = (first / "edge.toml").read_text()
            content = "\n".join(
                line
                for line in content.splitlines()
                if not line.startswith(("store", "bus", "node", "peer_listen"))
            )
        else:
            options = ["--domain", "example.org", "--listen", "127.0.0.1:0", "--tls", "internal"]
            done = CliRunner().invoke(main, ["init", "--data", str(folder), *options])
            assert done.exit_code == 0, done.output
            content = (folder / "edge.toml").read_text()
        lines = [f'store = "{url}"', f'bus = "{url}"', f'node = "{node}"']
        lines.append(f'peer_listen = "127.0.0.1:{port}"')
        (folder / "edge.toml").write_text("\n".join([*lines, content]))
        return folder

    return make
