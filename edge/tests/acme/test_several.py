"""Several processes and several edges with one CA: one orders, the CA may come to any, all show."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.harness import Edge, edge_command, wait_until

from .edges import PATIENCE, AcmeEdge, free_port, make_edge
from .pebble import Pebble

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

NAMES = [f"www.{name}.test" for name in ("a", "b", "c", "d", "e", "f")]
"""Each is proved by connections of the CA that come to one of two: that all come to the one which
orders has a chance of 1 to 64 and less."""


def test_several_processes(pebble: Pebble, tmp_path: Path) -> None:
    """The kernel gives the CA's connections to either; visitors get the certificate from both."""
    one = make_edge(tmp_path, pebble, "--no-check", "--dns", "none")
    file = one.edge.folder / "edge.toml"
    file.write_text(f"workers = 2\n{file.read_text()}")
    one.edge.start()
    try:
        one.edge.running.wait_for("listening on ", count=2)
        for number, name in enumerate(NAMES):
            one.edge.create_token(f"app{number}", "--hostname", name)
        for name in NAMES:
            shown = f"the certificate for {name} is shown"
            one.edge.running.wait_for(shown, count=2, timeout=PATIENCE)
            first = one.shown(name)
            assert first is not None
            assert all(one.shown(name) == first for _ in range(4))
        assert one.attempts() == (len(NAMES) + 1, 0), one.edge.running.output
    finally:
        one.edge.stop()


def test_two_edges(pebble: Pebble, postgres: PostgresServer, tmp_path: Path) -> None:
    """The CA reaches the second one only, whichever orders; both show what one has got."""
    url = postgres.create()
    first = make_edge(tmp_path, pebble, "--no-check", "--dns", "none", port=free_port())
    folder = first.edge.folder
    edge_command("store", "move", "--to", url, "--data", str(folder))
    (folder / "edge.sqlite3").unlink()
    text = (folder / "edge.toml").read_text()
    common = f'store = "{url}"\nbus = "{url}"\n'
    own = f'node = "a"\npeer_listen = "127.0.0.1:{free_port()}"\n'
    (folder / "edge.toml").write_text(common + own + text)
    second = AcmeEdge(Edge(tmp_path / "second"), pebble, first.root)
    second.edge.folder.mkdir()
    own = f'node = "b"\npeer_listen = "127.0.0.1:{free_port()}"\n'
    port = f'listen = "127.0.0.1:{pebble.tls_port}"'
    lines = [port if one.startswith("listen = ") else one for one in text.splitlines()]
    (second.edge.folder / "edge.toml").write_text(common + own + "\n".join(lines) + "\n")
    # Only the second one has the port for plain HTTP, too.
    first.set("http_listen = ", "# http_listen = ")
    secret = json.loads(edge_command("cluster", "init", "--json", "--data", str(folder)))["secret"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASGI_TUNNEL_EDGE_JOIN_SECRET", secret)
        edge_command("cluster", "join", "--data", str(second.edge.folder))
    key = Path("tls/store.key")
    assert (folder / key).read_bytes() == (second.edge.folder / key).read_bytes()
    with ExitStack() as stack:
        for one in (second, first):
            one.edge.start()
            stack.callback(one.edge.stop)
        for number, name in enumerate(NAMES):
            first.edge.create_token(f"app{number}", "--hostname", name)
        for name in NAMES:
            for one in (first, second):
                shown = f"the certificate for {name} is shown"
                one.edge.running.wait_for(shown, timeout=PATIENCE)
            assert first.shown(name) == second.shown(name) is not None
        assert first.attempts() == (len(NAMES) + 1, 0)
        # One that starts while the server is dead shows them, too.
        for one in (first, second):
            wait_until(
                lambda one=one: NAMES[-1] in (one.edge.folder / "certificates.json").read_text()  # type: ignore[misc]
            )
        before = first.shown(NAMES[0])
        postgres.kill()
        first.edge.stop()
        first.edge.start()
        assert first.shown(NAMES[0]) == before
