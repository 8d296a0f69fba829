"""One answer of all serving processes to a question that a page or the API asks.

Commands ask each process by the control socket, and show what each says; a page is served by one of
them, which asks the others by way of the parent. What cannot be added up is answered by that one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from . import answer
from .tunnels import PAGE

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["AskOthers", "answer_together"]

AskOthers = Callable[[dict[str, Any]], Awaitable[list[dict[str, Any]]]]
"""Asks the other processes; see :meth:`..supervision.ParentLink.ask_others`."""

_STEP: Final = 1_000_000  # more than one process has sessions
_ADDED: Final = frozenset({"status", "traffic", "kick", "drain"})
_MAX_HOSTNAMES: Final = 1000  # as one process answers


async def answer_together(
    edge: LiveEdge,
    request: dict[str, Any],
    ask_others: AskOthers,
    *,
    worker: int,
    workers: int,
) -> dict[str, Any]:
    """Return the answer of all; cancelling it loses nothing.

    Args:
        edge: Of this process.
        request: As for :func:`.answer`.
        ask_others: Asks the others.
        worker: Which one this process is.
        workers: How many there are.
    """
    command = request.get("command")
    if command == "tunnels":
        return await _tunnels(edge, request, ask_others, worker, workers)
    own = await answer(edge, request)
    if command not in _ADDED or not own["ok"]:
        return own
    found = await ask_others(request)
    serving = [one for one in found if one["state"] == "serving" and one["replies"]]
    return _sum([own, *serving])


async def _tunnels(
    edge: LiveEdge, request: dict[str, Any], ask_others: AskOthers, worker: int, workers: int
) -> dict[str, Any]:
    """Sessions of one process after the other; ``more`` says of which, and behind how many."""
    given = request.get("after", 0)
    place, after = divmod(given if isinstance(given, int) and given > 0 else 0, _STEP)
    sessions: list[dict[str, Any]] = []
    more: int | None = None
    while place < workers and len(sessions) < PAGE:
        one = {**request, "after": after}
        if place == worker:
            found = await answer(edge, one)
        else:
            replies = await ask_others({**one, "worker": place})
            found = replies[0] if replies else {}
        sessions += found.get("sessions", ())
        if found.get("more") is not None:
            more = place * _STEP + found["more"]
            break
        place, after = place + 1, 0
        more = place * _STEP if place < workers else None
    return {"ok": True, "sessions": sessions, "more": more}


def _sum(replies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"ok": True}
    for name, value in replies[0].items():
        if name == "ok":
            continue
        values = [one[name] for one in replies if name in one]
        if name == "hostnames":
            found[name] = _hostnames(values)
        elif isinstance(value, bool):
            found[name] = any(values)
        elif isinstance(value, int | float):
            found[name] = sum(values)
        else:
            found[name] = [one for each in values for one in each]
    return found


def _hostnames(lists: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for counts in lists:
        for one in counts:
            before = found.get(one["name"])
            found[one["name"]] = one if before is None else _added(before, one)
    return list(found.values())[:_MAX_HOSTNAMES]


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": one["name"],
        "requests": one["requests"] + other["requests"],
        "sent": one["sent"] + other["sent"],
        "statuses": [a + b for a, b in zip(one["statuses"], other["statuses"], strict=True)],
        "durations": [a + b for a, b in zip(one["durations"], other["durations"], strict=True)],
    }
