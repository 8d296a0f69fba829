"""Each serving process has its part of the apps' connections."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.e2e.harness import Edge, running_app, running_edge, wait_until

from asgi_tunnel_edge.parent import spread as module
from asgi_tunnel_edge.parent.spread import Spread
from asgi_tunnel_edge.parent.worker import State, Worker

APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


class Process:
    """Notes what it gets; with no room it takes nothing."""

    def __init__(self, place: int, *, has_room: bool = True) -> None:
        self.place = place
        self.state = State.SERVING
        self.has_room = has_room
        self.taken: list[str] = []
        self.sent: list[int] = []

    def offer(self, message: dict[str, Any], handles: list[int]) -> bool:
        """Take a connection."""
        if self.has_room:
            os.fstat(handles[0])  # it is open
            self.taken.append(message["address"])
        return self.has_room

    def take_descriptors(self, _count: int) -> list[int]:
        """A connection that it has sent."""
        handle = os.open(os.devnull, os.O_RDONLY)
        self.sent.append(handle)
        return [handle]


def pass_on(spread: Spread, sender: Process, address: str, *workers: Process) -> None:
    """Hand one connection over; it is closed here then."""
    message = {"type": "spread", "address": address, "data": ""}
    spread.pass_on(cast(Worker, sender), message, [cast(Worker, one) for one in workers])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(sender.sent[-1])


def test_the_turns_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections of one address come to two processes, whoever comes in between."""
    monkeypatch.setattr(module, "MAX_ADDRESSES", 2)
    spread = Spread()
    one, two = Process(0), Process(1)
    for address in ("a", "b", "a", "b", "a"):
        pass_on(spread, one, address, two, one)
    assert (one.taken, two.taken) == (["a", "b", "a"], ["b", "a"])
    for address in ("c", "d", "a"):
        pass_on(spread, one, address, two, one)
    assert one.taken[3:] + two.taken[2:] == ["c", "a", "d"]


def test_one_that_cannot() -> None:
    """The next one takes it, or the sender; else it is closed."""
    spread = Spread()
    full, other = Process(0, has_room=False), Process(1)
    pass_on(spread, other, "a", full, other)
    assert other.taken == ["a"]
    other.state = State.LEAVING
    pass_on(spread, other, "a", full, other)
    assert other.taken == ["a", "a"]
    pass_on(spread, full, "a", full)
    none = SimpleNamespace(take_descriptors=lambda _: [])
    spread.pass_on(cast(Worker, none), {}, [])


def tunnels(edge: Edge) -> list[int]:
    """Of each process."""
    found = json.loads(edge.command("status", "--json"))["workers"]
    return [one["tunnels"] for one in found if one["state"] == "serving"]


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_apps(tmp_path: Path) -> None:
    """Each app's connections come to all processes, and do again after a reload."""
    (tmp_path / "hello.py").write_text(APP)
    with running_edge(tmp_path, tls="internal", first="workers = 2") as edge:
        tokens = [edge.create_token(f"one{number}") for number in range(3)]
        env = {"ASGI_TUNNEL_CONNECTIONS": "2"}
        wait_until((edge.folder / "edge.control").exists, timeout=60)
        with (
            running_app(tmp_path, tokens[0], "hello:app", env=env),
            running_app(tmp_path, tokens[1], "hello:app", env=env),
            running_app(tmp_path, tokens[2], "hello:app", env=env),
        ):
            wait_until(lambda: tunnels(edge) == [3, 3], timeout=30, what="each has its part")
            file = edge.folder / "edge.toml"
            file.write_text(file.read_text().replace("[limits]\n", "[limits]\nmax_body = 777\n", 1))
            assert json.loads(edge.command("reload", "--json"))["tunnels"] == 6
            assert tunnels(edge) == [3, 3]
