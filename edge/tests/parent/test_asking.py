from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from asgi_tunnel_edge.parent.asking import ask_each
from asgi_tunnel_edge.parent.worker import State, Worker


def worker(pid: int, generation: int, reply: Any, state: State = State.SERVING) -> Worker:
    """A process that says the same to every question, at once."""

    def ask(_request: Any, then: Callable[[Any], None], _timeout: float) -> None:
        then(reply)

    one = SimpleNamespace(
        pid=pid,
        generation=generation,
        place=0,
        state=state,
        started=0.0,
        ready={"version": "1"},
        ask=ask,
    )
    return cast(Worker, one)


def test_what_each_says() -> None:
    """The newest generation first; who says nothing is named; who has ended meanwhile is not."""
    heard: list[list[Any]] = []
    ask_each(
        [
            worker(1, 1, None, State.LEAVING),
            worker(2, 1, None, State.ENDED),
            worker(3, 2, {"ok": True, "tunnels": 4}),
        ],
        {"command": "status"},
        heard.append,
        1.0,
    )
    ((newest, silent),) = heard
    assert (newest["pid"], newest["state"], newest["replies"]) == (3, "serving", True)
    assert (newest["tunnels"], "ok" in newest) == (4, False)
    assert (silent["pid"], silent["state"], silent["replies"]) == (1, "leaving", False)


def test_nobody_is_there() -> None:
    """Who asks hears so at once."""
    heard: list[list[Any]] = []
    ask_each([], {"command": "status"}, heard.append, 1.0)
    assert heard == [[]]
