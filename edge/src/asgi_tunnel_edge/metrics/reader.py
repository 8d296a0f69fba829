"""Reads the numbers of an edge from its parts, when somebody asks.

What it costs is paid by who asks, once a scrape: a look at each connection and each session, as the
edge's own timer does four times a second.
"""

from __future__ import annotations

import asyncio
import platform
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.process_collector import ProcessCollector

from .. import __version__
from ..counts import HANDSHAKE_RESULTS
from ..dispatch import OVERLOADED
from ..exchange.placement import FULL, OFFLINE
from ..observers.request_counter import HostCounts
from ..readiness import REASONS as UNREADY
from ..replies import TOO_MANY_WAITING
from .families import FAMILIES, PEER_STATES, Values, add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..admission.tunnels import TunnelAcceptor
    from ..connections.limiter import ConnectionLimiter
    from ..connections.sweep import Sweep
    from ..connections.table import ConnectionTable
    from ..context import EdgeContext
    from ..counts import Histogram
    from ..directory import LocalDirectory
    from ..guards import Guards
    from ..inbox.book import Book
    from ..listeners.acceptor import TLSAcceptor
    from ..observers.request_counter import RequestCounter
    from ..readiness import Readiness
    from ..shown import ShownCertificates
    from ..storage import SnapshotWatcher

__all__ = ["MAX_CERTIFICATES", "REASONS", "EdgeParts", "MetricsReader"]

MAX_CERTIFICATES: Final = 100
"""Names of certificates that are shown, those that expire first: as many as hostnames."""

REASONS: Final = {
    OVERLOADED.why: "memory",
    FULL.why: "token_visitors",
    TOO_MANY_WAITING.why: "waiting",
    OFFLINE.why: "offline",
}
"""What the edge says instead of an app's response, and the reason it is counted under; what guards
and limits of connections do is counted where they do it."""

OTHER: Final = "other"
"""The label of what has no place of its own."""

