"""Keeps where the time of the newest exchanges went, part by part, for people who look.

On while the edge has a dashboard. An exchange that is kept is a
:class:`..exchange.timed.TimedHTTPExchange`, which measures; under load only some are, so that a
full edge pays next to nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

__all__ = ["KEPT", "PER_SECOND", "Trace", "TraceRing"]

KEPT: Final = 2000
"""Traces, some 1.5 MB (17 MB where each path is as long as it may be): ten seconds of the most that
are kept, hours of a home's visitors."""

PER_SECOND: Final = 200
"""Exchanges of one second that are measured, the first ones: more than anybody reads, and 2 ms."""

_HANDSHAKES: Final = 500
"""Connections whose first request is still to come."""

_MAX_PATH: Final = 1024


class Trace(NamedTuple):
    """One exchange that is over. Durations are in seconds; they follow each other in this order."""

    request_id: str
    began: float  #: since 1970; when the request's head was read
    hostname: str  #: the registered name
    token_id: str
    method: str
    path: str  #: without its query, which may hold secrets
    peer: str
    status: int  #: 499: the visitor left before the response
    sent: int  #: bytes of the response's body
    outcome: str  #: "" or why it was cut short
    tls: (
        float | None
    )  #: before it: the handshake of its connection; None: none, or an earlier one's
    edge: float  #: guards and doors, until an app was asked or waited for
    hold: float  #: the wait for an app, and tries on sessions that were lost
    tunnel: float  #: there and back; the app's time too, where its side cannot say that
    app: float | None  #: until the head of its response; None: its side cannot say it
    response: float  #: from the head of the response to its end, as the visitor took it
    body: float  #: until the request's body had come; at the same time as what follows `edge`

    @property
    def seconds(self) -> float:
        """From the request's head to the end of the response."""
        return self.edge + self.hold + self.tunnel + (self.app or 0.0) + self.response

    def to_json(self) -> dict[str, Any]:
        """Return it for a program, times rounded to microseconds."""
        values = self._asdict()
        for name in ("tls", "edge", "hold", "tunnel", "app", "response", "body"):
            if values[name] is not None:
                values[name] = round(values[name], 6)
        return {**values, "seconds": round(self.seconds, 6)}


class TraceRing:
    """See the module.

    Args:
        size: How many are kept; the oldest gives way.

    Attributes:
        began: When the newest request was read, by ``time.perf_counter``; set by :meth:`wants`.
    """

    def __init__(self, size: int = KEPT, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._traces: deque[Trace] = deque(maxlen=size)
        self._clock = clock
        self._count = 0  # of all that have come
        self._second = 0
        self._left = 0  # in this second
        self._handshakes: OrderedDict[tuple[str, int], float] = OrderedDict()
        self.began = 0.0

    def wants(self) -> bool:
        """A request was read: whether it is to be measured."""
        now = self.began = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._left = PER_SECOND
        self._left -= 1
        return self._left >= 0

    def connected(self, client: tuple[str, int], seconds: float) -> None:
        """Note how long a handshake took, for the first request of its connection.

        Args:
            client: Address and port of the visitor.
            seconds: From the ClientHello to its end.
        """
        self._handshakes[client] = seconds
        if len(self._handshakes) > _HANDSHAKES:
            self._handshakes.popitem(last=False)

    def handshake(self, client: tuple[str, int]) -> float | None:
        """Return what was noted of a connection, once."""
        return self._handshakes.pop(client, None)

    def add(self, trace: Trace) -> None:
        """Keep one."""
        if len(trace.path) > _MAX_PATH:
            trace = trace._replace(path=trace.path[:_MAX_PATH])
        self._traces.append(trace)
        self._count += 1

    def find(self, request_id: str) -> Trace | None:
        """Return that of a request; None: it is not kept any more, or never was."""
        return next((one for one in self._newest() if one.request_id == request_id), None)

    def newest(
        self, limit: int, *, token_ids: frozenset[str] | None = None, hostname: str = ""
    ) -> list[Trace]:
        """Return traces, newest first.

        Args:
            limit: At most so many.
            token_ids: Those of these tokens only; None: of all.
            hostname: Of this registered name only; empty: of all.
        """
        found: list[Trace] = []
        for one in self._newest():
            if len(found) >= limit:
                break
            is_own = token_ids is None or one.token_id in token_ids
            if is_own and hostname in ("", one.hostname):
                found.append(one)
        return found

    @property
    def count(self) -> int:
        """All that have come, those that gave way too: it changes when there is a new one."""
        return self._count

    def _newest(self) -> Iterator[Trace]:
        return reversed(self._traces)
