"""``await ban(...)`` and ``await allow(...)``: from a handler, for all names of the app's token.

The running tunnels of this process are known here, each with the event loop it is in; a handler may
run in another loop, or in another thread's. What is said travels as ASK, and REPLY brings what
became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from ..errors import BanError

__all__ = ["Asker", "allow", "ban", "forget", "register"]

ASK_TIMEOUT: Final = 10.0
"""Seconds for the edge to reply: a connection that was lost is resumed by then."""

MAX_REASON: Final = 200
"""Characters of a reason."""


class Asker(Protocol):
    """A tunnel that runs: a connector."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """In which it runs."""

    async def ask(self, values: dict[str, Any]) -> dict[str, Any]:
        """Ask the edge for something and return what became of it.

        Raises:
            BanError: It cannot be asked.

        Cancelling it leaves open whether the edge does it.
        """


_askers: dict[Asker, None] = {}  # in order; changed in the loop of each


def register(asker: Asker) -> None:
    """A tunnel has begun to run."""
    _askers[asker] = None


def forget(asker: Asker) -> None:
    """It has ended."""
    _askers.pop(asker, None)


async def ban(who: Any, *, for_: float = 3600.0, reason: str = "") -> None:
    """Let the edge refuse a visitor at all hostnames of this app's token, at once.

    What the visitor has open goes on; an app ends that itself. The edge keeps the ban when it
    starts again, and its operator sees it in ``asgi-tunnel-edge ban list``.

    Args:
        who: An address or a network; or the scope, or the request, of a visitor.
        for_: Seconds, 1 to 30 days.
        reason: For the operator; 200 characters.

    Raises:
        BanError: The edge does not hold it; ``code`` says why.

    Cancelling it leaves open whether the edge holds it.
    """
    values = {"ban": _address_of(who), "seconds": for_, "reason": reason[:MAX_REASON]}
    await _ask(values)


async def allow(who: Any) -> None:
    """Take a ban of this app back; there need not be one.

    Args:
        who: As it was banned.

    Raises:
        BanError: As :func:`ban`.
    """
    await _ask({"allow": _address_of(who)})


async def _ask(values: dict[str, Any]) -> None:
    """Ask the edge of each tunnel of this process."""
    askers = list(_askers)
    if not askers:
        raise BanError("no-tunnel", "no tunnel of this process is open")
    for asker in askers:
        await _ask_one(asker, values)


async def _ask_one(asker: Asker, values: dict[str, Any]) -> None:
    asking = asker.ask(values)
    if asker.loop is not asyncio.get_running_loop():
        asking = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, asker.loop))  # type: ignore[assignment]
    try:
        async with asyncio.timeout(ASK_TIMEOUT):
            reply = await asking
    except TimeoutError as error:
        raise BanError("timeout", f"the edge did not reply in {ASK_TIMEOUT:g} s") from error
    if reply.get("ok") is not True:
        code, why = reply.get("code"), reply.get("why")
        raise BanError(
            code if isinstance(code, str) else "refused",
            why if isinstance(why, str) else "the edge refuses it",
        )


def _address_of(who: Any) -> str:
    """Return the address of what was given.

    Raises:
        BanError: There is none in it.
    """
    scope = who if isinstance(who, Mapping) else getattr(who, "scope", None)
    if isinstance(scope, Mapping):
        client = scope.get("client")
        if client:
            return str(client[0])
        raise BanError("address", "the scope has no address of a client")
    text = str(who)
    if not text or len(text) > 64:
        raise BanError("address", "that is no address")
    return text
