from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.asgi.types import Receive, Scope, Send
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.edge_tls import PinError
from asgi_tunnel.pins import MAX_FILE_SIZE, KnownPins
from asgi_tunnel.token import Token
from asgi_tunnel_edge.cli import main
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig

A, B, C = (f"sha256:{one * 64}" for one in "abc")
TOKEN = Token(edge="wss://edge.test", id="tok_1", secret="secret", pin=A)


async def test_without_anything_learned(tmp_path: Path) -> None:
    """The token's pin is the one there is, and no file is made for it."""
    pins = KnownPins(TOKEN, tmp_path / "pins")
    assert await pins.accepted() == (A,)
    await pins.learn(())
    assert await pins.accepted() == (A,)
    assert pins.kept_in == ""
    assert not (tmp_path / "pins").exists()


async def test_learned_pins_outlive_the_process(tmp_path: Path) -> None:
    """What the edge names takes the place of the token's pin, here and in the next process."""
    pins = KnownPins(TOKEN, tmp_path / "pins")
    await pins.learn((B, C))
    assert await pins.accepted() == (B, C)
    assert pins.path is not None
    assert pins.path.stat().st_mode & 0o777 == 0o600
    assert pins.path.parent.stat().st_mode & 0o777 == 0o700
    other = KnownPins(TOKEN, tmp_path / "pins")
    assert await other.accepted() == (B, C)
    assert other.kept_in == str(pins.path)
    assert [one.name for one in (tmp_path / "pins").iterdir()] == [pins.path.name]


async def test_another_process_has_heard_of_later_ones(tmp_path: Path) -> None:
    """A process that kept its session over two changes finds in the file what others heard."""
    old, new = (KnownPins(TOKEN, tmp_path) for _ in range(2))
    await old.learn((A, B))
    await new.learn((B, C))
    assert C in await old.accepted()


async def test_another_token_begins_anew(tmp_path: Path) -> None:
    """An edge that was set up anew, and another edge, have files of their own."""
    await KnownPins(TOKEN, tmp_path).learn((B,))
    for edge, pin in (("wss://edge.test", C), ("wss://other.test", A)):
        token = Token(edge=edge, id="tok_1", secret="secret", pin=pin)
        assert await KnownPins(token, tmp_path).accepted() == (pin,)


@pytest.mark.parametrize("kind", ["text", "long", "many", "link", "writable", "folder", "pipe"])
async def test_a_file_that_is_none(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """T94: a file that others may write, a link, or anything but a list of pins is not believed."""
    pins = KnownPins(TOKEN, tmp_path)
    path = pins.path
    assert path is not None
    if kind == "link":
        (tmp_path / "real").write_text(f"{B}\n")
        path.symlink_to(tmp_path / "real")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        texts = {"text": "hello", "long": f"{B}\n" + " " * MAX_FILE_SIZE, "many": f"{B}\n" * 5}
        path.write_text(texts.get(kind, f"{B}\n"))
        path.chmod(0o622 if kind == "writable" else 0o600)
    for _ in range(2):
        assert await pins.accepted() == (A,)
    assert len(caplog.records) == 1, caplog.text
    assert str(path) in caplog.text


async def test_a_folder_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be kept is known until the process ends; the log says so once."""
    (tmp_path / "file").write_text("")
    pins = KnownPins(TOKEN, tmp_path / "file" / "pins")
    for learned in ((B,), (B, C)):
        await pins.learn(learned)
        assert await pins.accepted() == learned
    assert len(caplog.records) == 1, caplog.text
    assert "set ASGI_TUNNEL_PINS to a folder that is kept" in caplog.text


def test_a_ca_is_asked_whatever_the_edge_names(tmp_path: Path) -> None:
    """T94: where the token has no pin, nothing is learned, and pins take no CA's place."""
    token = Token(edge="wss://edge.test", id="tok_1", secret="secret")
    assert connector_of(token.format(), tmp_path).pins is None


# -- with an edge -------------------------------------------------------------------------------


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Is never called."""


def edge_command(folder: Path, *words: str) -> str:
    """Run a command for the edge in a folder."""
    done = CliRunner().invoke(main, [*words, "--data", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def connector_of(token: str, folder: Path) -> Connector:
    """The app's side, with one connection."""
    environ = {"ASGI_TUNNEL_PINS": str(folder)}
    config = TunnelConfig.from_env(environ, token=token, connections=1)
    assert config is not None
    return Connector(config, Origin(app))


async def until(condition: Callable[[], object], what: str) -> None:
    """Return when a condition is true."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


async def change(edge: Edge, connector: Connector) -> None:
    """Show the next certificate, and wait until an app that is connected knows the one after."""
    slot, known, pins = connector._slots[0], connector.pins, edge._pins()
    session = slot.session
    assert known is not None
    assert len(pins) == 2
    edge_command(edge.config.data_dir, "cert", "renew")
    await until(lambda: edge._pins()[0] == pins[1], "the next one is shown")
    await until(lambda: slot.session not in (session, None), "a fresh session")
    await until(lambda: known._learned == edge._pins(), "the new pins")


async def test_the_edge_changes_its_certificate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T94: twice in a row, and apps stay and come again with the token that they have.

    One that was away and has heard of neither change is refused, and so is the old certificate.
    """
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("asgi_tunnel_edge.shown._FILE_CHECK", 0.0)  # it would be seven seconds
    monkeypatch.setattr("asgi_tunnel_edge.server._EXPIRY_CHECK", 0.05)
    data, kept = tmp_path / "edge", tmp_path / "pins"
    edge_command(data, "init", "--domain", "localhost", "--listen", "127.0.0.1:0")
    config = EdgeConfig.load(data)
    edge = Edge(config)
    await edge.start()
    token = edge_command(data, "token", "create", "shop", "--json").split('"')[3]
    old = (config.certificate_path.read_bytes(), config.key_path.read_bytes())
    running, away = connector_of(token, kept), connector_of(token, tmp_path / "other")
    try:
        await until(lambda: edge.directory.snapshot.tokens, "the token")
        running.start()
        await running.wait_connected()
        for _ in range(2):
            await change(edge, running)
        again = connector_of(token, kept)  # as a process that is started now
        again.start()
        await again.wait_connected()
        await again.stop()
        away.start()
        await until(lambda: "the edge refuses this app: " in caplog.text, "a refusal")
        assert str(PinError()) in caplog.text
        # The key that was given up opens nothing any more.
        config.key_path.write_bytes(old[1])
        config.certificate_path.write_bytes(old[0])
        shown = edge._pins()[0]
        await until(lambda: edge._pins()[0] != shown, "the old one is shown")
        late = connector_of(token, kept)
        caplog.clear()
        late.start()
        await until(lambda: "neither the one that it had nor the next one" in caplog.text, "late")
        late.abort()
    finally:
        running.abort()
        away.abort()
        await edge.stop()


async def test_they_wait_for_no_thread_of_the_app(tmp_path: Path) -> None:
    """A connection is made anew while all of the app's threads wait for something."""
    pins = KnownPins(TOKEN, tmp_path / "pins")
    released = threading.Event()
    count = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
    busy = [asyncio.ensure_future(anyio.to_thread.run_sync(released.wait)) for _ in range(count)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await pins.learn((B,))
            assert await pins.accepted() == (B,)
    finally:
        released.set()
        await asyncio.gather(*busy)
