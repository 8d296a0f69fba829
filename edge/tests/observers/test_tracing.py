"""The spans of exchanges, made by the real library, over a real edge and a real tunnel."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from edge.tests.exchange.fakes import ARRIVAL, HOSTNAME, request_of
from edge.tests.live import SHOP, Live, live_edge
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from asgi_tunnel.protocol.head import RequestHead
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.observers import tracing
from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.observers.tracing import ExchangeTracing, start_tracing
from asgi_tunnel_edge.settings.tracing import TracingConfig

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
ON = TracingConfig(enabled=True)


class App:
    """Keeps the fields of each call; ``/raise`` raises."""

    def __init__(self) -> None:
        self.fields: list[list[tuple[bytes, bytes]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Say hello."""
        if scope["type"] == "lifespan":
            raise ValueError
        self.fields.append([tuple(one) for one in scope["headers"]])
        if scope["path"] == "/raise":
            raise ValueError("as asked")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    def values(self, name: bytes) -> list[bytes]:
        """The values of a field in the last call."""
        return [value for one, value in self.fields[-1] if one == name]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the edge exports, once it has stopped."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "_make_exporter", lambda config, file: exporter)
    return exporter


async def test_fields_pass_as_they_are_without_tracing(tmp_path: Path) -> None:
    """Good ones, bad ones, several: the edge has no opinion about them."""
    app = App()
    sent = [
        ("traceparent", PARENT),
        ("tracestate", "a=1,b=2"),
        ("tracestate", "c=3"),
        ("traceparent", "nonsense"),
        ("baggage", "user=7"),
        ("traceparent", PARENT),
    ]
    async with live_edge(tmp_path, app) as live:
        await live.get("/", *(f"{name}: {value}" for name, value in sent))
    names = {name.encode() for name, _ in sent}
    got = [(name.decode(), value.decode()) for name, value in app.fields[0] if name in names]
    assert got == sent


async def test_the_apps_span_is_below_that_of_the_edge(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    """One trace from the edge into the app, by the app's own instrumentation."""
    of_app = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(of_app))
    app = App()
    traced = OpenTelemetryMiddleware(app, tracer_provider=provider)
    async with live_edge(tmp_path, traced, tracing={"enabled": True}) as live:
        await live.get("/page?password=secret", "User-Agent: test", f"traceparent: {PARENT}")
    [span] = spans.get_finished_spans()
    server = next(one for one in of_app.get_finished_spans() if one.kind is SpanKind.SERVER)
    assert span.context is not None
    assert server.context is not None
    assert server.parent is not None
    assert server.context.trace_id == span.context.trace_id
    assert server.parent.span_id == span.context.span_id
    assert span.parent is None
    assert span.kind is SpanKind.SERVER
    assert span.name == "GET"
    attributes = dict(span.attributes or {})
    request_id = attributes.pop("asgi_tunnel.request_id")
    assert app.values(b"x-request-id") == [str(request_id).encode()]
    assert attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/page",
        "server.address": SHOP,
        "server.port": 80,
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "asgi_tunnel.hostname": SHOP,
        "http.response.body.size": 5,
        "http.response.status_code": 200,
    }
    assert "secret" not in span.to_json()
    assert span.status.status_code is StatusCode.UNSET
    assert span.resource.attributes["service.name"] == "asgi-tunnel-edge"


async def ask(live: Live, *fields: str) -> None:
    """Send one request."""
    assert (await live.get("/", *fields)).status == 200


