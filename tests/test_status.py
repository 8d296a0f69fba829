"""The socket that says what this process's tunnel does, and who asks all of them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel import own_socket, status
from asgi_tunnel.config import status_folders
from asgi_tunnel.status import (
    MAX_NAMES,
    MAX_REPLY,
    MAX_SERVICES,
    MAX_TEXT,
    ConnectionStatus,
    StatusSocket,
    ask_all,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no Unix sockets in Python")


def within(folder: Path) -> list[Path]:
    """What is in a folder, and below."""
    return list(folder.rglob("*"))


async def asked(*folders: Path) -> list[dict[str, Any]]:
    """What all say, while this loop turns."""
    return await asyncio.to_thread(ask_all, folders)


async def test_it_says_what_is_now(tmp_path: Path) -> None:
    """Each who asks gets the state of that moment; nobody else gets into the folder."""
    folder = tmp_path / "r" / "s"  # short: a socket's path has 100 bytes at most
    counts = iter(range(9))
    one = StatusSocket(folder, "17-abc", lambda: {"pid": 17, "done": next(counts)})
    await one.open()
    assert folder.stat().st_mode & 0o777 == 0o700
    (path,) = within(folder)
    assert path.stat().st_mode & 0o777 == 0o600
    assert await asked(folder) == [{"pid": 17, "done": 0}]
    assert await asked(tmp_path / "none", folder) == [{"pid": 17, "done": 1}]
    one.close()
    one.close()
    assert within(folder) == []
    assert await asked(folder) == []


async def test_the_largest_reply_is_whole(tmp_path: Path) -> None:
    """T97: what fills every bound leaves in one piece, though nobody waits for it."""
    text = "x" * MAX_TEXT
    services = [{"name": text[:200], "to": text[:200], "state": "ready"}] * MAX_SERVICES
    document = {"urls": [text] * MAX_NAMES, "hostnames": [text] * MAX_NAMES, "services": services}
    assert len(json.dumps(document)) < MAX_REPLY
    one = StatusSocket(tmp_path, "1-a", lambda: document)
    await one.open()
    try:
        assert await asked(tmp_path) == [document]
    finally:
        one.close()


async def test_who_connects_and_does_nothing(tmp_path: Path) -> None:
    """T97: clients that say nothing, read nothing and stay keep neither memory nor others."""
    one = StatusSocket(tmp_path, "1-a", lambda: {"pid": 1, "text": "x" * 50_000})
    await one.open()
    silent = []
    try:
        for _ in range(50):
            client = socket.socket(socket.AF_UNIX)
            silent.append(client)
            client.connect(str(within(tmp_path)[0]))
            client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 9)
            await asyncio.sleep(0)
        assert (await asked(tmp_path))[0]["pid"] == 1
    finally:
        for client in silent:
            client.close()
        one.close()


async def test_what_a_killed_process_leaves(tmp_path: Path) -> None:
    """A socket that nobody answers is taken away by who asks."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "9-a.status"))
    left.close()
    assert await asked(tmp_path) == []
    assert within(tmp_path) == []


async def test_a_process_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its event loop is blocked: that is what is said of it."""
    monkeypatch.setattr(status, "ASK_TIMEOUT", 0.05)
    with socket.socket(socket.AF_UNIX) as blocked:
        blocked.bind(str(tmp_path / "23-a.status"))
        blocked.listen()
        assert ask_all([tmp_path]) == [{"pid": 23, "error": "it does not reply"}]


@pytest.mark.parametrize("kind", ["writable", "link", "file", "long"])
async def test_a_folder_that_is_not_ones_own(tmp_path: Path, kind: str) -> None:
    """T97: where others may put things, or lead elsewhere, nothing is opened and nobody asked."""
    folder = tmp_path / "run"
    if kind == "writable":
        folder.mkdir()
        folder.chmod(0o777)
    elif kind == "link":
        (tmp_path / "other").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "other")
    elif kind == "file":
        folder.write_text("")
    else:
        folder = tmp_path / ("x" * 100)
    one = StatusSocket(folder, "1-a", dict)
    await one.open()  # and all else goes on
    one.close()
    assert not [one for one in within(tmp_path) if one.suffix == ".status"]
    assert await asked(folder) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
async def test_root_asks_anybody(tmp_path: Path) -> None:
    """A service has a user of its own; root looks into its folder, and removes nothing there."""
    one = StatusSocket(tmp_path, "7-a", lambda: {"pid": 7})
    await one.open()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "9-a.status"))
    os.chown(tmp_path, 65534, 65534)
    try:
        assert await asked(tmp_path) == [{"pid": 7}]
        assert len(within(tmp_path)) == 2
    finally:
        one.close()


async def test_it_is_closed_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends in the same moment: nothing is left."""
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Semaphore(0)
    one = StatusSocket(tmp_path, "1-a", dict)
    real, close = own_socket.is_own, one.close

    def slow(folder: Path) -> bool:
        begun.set()
        go_on.wait(20)
        return real(folder)

    def noted() -> None:
        close()
        closed.release()

    monkeypatch.setattr(own_socket, "is_own", slow)
    monkeypatch.setattr(one, "close", noted)
    opening = asyncio.create_task(one.open())
    await asyncio.to_thread(begun.wait, 20)
    one.close()
    opening.cancel()
    go_on.set()
    await asyncio.wait([opening])
    for _ in range(2):  # here, and by the thread that has opened it
        assert await asyncio.to_thread(closed.acquire, timeout=20)
    assert within(tmp_path) == []


def test_a_connection() -> None:
    """Its state with the time of its last change; errors stay to be seen after it is back."""
    one = ConnectionStatus()
    assert one.describe()["state"] == "dialing"
    one.failed("no route to host")
    one.waits(3.0)
    found = one.describe()
    assert (found["state"], found["error"]) == ("waiting", "no route to host")
    assert 2.0 < found["next_try_in"] <= 3.0
    one.dials()
    one.connected("192.0.2.1:443", is_resumed=False)
    one.waits(0.0)
    one.connected("192.0.2.2:443", is_resumed=True)
    found = one.describe()
    assert (found["state"], found["edge"], found["resumed"]) == ("connected", "192.0.2.2:443", 1)
    assert (found["error"], found["next_try_in"]) == ("no route to host", None)
    one.failed("x" * 9999)
    one.stops()
    assert len(one.describe()["error"]) == MAX_TEXT
    assert one.describe()["state"] == "stopped"


@pytest.mark.parametrize(
    ("environ", "folders"),
    [
        ({"ASGI_TUNNEL_STATUS": "off", "XDG_RUNTIME_DIR": "/run/user/7"}, []),
        ({"ASGI_TUNNEL_STATUS": "/run/shop"}, ["/run/shop"]),
        (
            {"XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/s"},
            ["/run/user/7/asgi-tunnel", "/s/asgi-tunnel/run"],
        ),
        ({"XDG_STATE_HOME": "/s"}, ["/s/asgi-tunnel/run"]),
    ],
)
def test_where(environ: dict[str, str], folders: list[str]) -> None:
    """The runtime folder, or the state folder of a service without one; or nowhere."""
    assert [str(one) for one in status_folders(environ)] == folders
