"""Which processes are workers of one server, and what a second copy of an app says."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from asgi_tunnel.group import VARIABLE, process_group

from .e2e.browsing import APPS, ROOT
from .e2e.harness import BIN, Edge, Process, running_app, running_edge, spawn, wait_until

APP = f"{APPS}.scope_app:app"
SAID = "another process serves "


def test_workers_are_of_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children of one parent, or of one supervisor, are one group; others are not."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        found = {one.get() for one in [pool.apply_async(process_group, ({},)) for _ in range(8)]}
    own = process_group({})
    assert found == {own}  # they are the children of this one
    assert process_group({VARIABLE: "0123456789abcdef"}) == "0123456789abcdef"
    monkeypatch.setitem(sys.modules, "gunicorn.arbiter", sys)
    assert process_group({}) != own


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all."""
    with running_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


def start(edge: Edge, token: str, folder: Path, *options: str) -> Process:
    """Start one more copy of the app."""
    command = [str(BIN / "asgi-tunnel"), "run", APP, "--app-dir", str(ROOT), *options]
    return spawn(command, folder, env={"ASGI_TUNNEL_TOKEN": token})


@pytest.mark.e2e
def test_second_process_says_that_there_is_another(edge: Edge, tmp_path: Path) -> None:
    """Both copies name what both serve; not one that comes behind a drained or dead one."""
    token = edge.create_token(f"group-{uuid4().hex[:8]}")
    with running_app(tmp_path, token, APP, app_dir=ROOT) as first:
        second = start(edge, token.token, tmp_path)
        try:
            for process in (second, first):
                process.wait_for(f"{SAID}{token.hostnames[0]} too, with the same token")
        finally:
            second.kill()
        edge.running.wait_for("has lost its connection")
        assert first.output.count(SAID) == 1
    third = start(edge, token.token, tmp_path)
    try:
        third.wait_for("is live")
        edge_lines = edge.running.output.count("is open from")
        third.kill()
        fourth = start(edge, token.token, tmp_path)
        try:
            fourth.wait_for("is live")
            wait_until(lambda: edge.running.output.count("is open from") >= edge_lines + 2)
            assert SAID not in third.output + fourth.output
        finally:
            fourth.stop()
    finally:
        third.kill()


@pytest.mark.e2e
def test_workers_and_a_restart_of_the_edge_are_no_alarm(edge: Edge, tmp_path: Path) -> None:
    """Workers of one app, a lost connection and a new edge are nothing to warn of."""
    token = edge.create_token(f"group-{uuid4().hex[:8]}")
    with running_app(tmp_path, token, APP, "--workers", "3", app_dir=ROOT) as app:
        app.wait_for("is live", count=3)
        edge.stop()
        edge.start()
        app.wait_for("connected again", count=3)
        assert SAID not in app.output
