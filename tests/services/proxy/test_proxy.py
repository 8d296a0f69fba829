"""What can be reached is the table and nothing else: attempts to reach another server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.services.scripted import OK, answering, scripted

from asgi_tunnel import Services
from asgi_tunnel.services.proxy.errors import RequestError
from asgi_tunnel.services.proxy.fields import (
    MAX_NAMES,
    MAX_VISITORS,
    HeadWriter,
)
from asgi_tunnel.testing import LocalEdge

ELSEWHERE = "127.0.0.1:{port}"
"""A server that is not in the table."""

PATHS = [
    "http://" + ELSEWHERE + "/",
    "https://" + ELSEWHERE + "/",
    "//" + ELSEWHERE + "/",
    "///" + ELSEWHERE + "/",
    "/\\" + ELSEWHERE + "/",
    "@" + ELSEWHERE + "/",
    "/@" + ELSEWHERE + "/",
    ":80@" + ELSEWHERE + "/",
    "/http://" + ELSEWHERE + "/",
    "/x?url=http://" + ELSEWHERE + "/",
    "/%0d%0aHost:%20" + ELSEWHERE,
    "/x\r\nHost: " + ELSEWHERE + "\r\n\r\n",
    "/x HTTP/1.1\r\nHost: " + ELSEWHERE + "\r\n\r\nGET /",
    "/x\nHost: " + ELSEWHERE,
    "/x\tHTTP/1.1",
    "/x#@" + ELSEWHERE,
    "*",
    ELSEWHERE,
    "/..//" + ELSEWHERE + "/",
    "/%2f%2f" + ELSEWHERE + "/",
    "/\u2028x",
    "/x\0y",
]
FIELDS = [
    {"host": ELSEWHERE},
    {"host": "a.test@" + ELSEWHERE},
    {"host": "a.test, " + ELSEWHERE},
    {"host": "a.test#" + ELSEWHERE},
    {"x-forwarded-host": ELSEWHERE},
    {"forwarded": "host=" + ELSEWHERE},
    {"x-original-url": "http://" + ELSEWHERE + "/"},
    {"x-rewrite-url": "http://" + ELSEWHERE + "/"},
    {"upgrade": "h2c", "connection": "upgrade, http2-settings", "http2-settings": "AAMAAABkAAQ"},
    {"proxy-authorization": "Basic eDp5", "proxy-connection": "keep-alive"},
    {"connection": "host, x-forwarded-for, cookie", "cookie": "a=1"},
    {"x-a": "1\r\nHost: " + ELSEWHERE},
    {"transfer-encoding": "chunked", "te": "trailers, deflate"},
]


@pytest.mark.parametrize("number", range(len(PATHS) + len(FIELDS) + 2))
async def test_nothing_outside_the_table_is_reached(number: int) -> None:
    """Targets, Hosts and fields that name another server: it gets no connection.

    What the service gets is one request of origin form with one Host.
    """
    async with scripted(answering(OK)) as service, scripted(answering(OK)) as elsewhere:

        def named(text: str) -> str:
            return text.replace("{port}", str(elsewhere.port))

        method, path, headers = "GET", "/", dict[str, str]()
        if number < len(PATHS):
            path = named(PATHS[number])
        elif number < len(PATHS) + len(FIELDS):
            headers = {k: named(v) for k, v in FIELDS[number - len(PATHS)].items()}
        else:
            method = ("CONNECT", "GET /x HTTP/1.1\r\nx:")[number - len(PATHS) - len(FIELDS)]
            path = named(ELSEWHERE)
        async with LocalEdge(Services({"*": service.url}), hostname="a.test") as edge:
            response = await request(edge, method, path, headers)
        assert response in (200, 400, 404, 405)
        assert elsewhere.connections == 0
        for head in service.heads:
            first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
            method_sent, target, version = first.split(b" ")
            assert (method_sent, version) == (b"GET", b"HTTP/1.1")
            assert target.startswith(b"/") or target == b"*"
            names = [line.partition(b":")[0] for line in lines]
            assert names.count(b"host") == 1
            unwanted = {b"upgrade", b"http2-settings", b"proxy-authorization"}
            assert [n for n in lines if n.startswith(b"connection")] in ([], [b"connection: te"])
            assert not unwanted & set(names)
            assert [n for n in names if n.startswith((b"forwarded", b"x-forwarded-host"))] == [
                b"x-forwarded-host",
                b"forwarded",
            ]


async def request(edge: LocalEdge, method: str, path: str, headers: dict[str, str]) -> int:
    """Send a request that an edge would refuse, and return the status."""
    from asgi_tunnel.services.app import Services as App

    found: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError

    messages = [{"type": "http.request", "body": b"", "more_body": False}]
    raw_path, _, query = path.encode().partition(b"?")
    fields = [(k.encode(), v.encode()) for k, v in headers.items()]
    if "host" not in headers:
        fields.insert(0, (b"host", b"a.test"))
    scope = {
        "type": "http",
        "method": method,
        "scheme": "https",
        "http_version": "1.1",
        "path": path.partition("?")[0],
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": fields,
        "client": ("192.0.2.1", 1),
        "server": ("192.0.2.2", 443),
        "extensions": {},
    }
    app = edge._app
    assert isinstance(app, App)
    await app(scope, receive, send)
    return found[0]


async def test_a_redirect_of_the_service_is_not_followed() -> None:
    """It goes to the visitor, as every response."""
    async with scripted(answering(OK)) as elsewhere:
        answer = b"HTTP/1.1 302 x\r\ncontent-length: 0\r\nlocation: %s/\r\n\r\n"
        script = answering(answer % elsewhere.url.encode())
        async with scripted(script) as service, LocalEdge(Services({"*": service.url})) as edge:
            response = await edge.get("/")
            assert (response.status, response.headers.get("location")) == (302, elsewhere.url + "/")
        assert elsewhere.connections == 0


@pytest.mark.parametrize("found", ["169.254.169.254", "::ffff:169.254.169.254", "8.8.8.8"])
async def test_a_name_that_leads_elsewhere_is_not_dialed(
    found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, whatever its owner says later; and a name is looked up once."""
    loop = asyncio.get_running_loop()
    lookups: list[str] = []
    real = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **kwargs: Any) -> Any:
        if not host.endswith(".test"):
            return await real(host, port, **kwargs)
        lookups.append(host)
        address = "127.0.0.1" if host == "good.test" and len(lookups) < 3 else found
        return [(0, 0, 0, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with scripted(answering(OK)) as service:
        table = {
            "a.test": f"http://evil.test:{service.port}",
            "b.test": f"http://good.test:{service.port}",
        }
        async with LocalEdge(Services(table)) as edge:
            for _ in range(3):
                assert (await edge.get("/", headers={"host": "a.test"})).status == 503
                assert (await edge.get("/", headers={"host": "b.test"})).status == 200
        assert lookups == ["evil.test", "good.test"]


def test_what_a_visitor_says_about_itself_is_not_sent_on() -> None:
    """Behind a server that is no edge, nothing else removes it."""
    names = [b"x-forwarded-for", b"x_forwarded_for", b"x-real-ip", b"forwarded", b"x-forwarded-x"]
    scope = {
        "headers": [(b"host", b"[::1]:80"), (b"x-a", b"1"), *((one, b"evil") for one in names)],
        "scheme": "ws",
        "client": ("2001:db8::1", 7),
    }
    head = HeadWriter(send_host="", prefix="/api").write(scope, b"GET", b"/")
    assert b"evil" not in head.data
    assert b'\r\nforwarded: for="[2001:db8::1]";proto=http;host="[::1]:80"\r\n' in head.data
    assert b"\r\nx-forwarded-prefix: /api\r\n" in head.data


@pytest.mark.parametrize(
    "field",
    [
        (b"x-a", b"1\r\nx-b: 2"),
        (b"x-a", b"1\n2"),
        (b"x-a", b"1\r2"),
        (b"x-a", b"1\x002"),
        (b"x-a", b"1\x7f"),
        (b"x-a\r\nx-b", b"1"),
        (b"x a", b"1"),
        (b"", b"1"),
        (b"host", b"a\r\nx: y"),
        (b"content-length", b"1, 1"),
    ],
)
@pytest.mark.parametrize("send_host", ["", "other.test"])
def test_what_could_be_read_as_two_lines_is_refused(
    field: tuple[bytes, bytes], send_host: str
) -> None:
    """Before a byte of it is sent; and the next request is written as ever."""
    writer = HeadWriter(send_host=send_host, prefix="")
    good = {"headers": [(b"host", b"a.test"), (b"x-a", b"\t1 \xff")]}
    before = writer.write(good, b"GET", b"/")
    with pytest.raises(RequestError):
        writer.write({"headers": [(b"host", b"a.test"), field]}, b"GET", b"/")
    assert writer.write(good, b"GET", b"/") == before


def test_what_is_remembered_of_visitors_is_bounded() -> None:
    """Names and Hosts that a visitor makes up do not stay."""
    writer = HeadWriter(send_host="", prefix="")
    for number in range(3 * MAX_NAMES):
        fields = [(b"host", b"%d.test" % number), (b"x-%d" % number, b"1"), (b"x" * 99, b"1")]
        head = writer.write({"headers": fields, "client": ("::1", 1)}, b"GET", b"/")
        assert b"x-%d: 1\r\n" % number in head.data
        assert b"host=%d.test\r\n" % number in head.data
    writer.write({"headers": [(b"host", b"y" * 999)]}, b"GET", b"/")
    assert len(writer._uses) <= MAX_NAMES
    assert len(writer._visitors) <= MAX_VISITORS
    assert max(map(len, writer._uses)) < 99
    assert max(map(len, writer._visitors.values())) < 999


async def test_the_same_mistake_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often a visitor asks; a service that is away is logged once until it is back."""
    async with scripted(answering(b"nonsense\r\n\r\n")) as service:
        url, port = service.url, service.port
        async with LocalEdge(Services({"a.test": url})) as edge:
            for _ in range(3):
                assert (await edge.get("/", headers={"host": "a.test"})).status == 502
    assert (
        caplog.text.count("the service of a.test: the status line of the response is malformed")
        == 1
    )
    caplog.set_level("INFO")
    async with LocalEdge(Services({"a.test": url})) as edge:
        for _ in range(3):
            assert (await edge.get("/", headers={"host": "a.test"})).status == 503
        async with scripted(answering(OK), port=port):
            assert (await edge.get("/", headers={"host": "a.test"})).status == 200
    assert caplog.text.count(f"is not reached at 127.0.0.1:{port}: connection refused") == 1
    assert caplog.text.count("the service of a.test is reached again") == 1


async def test_trace_context_passes_as_it_is() -> None:
    """A service goes on with the trace of whoever calls it; several and bad ones are its matter."""
    sent = [
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=1,b=2"),
        ("traceparent", "nonsense"),
        ("tracestate", "c=3"),
        ("baggage", "user=7"),
    ]
    async with (
        scripted(answering(OK)) as service,
        LocalEdge(Services({"*": service.url})) as edge,
    ):
        assert (await edge.request("GET", "/", headers=sent)).status == 200
    lines = service.heads[0].decode().split("\r\n")
    names = {name for name, _ in sent}
    got = [tuple(line.split(": ", 1)) for line in lines if line.split(":")[0].lower() in names]
    assert got == sent
