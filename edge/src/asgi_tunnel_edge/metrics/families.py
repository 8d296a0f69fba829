"""Which metrics there are: names, kinds, labels, and how those of several processes are one.

The table is the only place that has the names; docs/reference/metrics.md is compared with it, and
so are the dashboard and the rules in deploy/monitoring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from ..connections.sweep import LAG_BUCKETS
from ..counts import HOLD_BUCKETS
from ..observers.request_counter import DURATION_BUCKETS

__all__ = ["FAMILIES", "PREFIX", "Family", "Value", "Values", "add", "merge"]

Value = float | list[float]
"""A number; or of a histogram the counts of its buckets, of what is above, and the sum."""

Values = dict[str, dict[tuple[str, ...], Value]]
"""By the name of the metric, then by the values of its labels."""

PREFIX: Final = "asgi_tunnel_edge_"


class Family(NamedTuple):
    """One metric."""

    name: str  #: as a query has it
    kind: Literal["counter", "gauge", "histogram"]
    help: str  #: one sentence without its full stop
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  #: of a histogram
    of_all: Literal["sum", "max", "min"] = "sum"  #: what several processes have together


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(f"{PREFIX}{name}_total", "counter", text, labels)


def _gauge(
    name: str, text: str, *labels: str, of_all: Literal["sum", "max", "min"] = "sum"
) -> Family:
    return Family(PREFIX + name, "gauge", text, labels, of_all=of_all)


def _histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Family:
    return Family(PREFIX + name, "histogram", text, labels, bounds)


_ALL: Final = (
    # requests
    _counter("requests", "Requests by the hostname and the status they got", "hostname", "code"),
    _counter("request_methods", "Requests by method", "method"),
    _histogram(
        "request_duration_seconds",
        "Time from a request's head to the end of its response",
        DURATION_BUCKETS,
        "hostname",
    ),
    _counter("response_body_bytes", "Bytes of response bodies and WebSocket messages", "hostname"),
    _counter("end_to_end_connections", "End-to-end connections that are over", "hostname"),
    _gauge("exchanges_in_progress", "Requests and WebSockets that apps work on"),
    _gauge("held_requests", "Requests that wait for an app to connect"),
    _histogram(
        "hold_duration_seconds",
        "Time that requests waited for an app, by how that ended",
        HOLD_BUCKETS,
        "outcome",
    ),
    _gauge("inbox_requests", "Requests that are kept for apps which are away", of_all="max"),
    _counter("inbox_stored", "Requests that were stored for an app"),
    _counter("inbox_delivered", "Stored requests that an app has acknowledged"),
    _counter("inbox_refused", "Requests for which the inbox had no room"),
    _counter("refused", "Requests and connections that were turned away", "reason"),
    _counter("scanner_probes", "Requests for what only scanners ask for"),
    _gauge("bans", "Bans that are in force", "source", of_all="max"),
    # other nodes
    _gauge("peers", "Other nodes, by the connection to them", "state"),
    _counter("forwarded_requests", "Exchanges that were sent to another node"),
    _counter("forwarded_gone", "Those of them for which it had no session any longer"),
    _counter("served_for_nodes", "Exchanges of other nodes that were given to a session"),
    # visitors' connections
    _gauge("visitor_connections", "Connections of visitors that are open"),
    _gauge("visitor_connections_limit", "How many of them there may be"),
    _counter("visitor_connections_opened", "Connections of visitors so far"),
    _counter("visitor_received_bytes", "Bytes of HTTP that came from visitors"),
    _counter("visitor_sent_bytes", "Bytes of HTTP that were written for visitors"),
    _counter("tls_handshakes", "TLS handshakes by how they ended", "result"),
    _gauge("tls_handshakes_in_progress", "TLS handshakes that have not ended"),
    _gauge(
        "certificate_expiry_timestamp_seconds",
        "When the certificate that is shown for a name expires, since 1970",
        "name",
        of_all="min",
    ),
    # tunnels
    _gauge("tunnels", "Sessions of apps, with a connection or waiting for one", "state"),
    _gauge("tunnels_limit", "How many of them there may be"),
    _gauge("hostname_tunnels", "Sessions that serve a hostname now", "hostname"),
    _counter("tunnels_opened", "Sessions of apps that began"),
    _counter("tunnel_connections_lost", "Connections that sessions lost"),
    _counter("tunnels_resumed", "Sessions that went on after their connection was lost"),
    _counter("tunnels_ended", "Sessions that are over"),
    _counter("tunnels_refused", "Connectors that got no session", "reason"),
    _counter("tunnel_bytes", "Bytes that tunnels carried, both ways"),
    # the edge itself
    _gauge("buffered_bytes", "Bytes that the edge keeps for others"),
    _gauge("buffered_limit_bytes", "Bytes above which it takes no new requests"),
    _gauge("overloaded", "1 while it takes no new requests, for want of memory", of_all="max"),
    _gauge("ready", "1 while the next request may come here", of_all="min"),
    _gauge("not_ready", "1 for each reason why it may not", "reason", of_all="max"),
    _gauge("tokens", "Tokens in the store", "state", of_all="max"),
    _gauge("database_up", "1 while the database can be read", of_all="min"),
    _gauge(
        "database_read_timestamp_seconds",
        "When the database could be read, at last, since 1970",
        of_all="min",
    ),
    _histogram(
        "event_loop_lag_seconds",
        "How late a timer was that is due four times a second",
        LAG_BUCKETS,
    ),
    _gauge("build_info", "1, with the versions", "version", "python", of_all="max"),
    _gauge("generation", "Grows with each reload and upgrade", of_all="max"),
    # prometheus-client reads these, where there is a /proc; the names are those of every program
    Family("process_cpu_seconds_total", "counter", "CPU time of the serving process"),
    Family("process_resident_memory_bytes", "gauge", "Memory of the serving process"),
    Family("process_virtual_memory_bytes", "gauge", "Address space of the serving process"),
    Family(
        "process_start_time_seconds",
        "gauge",
        "When the serving process was started, since 1970",
        of_all="min",
    ),
    Family("process_open_fds", "gauge", "File descriptors that are open"),
    Family("process_max_fds", "gauge", "How many there may be"),
)

PEER_STATES: Final = ("ready", "suspect", "lost", "unused")
"""Of a connection to another node; the last one: nobody has needed it."""

FAMILIES: Final = {one.name: one for one in _ALL}
"""By name."""


def add(values: Values, name: str, value: Value, *labels: str) -> None:
    """Set one value; the name without :data:`PREFIX`."""
    family = FAMILIES[PREFIX + name]
    assert len(labels) == len(family.labels), name
    values.setdefault(family.name, {})[labels] = value


def merge(parts: Iterable[Mapping[str, Mapping[tuple[str, ...], Value]]]) -> Values:
    """Return what several processes have together.

    Args:
        parts: The values of each.
    """
    merged: Values = {}
    for part in parts:
        for name, samples in part.items():
            found = merged.setdefault(name, {})
            for labels, value in samples.items():
                old = found.get(labels)
                found[labels] = value if old is None else _together(FAMILIES[name], old, value)
    return merged


def _together(family: Family, one: Value, other: Value) -> Value:
    if isinstance(one, list) or isinstance(other, list):
        assert isinstance(one, list)
        assert isinstance(other, list)
        return [a + b for a, b in zip(one, other, strict=True)]
    if family.of_all == "sum":
        return one + other
    return max(one, other) if family.of_all == "max" else min(one, other)
