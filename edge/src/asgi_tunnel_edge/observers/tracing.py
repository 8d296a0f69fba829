"""Makes a span of OpenTelemetry of each exchange, and names it to the app as the parent of its own.

The library and an exporter are the operator's choice; nothing of it is imported where tracing is
off. A thread of the library exports; what waits for it is bounded, and above that spans are left
out. Called by ``dispatch`` for each request that goes to an app, and as the others of this package
when it is over. Fields: W3C Trace Context. Names of attributes: OpenTelemetry's semantic
conventions for HTTP.
"""

from __future__ import annotations

import asyncio
import os
import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from .._version import __version__
from ..errors import EdgeConfigError, shown
from ..request import Request

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, SpanContext
    from opentelemetry.util.types import AttributeValue

    from asgi_tunnel.protocol.head import Fields, RequestHead

    from ..settings.tracing import TracingConfig
    from .access_log import Entry

__all__ = ["ExchangeTracing", "start_tracing"]

MAX_SPANS: Final = 20_000
"""Exchanges in progress that have a span: twice ``max_connections``, and none is ever left."""

MAX_WAITING: Final = 2048
"""Spans that wait for the exporter, 4 MB; above it some are left out."""

BATCH: Final = 64
"""Spans that are exported at one time: to encode them takes 7 ms, in which the event loop has to
take turns with that thread."""

EXPORT_EVERY: Final = 2.0
"""Seconds that a span waits for others."""

STOP_TIMEOUT: Final = 2.0
"""Seconds that the last spans get at the end; a collector that does not take them is not waited
for."""

_MAX_PATH: Final = 1024  # characters
_PARENT: Final = b"traceparent"
_STATE: Final = b"tracestate"
_CONTEXT: Final = frozenset({_PARENT, _STATE})
_GROUP: Final = "opentelemetry_traces_exporter"
_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"QUERY"}
)
_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class ExchangeTracing:
    """See the module; an :class:`.observer.ExchangeObserver`.

    Args:
        provider: Makes spans and hands them on.
        trusts_visitors: Whether a trace that a request names goes on, and whether it is recorded is
            decided there. Without it the edge begins a trace, which links to that one.
    """

    def __init__(self, provider: TracerProvider, *, trusts_visitors: bool = False) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._trusts_visitors = trusts_visitors
        self._tracer = provider.get_tracer("asgi_tunnel_edge", __version__)
        self._extract = TraceContextTextMapPropagator().extract
        self._nothing = Context()
        self._api = trace
        self._spans: dict[bytes, Span] = {}  # by request id, of exchanges in progress

    def opened(self, request: Request, head: RequestHead) -> RequestHead:
        """Begin a span; return the head that names it.

        Args:
            request: What was read.
            head: The same for the wire.
        """
        if len(self._spans) >= MAX_SPANS:
            return head
        theirs, parent = self._visitors(head.fields)
        links = [] if theirs is None or self._trusts_visitors else [self._api.Link(theirs)]
        span = self._tracer.start_span(
            head.method.decode() if head.method in _METHODS else "HTTP",
            context=parent if self._trusts_visitors else self._nothing,
            kind=self._api.SpanKind.SERVER,
            links=links,
        )
        context = span.get_span_context()
        if not context.is_valid:  # OTEL_SDK_DISABLED
            return head
        self._spans[head.request_id] = span
        if span.is_recording():
            span.set_attributes(_of_request(request, head))
        fields = [field for field in head.fields if field[0] not in _CONTEXT]
        fields.append((_PARENT, _parent_value(context)))
        state = context.trace_state.to_header()
        if state:
            fields.append((_STATE, state.encode()))
        return head._replace(fields=fields)

    def closed(self, entry: Entry) -> None:
        """See :class:`.observer.ExchangeObserver`."""
        span = self._spans.pop(entry.request_id, None)
        if span is None:  # a reply in the place of an exchange
            return
        if span.is_recording():
            span.set_attributes(_of_response(entry))
            if _has_failed(entry):
                span.set_status(self._api.StatusCode.ERROR)
        span.end()

    async def stop(self) -> None:
        """Hand on what waits, for ``STOP_TIMEOUT`` seconds. Cancelling it leaves that to itself."""
        # A daemon, and waited for in another thread: the exporter may wait for its collector.
        ending = threading.Thread(target=self._provider.shutdown, name="tracing-end", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, STOP_TIMEOUT)

    def _visitors(self, fields: Fields) -> tuple[SpanContext | None, Context]:
        """What the request names as its span; more than one, or a malformed one, is none."""
        parents = [value for name, value in fields if name == _PARENT]
        if len(parents) != 1:
            return None, self._nothing
        states = [value for name, value in fields if name == _STATE]
        carrier = {
            "traceparent": parents[0].decode("latin-1"),
            "tracestate": b",".join(states).decode("latin-1"),
        }
        context = self._extract(carrier, context=self._nothing)
        found = self._api.get_current_span(context).get_span_context()
        return (found if found.is_valid else None), context