_CODES: Final = {status.value: str(status.value) for status in HTTPStatus} | {499: "499"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeParts:
    """What is read."""

    counter: RequestCounter
    context: EdgeContext
    directory: LocalDirectory
    table: ConnectionTable
    limiter: ConnectionLimiter
    guards: Guards
    tunnels: TunnelAcceptor
    sweep: Sweep
    watcher: SnapshotWatcher
    readiness: Readiness
    certificates: ShownCertificates | None  #: None: TLS is off
    acceptor: TLSAcceptor | None  #: likewise
    inbox: Book
    generation: int  #: of this process
    nodes: Callable[[], dict[str, Any]] = dict  #: what passes between it and others; empty: none


class MetricsReader:
    """See the module.

    Args:
        parts: Of the edge.
    """

    def __init__(self, parts: EdgeParts) -> None:
        self._parts = parts
        self._process = ProcessCollector(registry=None)

    async def read(self) -> Values:
        """Return all values as of now; cancelling it loses nothing."""
        values: Values = {}
        self._read_requests(values)
        self._read_visitors(values)
        self._read_tunnels(values)
        self._read_edge(values)
        # It lists its own descriptors, and waits for the kernel.
        for name, value in await asyncio.to_thread(lambda: list(self._read_process())):
            values[name] = {(): value}
        return values

    def _read_requests(self, values: Values) -> None:
        parts = self._parts
        counter, directory = parts.counter, parts.directory
        for name, host in [*counter.hosts.items(), (OTHER, counter.others)]:
            self._read_host(values, name, host)
        for method, count in counter.methods.items():
            add(values, "request_methods_total", count, method.decode())
        add(values, "request_methods_total", counter.other_methods, OTHER)
        sessions = [entry.session for entry in directory.entries]
        add(values, "exchanges_in_progress", sum(one.in_flight for one in sessions))
        add(values, "held_requests", directory.holds.waiting)
        for outcome, waited in directory.holds.ended.items():
            add(values, "hold_duration_seconds", _sizes(waited), outcome)
        inbox = parts.inbox
        add(values, "inbox_requests", inbox.waiting)
        add(values, "inbox_stored_total", inbox.stored)
        add(values, "inbox_delivered_total", inbox.delivered)
        add(values, "inbox_refused_total", inbox.refused)
        self._read_nodes(values)
        for reason, count in self._refused().items():
            add(values, "refused_total", count, reason)
        add(values, "scanner_probes_total", parts.guards.scanner.probes)
        wall = time.time()
        bans = sum(not one.is_over(wall) for one in directory.snapshot.bans)
        add(values, "bans", bans, "operator")
        add(values, "bans", len(parts.guards.scanner), "scanner")
        add(values, "bans", len(parts.guards.app_bans), "app")

    def _read_host(self, values: Values, name: str, host: HostCounts) -> None:
        codes: dict[str, int] = {}
        for status, count in host.codes.items():
            code = _CODES.get(status, OTHER)
            codes[code] = codes.get(code, 0) + count
        # An app that was never asked has its series too, so that its first error is an increase.
        for code, count in (codes or {"200": 0}).items():
            add(values, "requests_total", count, name, code)
        add(values, "request_duration_seconds", _sizes(host.seconds), name)
        add(values, "response_body_bytes_total", host.sent, name)
        add(values, "end_to_end_connections_total", host.passed, name)
        if host is not self._parts.counter.others:
            route = self._parts.directory.find(name)
            ready = 0 if route is None else sum(entry.is_ready for entry in route.entries)
            add(values, "hostname_tunnels", ready, name)

    def _refused(self) -> dict[str, int]:
        parts = self._parts
        guards, table = parts.guards.counts(), parts.table
        del guards["scanner_probes"]
        return {
            **guards,
            "connection_rate": parts.limiter.denied,
            "connections_of_address": table.crowded,
            "connections": table.full,
            **parts.counter.refused,
        }

    def _read_nodes(self, values: Values) -> None:
        found = self._parts.nodes()
        add(values, "forwarded_requests_total", found.get("forwarded", 0))
        add(values, "forwarded_gone_total", found.get("gone", 0))
        add(values, "served_for_nodes_total", found.get("served", 0))
        states = [one["state"] for one in found.get("peers", ())]
        for state in PEER_STATES:
            add(values, "peers", states.count(state), state)

    def _read_visitors(self, values: Values) -> None:
        parts = self._parts
        table = parts.table
        connections = table.connections
        add(values, "visitor_connections", len(connections))
        add(values, "visitor_connections_limit", parts.context.limits.max_connections)
        add(values, "visitor_connections_opened_total", table.opened)
        received = table.received + sum(one.received for one in connections)
        add(values, "visitor_received_bytes_total", received)
        written = table.written + sum(one.written for one in connections)
        add(values, "visitor_sent_bytes_total", written)
        acceptor = parts.acceptor
        for result in HANDSHAKE_RESULTS:
            count = 0 if acceptor is None else acceptor.results[result]
            add(values, "tls_handshakes_total", count, result)
        pending = 0 if acceptor is None else acceptor.pending
        add(values, "tls_handshakes_in_progress", pending)
        if parts.certificates is not None:
            expiries = sorted((at, name) for name, at in parts.certificates.expiries().items())
            for at, name in expiries[:MAX_CERTIFICATES]:
                add(values, "certificate_expiry_timestamp_seconds", at, name)

    def _read_tunnels(self, values: Values) -> None:
        parts = self._parts
        counts = parts.tunnels.counts
        sessions = [entry.session for entry in parts.directory.entries]
        attached = sum(one.is_attached for one in sessions)
        add(values, "tunnels", attached, "connected")
        add(values, "tunnels", len(sessions) - attached, "lost")
        add(values, "tunnels_limit", parts.context.limits.max_tunnels)
        add(values, "tunnels_opened_total", counts.opened)
        add(values, "tunnel_connections_lost_total", counts.lost)
        add(values, "tunnels_resumed_total", counts.resumed)
        add(values, "tunnels_ended_total", counts.ended)
        for reason, count in counts.refused.items():
            add(values, "tunnels_refused_total", count, reason)
        moved = parts.directory.moved_by_ended + sum(one.moved for one in sessions)
        add(values, "tunnel_bytes_total", moved)

    def _read_edge(self, values: Values) -> None:
        parts = self._parts
        context, watcher, wall = parts.context, parts.watcher, time.time()
        add(values, "buffered_bytes", parts.sweep.buffered)
        add(values, "buffered_limit_bytes", context.limits.max_buffered_bytes)
        add(values, "overloaded", int(context.is_overloaded))
        reasons = parts.readiness.reasons()
        add(values, "ready", int(not reasons))
        for reason in UNREADY:
            add(values, "not_ready", int(reason in reasons), reason)
        states = {"active": 0, "expired": 0, "revoked": 0}
        for token in parts.directory.snapshot.tokens.values():
            states[token.state(wall)] += 1
        for state, count in states.items():
            add(values, "tokens", count, state)
        add(values, "database_up", int(not watcher.is_failing))
        add(values, "database_read_timestamp_seconds", watcher.read_at)
        add(values, "event_loop_lag_seconds", _sizes(parts.sweep.lag))
        add(values, "build_info", 1, __version__, platform.python_version())
        add(values, "generation", parts.generation)

    def _read_process(self) -> Iterator[tuple[str, float]]:
        try:
            metrics = list(self._process.collect())
        except ValueError:  # a limit that is no number, "unlimited"
            return
        for metric in metrics:
            for sample in metric.samples:
                if sample.name in FAMILIES:
                    yield sample.name, sample.value


def _sizes(histogram: Histogram) -> list[float]:
    return [*histogram.counts, histogram.total]
