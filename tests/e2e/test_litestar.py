"""The plugin of ``asgi_tunnel.contrib.litestar``, under Litestar's own commands and in a test."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.apps import common, litestar_plugin_app

from asgi_tunnel import ConfigError, Tunnel
from asgi_tunnel.contrib.litestar import TunnelPlugin

from .browsing import APPS, ROOT, browse
from .harness import BIN, Edge, Process, listening_sockets, running_edge, spawn
from .test_servers import instances

pytestmark = pytest.mark.e2e

APP = f"{APPS}.litestar_plugin_app"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all."""
    with running_edge(tmp_path_factory.mktemp("edge"), limits="hold_timeout = 0.4") as running:
        yield running


def litestar(folder: Path, token: str, *words: str) -> Process:
    """``litestar --app ... WORDS``."""
    command = [str(BIN / "litestar"), "--app", f"{APP}:app", "--app-dir", str(ROOT), *words]
    # Litestar looks for modules behind the current folder.
    return spawn(command, folder, env={"ASGI_TUNNEL_TOKEN": token}, cwd=ROOT)


def test_litestar_run(edge: Edge, tmp_path: Path) -> None:
    """With ``--reload`` too there is one tunnel, in the process that serves, and once it is ready.

    ``litestar run`` is uvicorn.
    """
    token = edge.create_token("run")
    options = ("--port", "0", "--reload", "--reload-dir", str(tmp_path))
    process = litestar(tmp_path, token.token, "run", *options)
    try:
        process.wait_for("is live")
        with browse(edge, token.hostnames[0]) as web:
            url = f"http://{token.hostnames[0]}:{edge.port}/"
            assert web.get("/").text == f"hello 127.0.0.1 from {url}"
        lines = re.findall(r"app: started|app: filled|is live", process.output)
        assert lines == ["app: started", "app: filled", "is live"]
        assert len(instances(edge, token)) == 1
    finally:
        # With --reload it starts uvicorn as a process of its own, and passes no signal on.
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        process.stop()
    assert "Traceback" not in process.output


def test_litestar_tunnel(edge: Edge, tmp_path: Path) -> None:
    """The app without a port; SIGTERM ends it in order; without a token it says what to do."""
    token = edge.create_token("alone")
    process = litestar(tmp_path, token.token, "tunnel")
    try:
        process.wait_for("is live")
        with browse(edge, token.hostnames[0]) as web:
            assert web.get("/").status_code == 200
        assert listening_sockets(process.pid) == []
        assert process.stop() == 0
        assert process.output.count("is live") == 1
        assert "app: stopped" in process.output
    finally:
        process.stop()
    nothing = litestar(tmp_path, "", "tunnel")
    assert nothing.popen.wait(20) == 2
    assert "ASGI_TUNNEL_TOKEN is not set; create a token on the edge" in nothing.output


async def test_the_tunnel_is_open_while_the_app_is(
    edge: Edge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens behind the last hook and ends before the first manager; a second start is as good.

    ``outermost``: no known server calls the app here.
    """
    close = Tunnel.close

    async def close_and_say(tunnel: Tunnel) -> None:
        await close(tunnel)
        common.say("tunnel closed")

    monkeypatch.setattr(Tunnel, "close", close_and_say)
    token = edge.create_token("inside")
    plugin = TunnelPlugin(token=token.token, enabled=True, required=True, outermost=True, grace=1)
    app = litestar_plugin_app.make_app(plugin)
    hooks = list(app.on_startup)
    host = f"{token.hostnames[0]}:{edge.port}"
    async with httpx.AsyncClient(base_url=edge.url(""), headers={"host": host}) as web:
        for _ in range(2):
            async with app.lifespan():
                assert (await web.get("/")).text == f"hello 127.0.0.1 from http://{host}/"
                assert capsys.readouterr().out.endswith("app: started\napp: filled\n")
            assert capsys.readouterr().out.startswith("app: tunnel closed\napp: stopping\n")
            assert (await web.get("/")).status_code == 503
            assert app.on_startup == hooks


async def test_a_required_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token the app does not start, and says why; one that is not required does."""
    monkeypatch.delenv("ASGI_TUNNEL_TOKEN", raising=False)
    needed = TunnelPlugin(enabled=True, required=True, outermost=True)
    unset = pytest.RaisesExc(ConfigError, match="ASGI_TUNNEL_TOKEN is not set")
    with pytest.RaisesGroup(unset):  # Litestar's own group
        async with litestar_plugin_app.make_app(needed).lifespan():
            raise AssertionError
    for plugin in (TunnelPlugin(), TunnelPlugin(enabled=True, outermost=True)):
        async with litestar_plugin_app.make_app(plugin).lifespan():
            pass
