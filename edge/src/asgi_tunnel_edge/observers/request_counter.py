"""Counts requests by hostname and status, for :mod:`..metrics`; an observer of each exchange.

Only there where metrics are asked for: every request pays for it. So it adds to numbers that it has
made before, and neither formats nor allocates. Hostnames are those that tokens serve, a bounded
number of them; visitors make up all others, which are counted together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ..counts import Histogram
from ..hostname import wildcard_of
from .access_log import Entry

__all__ = ["MAX_HOSTNAMES", "METHODS", "HostCounts", "RequestCounter"]

MAX_HOSTNAMES: Final = 100
"""Hostnames that are counted apart: each is some thirty series of a Prometheus, and 0.2 ms of the
event loop at each scrape."""

DURATION_BUCKETS: Final[tuple[float, ...]] = (
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
"""Seconds of an exchange: a tunnel on the same continent adds some ten milliseconds; `hold_timeout`
is 10."""

METHODS: Final = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"PROPFIND",
)
"""Methods that are counted apart: those of RFC 9110 that apps serve, PATCH, and the one that WebDAV
is known by."""

_END_TO_END: Final = b"TLS"  # what the access log has for a connection that is passed on


class HostCounts:
    """What was asked of one hostname.

    Attributes:
        codes: Requests by the status of their response.
        seconds: How long exchanges took, WebSockets apart.
        sent: Bytes of response bodies and WebSocket messages.
        passed: End-to-end connections that are over.
    """

    __slots__ = ("codes", "passed", "seconds", "sent")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.seconds = Histogram(DURATION_BUCKETS)
        self.sent = 0
        self.passed = 0


class RequestCounter:
    """See the module; an :class:`.observer.ExchangeObserver`.

    Args:
        reasons: What the edge says where it turns somebody away, and the reason to count it under.

    Attributes:
        hosts: By registered hostname or wildcard.
        others: What no hostname in ``hosts`` was asked for, the edge's own pages included.
        methods: Requests by method.
        other_methods: Those with a method that is not in :data:`METHODS`.
        refused: Requests and connections that were turned away, by reason.
    """

    __slots__ = ("_reasons", "hosts", "methods", "other_methods", "others", "refused")

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self._reasons = dict(reasons)
        self.hosts: dict[str, HostCounts] = {}
        self.others = HostCounts()
        self.methods = dict.fromkeys(METHODS, 0)
        self.other_methods = 0
        self.refused = dict.fromkeys(sorted(set(reasons.values())), 0)

    def follow(self, hostnames: Iterable[str]) -> None:
        """Count these hostnames apart from now on, as far as there is room, and forget others.

        Those that are counted already come first, so that their counts go on.

        Args:
            hostnames: All that tokens serve, in their normal spelling.
        """
        known = set(hostnames)
        hosts = {name: host for name, host in self.hosts.items() if name in known}
        for name in sorted(known.difference(hosts))[: MAX_HOSTNAMES - len(hosts)]:
            hosts[name] = HostCounts()
        self.hosts = hosts

    def closed(self, entry: Entry) -> None:
        """See :class:`.observer.ExchangeObserver`."""
        _, _, method, hostname, _, status, sent, seconds, outcome = entry
        host = self.hosts.get(hostname)
        if host is None:
            host = self._find(hostname)
        host.sent += sent
        if method == _END_TO_END:
            host.passed += 1
        else:
            self._count(host, method, status)
            # What the edge itself replies takes no time; a WebSocket may last for hours.
            if seconds and status != 101:
                host.seconds.add(seconds)
        if outcome:
            self._refuse(outcome)

    def _count(self, host: HostCounts, method: bytes, status: int) -> None:
        codes = host.codes
        codes[status] = codes.get(status, 0) + 1
        count = self.methods.get(method)
        if count is None:
            self.other_methods += 1
        else:
            self.methods[method] = count + 1

    def _find(self, hostname: str) -> HostCounts:
        host = self.hosts.get(hostname)
        if host is None:
            wildcard = wildcard_of(hostname)
            host = None if wildcard is None else self.hosts.get(wildcard)
        return self.others if host is None else host

    def _refuse(self, outcome: str) -> None:
        reason = self._reasons.get(outcome)
        if reason is not None:
            self.refused[reason] += 1
