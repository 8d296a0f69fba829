"""A route that opens once something was checked that takes a while, as a password.

For an exchange it is an app that is away: it waits, its body is not read, and its time runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..replies import Reply
from ..route import Route, Upstream, Waiter
from .writer import Exchange

__all__ = ["CheckedRoute"]


class CheckedRoute(Route):
    """See the module.

    Args:
        route: What it becomes when it opens.
    """

    __slots__ = ("_exchange", "_is_open", "_path", "_refusal", "_route", "_then", "_waiter")

    def __init__(self, route: Route) -> None:
        super().__init__(route.hostname, route.token_id, route.share, route.holds, route.judge)
        self.policy = route.policy
        self.marks = route.marks
        self._route = route
        self._is_open = False
        self._refusal: Reply | None = None
        self._waiter: Waiter | None = None
        self._exchange: Exchange | None = None
        self._path: Sequence[str] = ()
        self._then: Callable[[Reply | None], None] | None = None

    def when_decided(self, then: Callable[[Reply | None], None]) -> None:
        """Call ``then`` once, with what turns the request away; None: it is let in."""
        if self._is_open or self._refusal is not None:
            then(self._refusal)
        else:
            self._then = then

    def _decided(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(self._refusal)

    def serve(self, exchange: Exchange) -> None:
        """Say whose route it is; before the exchange starts."""
        self._exchange = exchange

    def choose(self, avoid: Upstream | None = None) -> Upstream | None:
        """See :class:`..route.Route`."""
        return self._route.choose(avoid) if self._is_open else None

    def wait(self, waiter: Waiter, path: Sequence[str]) -> None:
        """See :class:`..route.Route`."""
        if self._refusal is not None:
            waiter.refuse(self._refusal)
        elif self._is_open:
            self._route.wait(waiter, path)
        else:
            self._waiter, self._path = waiter, path

    def give_up(self, waiter: Waiter) -> None:
        """See :class:`..route.Route`."""
        if self._waiter is waiter:
            self._waiter = None
        else:
            self._route.give_up(waiter)

    def open(self, identity: bytes, person: object = None) -> None:
        """Let the request in.

        Args:
            identity: What the app's side is told of the visitor.
            person: See :class:`.writer.Exchange`.
        """
        self._is_open = True
        self.policy = self._route.policy  # if the app has come anew meanwhile, its rules hold
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.identity, exchange.person = identity, person
        self._decided()
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return  # it has not begun to wait, or is gone
        session = self._route.choose()
        if session is None:
            self._route.wait(waiter, self._path)
        else:
            waiter.resume(session)

    def refuse(self, reply: Reply) -> None:
        """Turn the request away."""
        self._exchange = None
        self._refusal = reply
        self._decided()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.refuse(reply)
