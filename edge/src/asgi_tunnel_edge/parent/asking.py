"""Asks several serving processes the same, and waits for all of them."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .worker import State

if TYPE_CHECKING:
    from ..channel import Message
    from .worker import Worker

__all__ = ["ask_each"]


def ask_each(
    workers: Sequence[Worker],
    request: Message,
    then: Callable[[list[Message]], None],
    timeout: float,
) -> None:
    """Ask processes; call ``then`` once, when each has replied or will not.

    Args:
        workers: Which ones.
        request: Its ``command`` says what is asked for.
        then: Gets what each says, without ``ok``, and what is known of it, the newest generation
            first; ``replies`` is False for those that did not. Who has ended meanwhile is left out.
        timeout: Seconds.
    """
    found: list[Message] = []
    left = len(workers)

    def on_reply(worker: Worker, said: Message | None) -> None:
        nonlocal left
        left -= 1
        if worker.state is not State.ENDED:
            found.append(describe(worker, said))
        if not left:
            then(sorted(found, key=lambda one: (-int(one["generation"]), int(one["worker"]))))

    def describe(worker: Worker, said: Message | None) -> Message:
        about: Message = {
            "pid": worker.pid,
            "generation": worker.generation,
            "worker": worker.place,
            "state": worker.state.name.lower(),
            "version": worker.ready.get("version", ""),
            "uptime": round(time.monotonic() - worker.started, 3),
            "replies": said is not None,
        }
        return about | {key: value for key, value in (said or {}).items() if key != "ok"}

    if not workers:
        then([])
    for worker in workers:
        worker.ask(request, functools.partial(on_reply, worker), timeout)
