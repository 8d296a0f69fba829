"""What a running edge answers to commands, by the control socket: a module for each question.

A new one is a module with a function ``answer(edge, request)``, a line in :data:`QUESTIONS`, and
the command that asks (docs/reference/control.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from . import check, connected, drain, kick, log, metrics, numbers, ping, status, traffic, tunnels
from .live import LiveEdge

__all__ = ["QUESTIONS", "LiveEdge", "answer"]

Answer = Callable[[LiveEdge, dict[str, Any]], Awaitable[dict[str, Any]]]

QUESTIONS: Final[dict[str, Answer]] = {
    "check": check.answer,
    "connected": connected.answer,
    "drain": drain.answer,
    "kick": kick.answer,
    "log": log.answer,
    "metrics": metrics.answer,
    "numbers": numbers.answer,
    "ping": ping.answer,
    "status": status.answer,
    "traffic": traffic.answer,
    "tunnels": tunnels.answer,
}
"""By the ``command`` of a request."""


async def answer(edge: LiveEdge, request: dict[str, Any]) -> dict[str, Any]:
    """Return the reply to a request; ``ok`` says whether there is one. Cancelling it loses nothing.

    Args:
        edge: The running one.
        request: Its ``command`` names the question.
    """
    question = QUESTIONS.get(str(request.get("command")))
    if question is None:
        known = ", ".join(sorted({*QUESTIONS, "reload", "upgrade"}))
        return {"ok": False, "error": f"there is no such command; there are {known}"}
    return {"ok": True, **await question(edge, request)}