def start_tracing(
    config: TracingConfig, *, file: str, exporter: SpanExporter | None = None
) -> ExchangeTracing:
    """Load the library and the exporter, and begin; takes a second, so not in the event loop.

    Args:
        config: Of ``edge.toml``.
        file: Its name, for errors.
        exporter: In the place of the one that the settings name.

    Raises:
        EdgeConfigError: One of the two is not installed, or the exporter cannot be used.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        why = "is true, and OpenTelemetry is not installed here"
        fix = 'run `pip install "asgi-tunnel-edge[otel]"`, or write enabled = false'
        raise EdgeConfigError("tracing.enabled", why, fix, file=file) from error
    if exporter is None:
        exporter = _make_exporter(config, file=file)
    ours = {"service.version": __version__}
    named = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name=" not in named:
        ours["service.name"] = "asgi-tunnel-edge"
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(config.sample)),
        resource=Resource.create(ours),
        shutdown_on_exit=False,  # it would wait for the collector
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=MAX_WAITING,
            max_export_batch_size=BATCH,
            schedule_delay_millis=EXPORT_EVERY * 1000,
        )
    )
    return ExchangeTracing(provider, trusts_visitors=config.trust_visitors)


def _make_exporter(config: TracingConfig, *, file: str) -> SpanExporter:
    name = config.exporter
    found = list(entry_points(group=_GROUP, name=name))
    if not found:
        there = ", ".join(sorted({one.name for one in entry_points(group=_GROUP)})) or "none"
        why = f"the exporter {shown(name)} is not installed; there are: {there}"
        fix = "run `pip install opentelemetry-exporter-otlp-proto-http`, or name another one"
        raise EdgeConfigError("tracing.exporter", why, fix, file=file)
    try:
        make = found[0].load()
        exporter: SpanExporter = (
            make() if config.endpoint is None else make(endpoint=config.endpoint)
        )
    except Exception as error:
        # Somebody else's code, with errors of its own; the edge does not start then.
        why = f"the exporter {shown(name)} cannot be used: {shown(str(error))}"
        fix = "see its documentation: it has variables of its own (OTEL_...)"
        raise EdgeConfigError("tracing.exporter", why, fix, file=file) from error
    return exporter


def _parent_value(context: SpanContext) -> bytes:
    """The field traceparent, version 00."""
    return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, int(context.trace_flags))


def _of_request(request: Request, head: RequestHead) -> dict[str, AttributeValue]:
    """What is known when the span begins; no query, for it may hold secrets."""
    method, target, arrival, request_id, hostname, _ = head
    found: dict[str, AttributeValue] = {
        "http.request.method": method.decode() if method in _METHODS else "_OTHER",
        "url.scheme": arrival.scheme,
        "url.path": target.partition(b"?")[0][:_MAX_PATH].decode("latin-1"),
        "server.address": hostname.decode("latin-1"),
        "server.port": _port(request.host, arrival.scheme),
        "client.address": arrival.client[0],
        "network.protocol.version": arrival.http_version,
        "asgi_tunnel.request_id": request_id.decode("latin-1"),
    }
    if method not in _METHODS:
        found["http.request.method_original"] = method[:32].decode("latin-1")
    return found


def _of_response(entry: Entry) -> dict[str, AttributeValue]:
    """What is known when it ends."""
    found: dict[str, AttributeValue] = {
        "asgi_tunnel.hostname": entry.hostname,
        "http.response.body.size": entry.sent,
    }
    if entry.status != 499:  # the visitor left before the response
        found["http.response.status_code"] = entry.status
    if entry.outcome:
        found["asgi_tunnel.outcome"] = entry.outcome
    if _has_failed(entry):
        found["error.type"] = str(entry.status) if entry.status >= 500 else "cut"
    return found


def _has_failed(entry: Entry) -> bool:
    """Whether it is an error of the server: a 5xx, or a response that it has cut short."""
    status, outcome = entry.status, entry.outcome
    if status == 101 or outcome.startswith("visitor"):
        return False
    return status >= 500 or (outcome != "" and status < 400)


def _port(host: bytes, scheme: str) -> int:
    """The port that the visitor names."""
    port = host.rpartition(b":")[2]
    return int(port) if port.isdigit() and len(port) <= 5 else _PORTS[scheme]
