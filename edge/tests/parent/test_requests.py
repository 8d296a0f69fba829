"""Clients of the control socket, good and bad ones."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel_edge.control import connect_control, open_control
from asgi_tunnel_edge.parent.loop import Loop
from asgi_tunnel_edge.parent.requests import MAX_CLIENTS, MAX_REQUEST, Requests


class World:
    """The parent's end in this thread: it turns while a client waits."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.loop = Loop()
        self.asked: list[tuple[dict[str, Any], Callable[[Any], None]]] = []
        sock = open_control(folder)
        assert sock is not None
        self.requests = Requests(self.loop, sock, lambda *one: self.asked.append(one))

    def client(self) -> socket.socket:
        """A connected one."""
        sock = connect_control(self.folder)
        sock.setblocking(False)
        return sock

    def read(self, sock: socket.socket) -> bytes:
        """What a client gets; empty at its end."""
        while True:
            try:
                return sock.recv(1 << 20)
            except BlockingIOError:
                self.loop.call_later(0.01, lambda: None)
                self.loop.turn()
            except ConnectionResetError:
                return b""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One; the wakeup descriptor of the test run stays what it was."""
    wakeup = signal.set_wakeup_fd(-1)
    one = World(str(tmp_path))
    yield one
    one.requests.close()
    signal.set_wakeup_fd(wakeup)


def test_one_after_the_other(world: World) -> None:
    """The second request is read when the reply to the first has left."""
    with world.client() as client:
        client.sendall(b'{"command":"a"}\n{"command":"b"}\n')
        while not world.asked:
            world.loop.turn()
        world.loop.call_later(0.02, lambda: None)
        world.loop.turn()
        assert [one["command"] for one, _ in world.asked] == ["a"]
        world.asked[0][1]({"text": "x" * 10})
        assert json.loads(world.read(client)) == {"text": "x" * 10}
        while len(world.asked) < 2:
            world.loop.turn()
        world.asked[1][1]({"ok": True})
        assert json.loads(world.read(client)) == {"ok": True}


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"[]\n", b'{"command":1}\n', b"[" * 20_000 + b"\n"]
)
def test_no_request(world: World, line: bytes) -> None:
    """What is no request is said to be none."""
    with world.client() as client:
        client.sendall(line)
        assert json.loads(world.read(client))["ok"] is False
    assert not world.asked


@pytest.mark.parametrize("line", [b"\n", b'{"command":"a"}\n'])
def test_many_at_once(world: World, line: bytes) -> None:
    """However many come in one piece: each has its reply, and the parent goes on."""
    count = 2000
    world.requests.answer = lambda _, reply: reply({"ok": True})
    with world.client() as client:
        client.sendall(line * count)
        found = b""
        while found.count(b"\n") < count:
            found += world.read(client)
        client.sendall(line)
        assert world.read(client).count(b"\n") == 1


def test_too_long(world: World) -> None:
    """A request without an end is not kept."""
    with world.client() as client:
        left = b"x" * (MAX_REQUEST + 1)
        while left:
            try:
                left = left[client.send(left) :]
            except BlockingIOError:
                world.loop.turn()
            except (BrokenPipeError, ConnectionResetError):
                break
        assert world.read(client) == b""


def test_too_many(world: World) -> None:
    """Those above the bound are closed; one that has gone makes room, its reply goes nowhere."""
    clients = [world.client() for _ in range(MAX_CLIENTS)]
    for _ in clients:
        world.loop.turn()
    with world.client() as late:
        assert world.read(late) == b""
    clients[0].sendall(b'{"command":"a"}\n')
    while not world.asked:
        world.loop.turn()
    clients[0].close()
    world.loop.turn()
    world.asked[0][1]({"ok": True})
    with world.client() as again:
        again.sendall(b"[]\n")
        assert world.read(again)
    for one in clients[1:]:
        one.close()
