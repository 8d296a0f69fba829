"""Which of several edges each connection of an app leads to.

An edge that has others beside it names them in WELCOME. Then each connection has an edge of its
own, goes to another one while that is away, and comes back to it. Where an edge names none, as a
single one does, the URL of the token is dialed, and nothing here has a say.

It dials nothing: :mod:`.connector` does, and reports what it found.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .config import may_be_plain
from .dial import Way
from .token import is_edge_url

if TYPE_CHECKING:
    from .config import TunnelConfig

__all__ = ["DOWN", "FORGET", "LOOK_INTERVAL", "MAX_EDGES", "SILENCE", "SPREAD", "Edges"]

MAX_EDGES: Final = 8
"""Edges that are kept: as many as an app can have connections."""

SILENCE: Final = 3.0
"""Seconds for a whole dial while another edge may be there: a SYN is repeated after 1 s and once
more before that. When all have failed, a dial may take as long as where there is one edge."""

DOWN: Final = 10.0
"""Seconds in which an edge that has failed is left out while another one is there."""

LOOK_INTERVAL: Final = 30.0
"""Seconds, half as many to half as many again, between two tries to come back to the edge of one's
own: of 25,000 apps of an edge that is off 800 a second knock there, and come back in 45 s."""

FORGET: Final = 600.0
"""Seconds after which the edge of one's own that was not reached is another one: longer than an
upgrade or a restart of its machine."""

SPREAD: Final = 0.5
"""Seconds, at the most, before another edge is dialed while this app has a connection: the edges
that are left get all apps of one that has died."""


class Edges:
    """The edges that are known, and the connections' places among them.

    The own edge of the first connection is the one that the token's URL has led to. The others
    follow in an order that differs from process to process and stays the same for one: so apps
    spread over all edges, and move as little as possible when one is added.

    Args:
        config: Where the token leads, and what may be dialed without TLS.
        instance: The app's process, which decides the order.
        clock: Monotonic seconds.

    Attributes:
        on_change: Called when other edges are known than before.
    """

    def __init__(
        self, config: TunnelConfig, instance: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.on_change: Callable[[], None] | None = None
        self._token_url = config.token.edge
        self._plaintext_host = config.plaintext_host
        self._instance = instance
        self._clock = clock
        self._order: tuple[str, ...] = ()
        self._first = ""
        self._is_public = False  # the edge that named the others is on the internet
        self._named: dict[str, tuple[str, ...]] = {}  # by edge, what it named last
        self._places: dict[int, str] = {}  # by connection: where it is, or goes now
        self._down: dict[str, tuple[float, float]] = {}  # by URL: since when, and until when

    @property
    def known(self) -> tuple[str, ...]:
        """Their URLs, those that connections prefer first; empty: there is one edge."""
        return self._order

    @property
    def has_ready(self) -> bool:
        """Whether one is known that has not failed lately."""
        return any(self._is_ready(url) for url in self._order)

    # -- before a dial -----------------------------------------------------------------------

    def choose(self, number: int, place: str = "") -> str:
        """Return the URL that a connection should dial, and note that it goes there.

        Args:
            number: Which connection.
            place: Where its session is, which can only go on there; empty: it has none.
        """
        if not self._order:
            return self._token_url
        url = place or self._preferred(number)
        if not self._is_ready(url):
            url = self._another(number)
        self._places[number] = url
        return url

    def _another(self, number: int) -> str:
        others = [place for one, place in self._places.items() if one != number]
        ready = [url for url in self._order if self._is_ready(url)]
        if ready:
            return min(ready, key=others.count)  # of equal ones the first
        # All have failed: each in turn, and what the token's name leads to now.
        return min((*self._order, self._token_url), key=lambda url: self._down.get(url, (0, 0))[1])

    def way(self, url: str) -> Way | None:
        """Return where to dial for a URL; None for the token's own."""
        if url == self._token_url:
            return None
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        return Way(parts.hostname or "", port, self._is_public)

    def patience(self, url: str) -> float | None:
        """Seconds for a dial of ``url``; None: as long as dials may take."""
        is_first_try = self._is_ready(url) and any(
            self._is_ready(one) for one in self._order if one != url
        )
        return SILENCE if is_first_try else None

    def pause(self) -> float:
        """Seconds before another edge is dialed in the place of one that has failed."""
        return random.uniform(0, SPREAD) if self._order else 0.0  # noqa: S311 - spreads a crowd

    # -- what became of it -------------------------------------------------------------------

    def reached(self, number: int, url: str, named: Sequence[str], *, peer: str) -> str:
        """Note what an edge has named that a connection has reached.

        Args:
            number: Which connection.
            url: That was dialed.
            named: ``WELCOME.edges``: itself first; empty: there are no others.
            peer: Its address and port.

        Returns:
            Which edge it is; empty: it does not say.
        """
        usable = [one for one in map(_bare, named[:MAX_EDGES]) if self._may_dial(one)]
        if not usable or usable[0] != _bare(named[0]):
            self._forget_all()
            return ""
        place = usable[0]
        for one in (url, place):
            self._down.pop(one, None)
        self._places[number] = place
        self._named[place] = tuple(dict.fromkeys(usable))
        self._first = self._first or place
        if place == self._first:
            self._is_public = _is_public(peer)
        kept = {self._first, *self._places.values()}
        self._named = {one: names for one, names in self._named.items() if one in kept}
        self._set_order()
        return place

    def failed(self, url: str, seconds: float = 0.0) -> None:
        """Leave an edge out for so long, and for ``DOWN`` at least, where there are others."""
        if self._order and url:
            now = self._clock()
            since, _ = self._down.get(url, (now, now))
            self._down[url] = (since, now + max(seconds, DOWN))

    def stays(self, number: int, place: str) -> None:
        """A connection has not moved after all."""
        if place:
            self._places[number] = place

    # -- where a connection belongs ----------------------------------------------------------

    def wanted(self, number: int) -> str | None:
        """Return the edge that a connection should move to; None: there is no better one now."""
        if not self._order:
            return None
        self._replace_first()
        url = self._preferred(number)
        return None if self._places.get(number) == url or not self._is_ready(url) else url

    def look_in(self, number: int) -> float | None:
        """Seconds until :meth:`wanted` should be asked again; None: when others are known."""
        if not self._order or self._places.get(number) == self._preferred(number):
            return None
        return LOOK_INTERVAL * random.uniform(0.5, 1.5)  # noqa: S311 - spreads a crowd

    def _preferred(self, number: int) -> str:
        return self._order[number % len(self._order)]

    def _is_ready(self, url: str) -> bool:
        return self._down.get(url, (0.0, 0.0))[1] <= self._clock()

    def _replace_first(self) -> None:
        """Let another edge be the first one's own, once that was away for long."""
        since, _ = self._down.get(self._first, (math.inf, 0.0))
        place = self._places.get(0, "")
        if self._clock() - since > FORGET and place != self._first and place in self._named:
            self._first = place
            self._set_order()

    def _set_order(self) -> None:
        others = [one for one in self._named[self._first] if one != self._first]
        order = (self._first, *sorted(others, key=self._rank))
        if order == self._order:
            return
        self._order = order
        self._down = {
            one: self._down[one] for one in self._down if one in (*order, self._token_url)
        }
        if self.on_change is not None:
            self.on_change()

    def _rank(self, url: str) -> bytes:
        return sha256(f"{self._instance} {url}".encode()).digest()

    def _forget_all(self) -> None:
        self._order, self._first = (), ""
        self._named.clear()
        self._places.clear()
        self._down.clear()

    def _may_dial(self, url: str) -> bool:
        """Whether the token may be sent there: as safely as where the token itself leads."""
        if not is_edge_url(url):
            return False
        own, parts = urlsplit(self._token_url), urlsplit(url)
        if parts.scheme != own.scheme:
            return False
        return parts.scheme == "wss" or may_be_plain(parts.hostname or "", self._plaintext_host)


def _bare(url: str) -> str:
    return url.removesuffix("/")


def _is_public(peer: str) -> bool:
    """Whether ``ADDRESS:PORT`` is on the internet."""
    try:
        return ip_address(peer.rpartition(":")[0].strip("[]").partition("%")[0]).is_global
    except ValueError:  # the connection is lost already
        return True