async def test_a_visitors_trace_does_not_go_on(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    """The edge begins a trace of its own, which names the visitor's; its state goes nowhere."""
    app = App()
    async with live_edge(tmp_path, app, tracing={"enabled": True}) as live:
        await ask(live, f"traceparent: {PARENT}", "tracestate: a=1", "baggage: user=7")
        assert app.values(b"tracestate") == []
        assert app.values(b"baggage") == [b"user=7"]
        [parent] = app.values(b"traceparent")
        await ask(live, f"traceparent: {PARENT}", f"traceparent: {PARENT}")
        assert len(app.values(b"traceparent")) == 1
    one, twice = spans.get_finished_spans()
    assert one.context is not None
    assert parent.startswith(b"00-%032x-%016x-" % (one.context.trace_id, one.context.span_id))
    assert int(parent[-2:], 16) & 1  # recorded; the next bit says that the id is random
    assert TRACE.encode() not in parent
    [link] = one.links
    assert f"{link.context.trace_id:032x}" == TRACE
    assert not twice.links  # of two, none is meant


@pytest.mark.parametrize("flag", ["01", "00"])
async def test_a_trusted_trace_goes_on(
    tmp_path: Path, spans: InMemorySpanExporter, flag: str
) -> None:
    """With its state, and whether it is recorded is decided there, whatever ``sample`` says."""
    app = App()
    settings = {"enabled": True, "trust_visitors": True, "sample": 0.0}
    async with live_edge(tmp_path, app, tracing=settings) as live:
        await ask(
            live, f"traceparent: 00-{TRACE}-{SPAN}-{flag}", "tracestate: a=1", "tracestate: b=2"
        )
        [parent] = app.values(b"traceparent")
        assert parent.startswith(f"00-{TRACE}-".encode())
        assert parent.endswith(flag.encode())
        assert SPAN.encode() not in parent
        assert app.values(b"tracestate") == [b"a=1,b=2"]
    found = spans.get_finished_spans()
    assert len(found) == (flag == "01")
    for span in found:
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == SPAN


@pytest.mark.parametrize(
    "bad",
    ["", "nonsense", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}"],
)
async def test_a_malformed_trace_is_none(
    tmp_path: Path, spans: InMemorySpanExporter, bad: str
) -> None:
    """The standard says to begin a new one."""
    app = App()
    settings = {"enabled": True, "trust_visitors": True}
    async with live_edge(tmp_path, app, tracing=settings) as live:
        await ask(live, f"traceparent: {bad}")
        [parent] = app.values(b"traceparent")
    [span] = spans.get_finished_spans()
    assert span.parent is None
    assert TRACE.encode() not in parent


async def test_what_is_not_recorded(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    """The app hears that this trace is not recorded, so that its own spans are not either."""
    app = App()
    async with live_edge(tmp_path, app, tracing={"enabled": True, "sample": 0.0}) as live:
        await ask(live)
        [parent] = app.values(b"traceparent")
    assert not int(parent[-2:], 16) & 1
    assert not spans.get_finished_spans()


async def test_failures(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    """A 5xx is an error; what no app was asked for has no span."""
    async with live_edge(tmp_path, App(), tracing={"enabled": True}) as live:
        assert (await live.get("/raise")).status == 500
        assert (await live.get("/", host="nobody.example.test")).status == 404
    [span] = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "500"


def exchange(one: ExchangeTracing, number: int, method: bytes = b"GET") -> RequestHead:
    """Begin one, without an edge."""
    request = request_of(method, target=b"/a?b=c")
    head = RequestHead(method, b"/a?b=c", ARRIVAL, b"r%d" % number, HOSTNAME.encode(), [])
    return one.opened(request, head)


def entry(number: int, status: int, outcome: str = "") -> Entry:
    """Its end."""
    return Entry(b"r%d" % number, b"192.0.2.7", b"GET", HOSTNAME, b"/", status, 3, 0.1, outcome)


@pytest.mark.parametrize(
    ("status", "outcome", "error"),
    [
        (200, "", None),
        (200, "visitor left", None),
        (499, "visitor left", None),
        (404, "", None),
        (200, "the tunnel to the app was lost", "cut"),
        (503, "the app behind this name is not connected", "503"),
        (101, "visitor is silent", None),
    ],
)
def test_what_is_an_error(status: int, outcome: str, error: str | None) -> None:
    """What the server could not do; not what a visitor does, or what an app says of a request."""
    exporter = InMemorySpanExporter()
    one = start_tracing(ON, file="edge.toml", exporter=exporter)
    exchange(one, 1, b"BREW")
    one.closed(entry(1, status, outcome))
    one._provider.shutdown()
    [span] = exporter.get_finished_spans()
    attributes = span.attributes or {}
    assert attributes.get("error.type") == error
    assert (span.status.status_code is StatusCode.ERROR) == (error is not None)
    assert ("http.response.status_code" in attributes) == (status != 499)
    assert attributes["http.request.method"] == "_OTHER"
    assert attributes["http.request.method_original"] == "BREW"
    assert span.name == "HTTP"


class Stuck(SpanExporter):
    """A collector that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.is_called = threading.Event()
        self.may_go_on = threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Wait."""
        self.is_called.set()
        self.may_go_on.wait(20)
        self.taken += len(spans)
        return SpanExportResult.SUCCESS


async def test_a_collector_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchanges go on, what waits is bounded, and the end does not wait for it."""
    monkeypatch.setattr(tracing, "STOP_TIMEOUT", 0.05)
    monkeypatch.setattr(tracing, "MAX_WAITING", 200)
    exporter = Stuck()
    one = start_tracing(ON, file="edge.toml", exporter=exporter)
    for number in range(1000):
        exchange(one, number)
        one.closed(entry(number, 200))
    assert await asyncio.to_thread(exporter.is_called.wait, 10)
    assert not one._spans
    began = time.monotonic()
    await one.stop()
    assert time.monotonic() - began < 5
    exporter.may_go_on.set()
    ends = [thread for thread in threading.enumerate() if thread.name == "tracing-end"]
    for thread in ends:
        await asyncio.to_thread(thread.join, 10)
    assert 0 < exporter.taken <= 200 + tracing.BATCH


def test_spans_in_progress_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound a request passes as it came, without a span."""
    monkeypatch.setattr(tracing, "MAX_SPANS", 2)
    one = start_tracing(ON, file="edge.toml", exporter=InMemorySpanExporter())
    heads = [exchange(one, number) for number in range(3)]
    assert [len(head.fields) for head in heads] == [1, 1, 0]
    one._provider.shutdown()


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge does not start, and says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(EdgeConfigError, match=r'pip install "asgi-tunnel-edge\[otel\]"'):
        start_tracing(ON, file="edge.toml")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"exporter": "pigeon"}, 'the exporter "pigeon" is not installed; there are: .*console'),
        ({"exporter": "console", "endpoint": "http://127.0.0.1/"}, "cannot be used"),
    ],
)
def test_an_exporter_that_cannot_be_used(settings: dict[str, Any], sentence: str) -> None:
    """The same, with those that there are."""
    with pytest.raises(EdgeConfigError, match=sentence):
        start_tracing(TracingConfig(enabled=True, **settings), file="edge.toml")


def test_a_real_exporter() -> None:
    """OTLP over HTTP to a collector: what it gets is the span."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        one = start_tracing(TracingConfig(enabled=True, endpoint=endpoint), file="edge.toml")
        exchange(one, 1)
        one.closed(entry(1, 200))
        one._provider.shutdown()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    found = ExportTraceServiceRequest.FromString(bodies[0])
    assert found.resource_spans[0].scope_spans[0].spans[0].name == "GET"
