"""Reloads and upgrades, step by step, with processes that only pretend."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from asgi_tunnel_edge.parent import change as module
from asgi_tunnel_edge.parent.change import Change, Generations
from asgi_tunnel_edge.parent.loop import Loop
from asgi_tunnel_edge.parent.worker import Worker


class Process:
    """A generation of one process, and that process; answers at once what it is told to."""

    def __init__(self, generation: int, **replies: dict[str, Any] | None) -> None:
        self.number = generation
        self.pid = 100 + generation
        self.is_steady = True
        self.version, self.drain_timeout = f"0.{generation}", 7.0
        self.workers = {0: self}
        self.failure = ""
        self.tail = b""
        self.asked: list[dict[str, Any]] = []
        self._replies = replies

    def ask_first(
        self, request: dict[str, Any], reply: Callable[[Any], None], timeout: float
    ) -> None:
        """Reply."""
        self.asked.append(request)
        reply(self._replies.get(request["command"]))

    def ask_all(self, request: dict[str, Any], then: Callable[[Any], None], timeout: float) -> None:
        """Reply."""
        self.ask_first(request, lambda said: then([] if said is None else [said]), timeout)

    def lost(self, worker: Any) -> None:
        """It has ended."""
        self.is_steady = False


class Parent(Generations):
    """Has two processes."""

    def __init__(self, loop: Loop, old: Process, new: Process) -> None:
        self.loop = loop
        self.old, self.new = old, new
        self.calls: list[str] = []

    @property
    def current(self) -> Any:
        """The old one, until the new one is promoted."""
        return self.old

    def begin(self) -> Any:
        """Start the new one."""
        self.calls.append("begin")
        return self.new

    def promote(self, worker: Any) -> Any:
        """Note it."""
        self.calls.append("promote")
        old, self.old = self.old, worker
        return old

    def give_up(self, worker: Any) -> None:
        """Note it."""
        self.calls.append("give up")

    def refresh(self) -> None:
        """Note it."""
        self.calls.append("refresh")


@pytest.fixture
def loop() -> Iterator[Loop]:
    """The wakeup descriptor of the test run stays what it was."""
    wakeup = signal.set_wakeup_fd(-1)
    yield Loop()
    signal.set_wakeup_fd(wakeup)


def checked(*changed: str) -> dict[str, Any]:
    """What a process says whose settings differ so."""
    return {"ok": True, "changed": list(changed)}


def test_nothing_to_change(loop: Loop) -> None:
    """Where no setting differs, no process is started."""
    done: list[Any] = []
    parent = Parent(loop, Process(1, check=checked()), Process(2))
    Change(parent, "reload", done.append).start()
    assert parent.calls == ["refresh"]
    assert (done[0]["ok"], done[0]["changed"], done[0]["generation"]) == (True, [], 1)


def test_the_order(loop: Loop) -> None:
    """First the new one serves, then the old one leaves, then the apps are back."""
    done: list[Any] = []
    old = Process(1, check=checked("listen"), retire={"tunnels": 2})
    tunnels = iter([{"tunnels": 1}, {"tunnels": 2}])
    new = Process(2)
    parent = Parent(loop, old, new)
    new.ask_all = lambda request, then, timeout: then([next(tunnels)])  # type: ignore[method-assign]
    change = Change(parent, "reload", done.append)
    change.start()
    assert parent.calls == ["refresh", "begin"]
    assert len(old.asked) == 1
    change.on_ready()
    assert old.asked[1:] == [{"command": "retire", "seconds": 7.0}]
    assert not done
    while not done:
        loop.turn()
    assert (done[0]["tunnels"], done[0]["tunnels_before"]) == (2, 2)
    assert (done[0]["generation"], done[0]["changed"]) == (2, ["listen"])


@pytest.mark.parametrize(
    ("failure", "tail", "sentence"),
    [
        ("edge.toml: x", b"", "edge.toml: x"),
        (
            "",
            b"one\ntwo\n\n",
            "the new process ended with 1 before it served; the last it said: two",
        ),
        ("", b"", "the new process ended with 1 before it served"),
    ],
)
def test_one_that_does_not_start(loop: Loop, failure: str, tail: bytes, sentence: str) -> None:
    """Why stands in the reply; the old one serves on."""
    done: list[Any] = []
    parent = Parent(loop, Process(1), Process(2))
    change = Change(parent, "upgrade", done.append)
    change.start()
    parent.new.failure, parent.new.tail = failure, tail
    change.on_end(cast(Worker, parent.new), 1)
    assert (done[0]["ok"], done[0]["error"]) == (False, sentence)
    assert parent.calls == ["begin", "give up"]


def test_one_that_is_too_slow(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended, and the old one serves on."""
    monkeypatch.setattr(module, "START_TIMEOUT", 0.0)
    done: list[Any] = []
    parent = Parent(loop, Process(1), Process(2))
    parent.new.tail = b"waiting\n"
    Change(parent, "upgrade", done.append).start()
    while not done:
        loop.turn()
    assert done[0]["error"] == "the new process did not serve within 0 s; the last it said: waiting"
    assert parent.calls == ["begin", "give up"]


@pytest.mark.parametrize("reply", [None, {"ok": False, "error": "edge.toml: x"}])
def test_settings_that_cannot_be_used(loop: Loop, reply: dict[str, Any] | None) -> None:
    """Nothing is started."""
    done: list[Any] = []
    parent = Parent(loop, Process(1, check=reply), Process(2))
    Change(parent, "reload", done.append).start()
    assert parent.calls == []
    assert not done[0]["ok"]


def test_nobody_serves(loop: Loop) -> None:
    """While a crash is mended nothing else is changed; a stop ends a change, once."""
    done: list[Any] = []
    ended = Process(1)
    ended.is_steady = False
    Change(Parent(loop, ended, Process(2)), "reload", done.append).start()
    assert "try in a moment" in done[0]["error"]
    change = Change(Parent(loop, Process(1), Process(2)), "upgrade", done.append)
    change.start()
    change.cancel()
    change.cancel()
    assert len(done) == 2
    assert "stopped meanwhile" in done[1]["error"]


def test_settings_that_are_checked_too_late(loop: Loop) -> None:
    """An edge that stops meanwhile starts no process with them."""
    replies: list[Any] = []
    process = Process(1)
    process.ask_first = lambda request, reply, timeout: replies.append(reply)  # type: ignore[method-assign]
    parent = Parent(loop, process, Process(2))
    change = Change(parent, "reload", lambda _: None)
    change.start()
    change.cancel()
    replies[0](checked("listen"))
    assert parent.calls == []
