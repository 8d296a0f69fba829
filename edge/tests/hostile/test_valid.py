"""What is right is relayed byte for byte, however it is sent; what is for the edge alone is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from .conftest import World
from .wire import HOST, PASS, Wire, request

EDGE_FIELDS = {
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
}
HIDDEN = request(b"GET", b"/smuggled")
CHUNKED = b"Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Valid:
    """A request that has to arrive.

    Attributes:
        name: What is special about it.
        data: All that is sent.
        method: As the app sees it.
        target: As the app sees it.
        fields: As the app sees them, after Host and before those the edge adds.
        body: As the app sees it.
    """

    name: str
    data: bytes
    method: str = "GET"
    target: bytes = b"/case"
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __str__(self) -> str:
        return self.name


def _chunked(name: str, body: bytes, expected: bytes, *fields: bytes) -> Valid:
    return Valid(
        f"chunked: {name}",
        request(b"POST", b"/case", CHUNKED, *fields, body=body),
        method="POST",
        body=expected,
    )


def _target(target: bytes) -> Valid:
    return Valid(f"T16 {target!r}", request(b"GET", target), target=target)


VALID = [
    Valid("plain", request()),
    Valid("one empty line in front", b"\r\n" + request()),
    Valid("two empty lines in front", b"\r\n\r\n" + request()),
    *(
        Valid(method.decode(), request(method, b"/case"), method=method.decode())
        for method in (b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"M-SEARCH")
    ),
    Valid("OPTIONS *", request(b"OPTIONS", b"*"), method="OPTIONS", target=b"*"),
    Valid("absolute-form", request(b"GET", b"http://" + HOST + b"/case")),
    Valid("absolute-form without a path", request(b"GET", b"http://" + HOST), target=b"/"),
    Valid(
        "absolute-form with a query alone",
        request(b"GET", b"http://" + HOST + b"?a=b"),
        target=b"/?a=b",
    ),
    _target(b"/a/../b"),
    _target(b"/a/./b"),
    _target(b"//a//b//"),
    _target(b"/a%2fb%2Fc"),
    _target(b"/%2e%2e/%2E%2E/etc"),
    _target(b"/a%00b"),
    _target(b"/a%0d%0ab"),
    _target(b"/%zz%"),
    _target(b"/a;b=c?d=e&f=%26&g=+&h"),
    # ASGI has no way to say that there is a question mark and nothing behind it.
    Valid("T16 an empty query", request(b"GET", b"/case?")),
    _target(b"/a?b?c"),
    _target(b"/a\\b|c^d`e{f}"),
    _target(b"/" + b"a" * 16384),
    # Only one is right (RFC 9110 section 8.3), but no framing hangs on it: the app decides.
    Valid(
        "two content types",
        request(b"POST", b"/case", b"Content-Type: a/b", b"Content-Type: c/d"),
        method="POST",
        fields=(("content-type", "a/b"), ("content-type", "c/d")),
    ),
    Valid(
        "fields keep order, duplicates and odd values",
        request(
            b"GET",
            b"/case",
            b"X-A: 1",
            b"x-b:2",
            b"X-A: \t 3 \t ",
            b"X-Empty:",
            b"X-Long: " + b"v" * 30_000,
            b"X-8: \xe9\xff",
            b"!#$%&'*+-.^_`|~: token",
        ),
        fields=(
            ("x-a", "1"),
            ("x-b", "2"),
            ("x-a", "3"),
            ("x-empty", ""),
            ("x-long", "v" * 30_000),
            ("x-8", "\xe9\xff"),
            ("!#$%&'*+-.^_`|~", "token"),
        ),
    ),
    Valid(
        "127 fields beside Host",
        request(b"GET", b"/case", *[b"X-%d: v" % number for number in range(127 - len(PASS))]),
        fields=tuple((f"x-{number}", "v") for number in range(127 - len(PASS))),
    ),
    Valid(
        "a body",
        request(b"POST", b"/case", b"Content-Length: 5", body=b"hello"),
        method="POST",
        fields=(("content-length", "5"),),
        body=b"hello",
    ),
    Valid(
        "a body of every byte",
        request(b"PUT", b"/case", b"Content-Length: 512", body=bytes(range(256)) * 2),
        method="PUT",
        fields=(("content-length", "512"),),
        body=bytes(range(256)) * 2,
    ),
    Valid(
        "T10 a body on GET that looks like a request",
        request(b"GET", b"/case", b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
        fields=(("content-length", str(len(HIDDEN))),),
        body=HIDDEN,
    ),
    Valid(
        "a length with leading zeros",
        request(b"POST", b"/case", b"Content-Length: 0005", body=b"hello"),
        method="POST",
        fields=(("content-length", "0005"),),
        body=b"hello",
    ),
    _chunked("one chunk", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    _chunked("nothing", b"0\r\n\r\n", b""),
    _chunked("many zeros", b"0005\r\nhello\r\n0000\r\n\r\n", b"hello"),
    _chunked("hexadecimal", b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    _chunked("data like framing", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    _chunked("extensions", b'5;a;b=c ; d="e f"\r\nhello\r\n0;last\r\n\r\n', b"hello"),
    _chunked(
        "T06 trailers are dropped",
        b"5\r\nhello\r\n0\r\nX-A: b\r\nContent-Length: 9\r\nHost: evil\r\n"
        b"Transfer-Encoding: gzip\r\n\r\n",
        b"hello",
        b"Trailer: X-A",
    ),
    _chunked("1,000 chunks", b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n", b"x" * 1000),
    Valid(
        "chunked in capitals",
        request(b"POST", b"/case", b"tRANSFER-eNCODING:\tCHUNKED ", body=b"1\r\nx\r\n0\r\n\r\n"),
        method="POST",
        body=b"x",
    ),
    Valid(
        "T11 a body with an unknown Upgrade",
        request(
            b"POST",
            b"/case",
            b"Upgrade: foo",
            b"Connection: Upgrade",
            b"Content-Length: 5",
            body=b"hello",
        ),
        method="POST",
        fields=(("content-length", "5"),),
        body=b"hello",
    ),
    Valid(
        "T11 POST with Upgrade: websocket",
        request(
            b"POST",
            b"/case",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Content-Length: 5",
            body=b"hello",
        ),
        method="POST",
        fields=(("content-length", "5"),),
        body=b"hello",
    ),
    Valid(
        "T12 h2c",
        request(
            b"GET",
            b"/case",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            b"Connection: Upgrade, HTTP2-Settings",
        ),
    ),
    Valid(
        "T12 Upgrade without Connection",
        request(b"GET", b"/case", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        fields=(("sec-websocket-version", "13"),),
    ),
    Valid(
        "T14 a listed field goes, what the edge needs stays",
        request(
            b"POST",
            b"/case",
            b"Connection: X-Secret, Content-Length, Host, Cookie, X-Forwarded-For",
            b"X-Secret: 1",
            b"X-Kept: 2",
            b"Cookie: a=b",
            b"Content-Length: 5",
            body=b"hello",
        ),
        method="POST",
        fields=(("x-kept", "2"), ("cookie", "a=b"), ("content-length", "5")),
        body=b"hello",
    ),
    Valid(
        "T14 fields of this hop",
        request(
            b"GET",
            b"/case",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: Basic YTpi",
            b"TE: gzip",
            b"Connection: TE",
        ),
    ),
    Valid(
        "TE: trailers stays",
        request(b"GET", b"/case", b"TE: trailers, deflate;q=0.5", b"Connection: TE"),
        fields=(),
    ),
    Valid(
        "T15 who the visitor is, is not for the visitor to say",
        request(
            b"GET",
            b"/case",
            *[
                name + b": 6.6.6.6"
                for name in (
                    b"X-Forwarded-For",
                    b"X-Forwarded-Host",
                    b"X-Forwarded-Proto",
                    b"X-Forwarded-Port",
                    b"X-Forwarded-Prefix",
                    b"X_Forwarded_For",
                    b"X-Forwarded_For",
                    b"x-FORWARDED-anything",
                    b"Forwarded",
                    b"X-Real-IP",
                    b"X_Real_IP",
                    b"CF-Connecting-IP",
                    b"True-Client-IP",
                    b"X-Client-IP",
                    b"Client-IP",
                    b"X-Cluster-Client-IP",
                    b"Fastly-Client-IP",
                    b"Fly-Client-IP",
                    b"X-Original-Forwarded-For",
                    b"X-Scheme",
                    b"Front_End-Https",
                    b"CF-Visitor",
                    b"X_Original_URL",
                    b"X-Rewrite-URL",
                    b"X-Host",
                    b"Remote_User",
                    b"X-SSL_Client-Verify",
                    b"X-Remote-Addr",
                    b"X-Envoy-External-Address",
                    b"X_Request_ID",
                )
            ],
        ),
    ),
    Valid(
        "T02 an underscore is no hyphen",
        request(
            b"POST",
            b"/case",
            b"Content_Length: 900",
            b"Transfer_Encoding: chunked",
            b"Content-Length: 5",
            body=b"hello",
        ),
        method="POST",
        fields=(("content-length", "5"),),
        body=b"hello",
    ),
    Valid(
        "HTTP/1.0",
        request(b"GET", b"/case").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ),
]


def test_valid_table_is_large_and_without_doubles() -> None:
    """At least 25 valid requests, each with a name of its own."""
    assert len(VALID) >= 25
    assert len({str(case) for case in VALID}) == len(VALID)


def _check_relayed(world: World, case: Valid) -> None:
    events = world.check_neighbour()
    assert [event["event"] for event in events] == ["run", "body"], events
    run, body = events
    assert run["method"] == case.method
    assert run["target"].encode("latin-1") == case.target
    assert run["client"][0] == "127.0.0.1"
    assert run["scheme"] == "http"
    given = [tuple(field) for field in run["headers"]]
    ours = [field for field in given if field[0] in EDGE_FIELDS]
    assert [name for name, _ in ours] == sorted(EDGE_FIELDS, key=[n for n, _ in ours].index)
    assert all("6.6.6.6" not in value for _, value in given)
    rest = [field for field in given if field[0] not in EDGE_FIELDS]
    assert rest[0] == ("host", HOST.decode())
    if case.name == "TE: trailers stays":
        assert rest[1:] == [("te", "trailers")]
    else:
        assert rest[1:] == list(case.fields)
    assert body["size"] == len(case.body)
    assert body["body"] == case.body.decode("latin-1")


@pytest.mark.parametrize("case", VALID, ids=str)
def test_valid_request_is_relayed_byte_for_byte(world: World, case: Valid) -> None:
    """The app runs it once and sees what was sent; the visitor gets its answer."""
    with world.wire() as wire:
        wire.send(case.data)
        answer = wire.answer()
    assert answer.status == 200
    assert answer.body == case.target + b" %d" % len(case.body)
    _check_relayed(world, case)


@pytest.mark.parametrize("case", [case for case in VALID if len(case.data) < 400], ids=str)
def test_valid_request_in_single_bytes(world: World, case: Valid) -> None:
    """T57: it may come in segments of one byte."""
    with world.wire() as wire:
        for at in range(len(case.data)):
            wire.send(case.data[at : at + 1])
        assert wire.answer().status == 200
    _check_relayed(world, case)


def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    """Requests that come in one piece get their answers one after the other."""
    targets = [b"/pipelined/%d" % number for number in range(50)]
    with world.wire() as wire:
        wire.send(b"".join(request(b"GET", target) for target in targets))
        for target in targets:
            assert wire.answer().body == target + b" 0"
        assert not wire.buffer
    events = world.check_neighbour()
    run = [event["target"].encode() for event in events if event["event"] == "run"]
    assert run == targets


def test_pipelined_requests_behind_bodies(world: World) -> None:
    """The end of a body is the start of the next request, for both framings."""
    data = request(b"POST", b"/one", b"Content-Length: 5", body=b"hello")
    data += request(b"POST", b"/two", CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n")
    data += request(b"GET", b"/three")
    with world.wire() as wire:
        wire.send(data)
        assert [wire.answer().body for _ in range(3)] == [b"/one 5", b"/two 5", b"/three 0"]
    world.check_neighbour()


def test_requests_behind_a_close_are_not_run(world: World) -> None:
    """``Connection: close`` ends the connection after its answer."""
    with world.wire() as wire:
        wire.send(request(b"GET", b"/last", b"Connection: close") + request(b"GET", b"/smuggled"))
        answer = wire.answer()
        assert answer.field(b"connection") == b"close"
        assert wire.rest() == b""
    assert {event["target"] for event in world.check_neighbour()} == {"/last"}


def test_body_that_the_app_left_is_no_request(world: World) -> None:
    """T10: an app answers without reading; a body that is here is skipped, the next is served."""
    body = request(b"GET", b"/smuggled")
    with world.wire() as wire:
        wire.send(
            request(b"POST", b"/early", b"Content-Length: %d" % len(body), body=body)
            + request(b"GET", b"/next")
        )
        assert wire.answer().body == b"early"
        assert wire.answer().body == b"/next 0"
    targets = {event["target"] for event in world.check_neighbour()}
    assert targets == {"/early", "/next"}


def test_body_that_comes_after_the_answer_is_no_request(world: World) -> None:
    """T10: an app answers before the body has come; the connection closes, nothing of it runs."""
    with world.wire() as wire:
        wire.send(request(b"POST", b"/early", b"Content-Length: 500"))
        assert wire.answer().body == b"early"
        wire.send(request(b"GET", b"/smuggled") * 9)
        assert wire.rest() == b""
    assert {event["target"] for event in world.check_neighbour()} == {"/early"}


def test_expectation_is_met_when_the_app_reads(world: World) -> None:
    """T10: 100 comes first, then the answer; the body follows the 100."""
    with world.wire() as wire:
        wire.send(request(b"POST", b"/case", b"Expect: 100-continue", b"Content-Length: 5"))
        assert wire.line_block() == b"HTTP/1.1 100 Continue"
        wire.send(b"hello")
        assert wire.answer().body == b"/case 5"
    world.check_neighbour()


def test_expectation_is_not_met_when_the_app_does_not_read(world: World) -> None:
    """T10: the final answer comes without a 100, and the connection closes."""
    with world.wire() as wire:
        wire.send(request(b"POST", b"/early", b"Expect: 100-continue", b"Content-Length: 5"))
        assert wire.line_block().startswith(b"HTTP/1.1 200")
        assert wire.rest() == b"early"
    world.check_neighbour()


def test_expectation_without_waiting(world: World) -> None:
    """T10: a visitor that sends its body at once gets an answer, whether or not a 100 precedes."""
    with world.wire() as wire:
        wire.send(
            request(b"POST", b"/case", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello")
        )
        assert wire.answer().body == b"/case 5"
    world.check_neighbour()


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_head_has_no_body(world: World, version: bytes) -> None:
    """HEAD gets the length of what GET would, and nothing more."""
    data = request(b"HEAD", b"/bytes/70000", b"Connection: keep-alive")
    with world.wire() as wire:
        wire.send(data.replace(b"HTTP/1.1", version))
        answer = wire.answer(b"HEAD")
        assert answer.field(b"content-length") == b"70000"
        wire.send(request(b"GET", b"/after"))
        assert wire.answer().body == b"/after 0"
    world.check_neighbour()


@pytest.mark.parametrize("status", [204, 304])
def test_bodiless_statuses_keep_the_connection(world: World, status: int) -> None:
    """204 and 304 have no body, and the next answer follows at once."""
    with world.wire() as wire:
        wire.send(request(b"GET", b"/status/%d" % status) + request(b"GET", b"/after"))
        assert wire.answer().status == status
        assert wire.answer().body == b"/after 0"
    world.check_neighbour()


def _repeated(case: Callable[[], None]) -> None:
    """Run a case of a half-closed visitor; again, twice at most, where its answer was cut.

    A visitor that takes nothing for half a second after its FIN has left, and a loaded machine may
    stand still for so long. What is cut three times is cut for another reason.
    """
    for _ in range(2):
        with suppress(ConnectionResetError):
            case()
            return
    case()


@pytest.mark.parametrize("target", [b"/bytes/300000", b"/stream/300000", b"/case"])
def test_half_closed_visitor_gets_its_answer(world: World, target: bytes) -> None:
    """A visitor that has said all still reads the whole answer, and then an end, not a reset."""

    def case() -> None:
        with world.wire() as wire:
            wire.send(request(b"GET", target))
            wire.end()
            answer = wire.answer()
            assert answer.status == 200
            assert len(answer.body) in (300_000, 7)
            assert not wire.is_cut()

    _repeated(case)
    world.check_neighbour()


def test_long_answer_is_read_whole_by_a_half_closed_visitor(world: World) -> None:
    """Who takes what comes has not left, however long the answer is."""

    def case() -> None:
        with world.wire(receive_buffer=4096) as wire:
            wire.send(request(b"GET", b"/stream/3000000"))
            wire.end()
            body = wire.line_block() and b"".join(_slowly(wire, 3_000_000, seconds=2.0))
            assert len(body) == 3_000_000
            assert not wire.is_cut()

    _repeated(case)
    world.check_neighbour()


def test_pipelined_requests_of_a_half_closed_visitor(world: World) -> None:
    """All requests that came before the end are answered."""

    def case() -> None:
        with world.wire() as wire:
            wire.send(request(b"GET", b"/one") + request(b"GET", b"/two"))
            wire.end()
            assert wire.answer().body == b"/one 0"
            assert wire.answer().body == b"/two 0"
            assert not wire.is_cut()

    _repeated(case)
    world.check_neighbour()


def test_answer_before_a_close_is_read_whole_by_a_slow_visitor(world: World) -> None:
    """The connection closes after the last byte is taken, however long the visitor needs."""
    with world.wire(receive_buffer=4096) as wire:
        wire.send(request(b"GET", b"/stream/3000000", b"Connection: close"))
        world.wait_event("run", "/stream/3000000")
        body = wire.line_block() and b"".join(_slowly(wire, 3_000_000, seconds=4.0))
        assert len(body) == 3_000_000
        assert not wire.is_cut()
    world.check_neighbour()


def _slowly(wire: Wire, size: int, *, seconds: float) -> list[bytes]:
    """Read a chunked body, spread over some seconds."""
    parts: list[bytes] = []
    for part in wire.chunks():
        parts.append(part)
        time.sleep(seconds * len(part) / size)  # the pace is what is tested
    return parts


@pytest.mark.parametrize(
    "host",
    [
        b"SHOP.Example.TEST",
        b"shop.example.test.",
        b"shop.example.test:8443",
        b"shop.example.test:",
        b"sHOP.example.test.:1",
    ],
)
def test_one_hostname_in_all_its_spellings(world: World, host: bytes) -> None:
    """T28: case, a final dot and a port do not count; the app sees the field as it was sent."""
    with world.wire() as wire:
        wire.send(request(b"GET", b"/case", host=host))
        assert wire.answer().status == 200
    run = world.check_neighbour()[0]
    assert ["host", host.decode()] in run["headers"]


@pytest.mark.parametrize(
    "host",
    [
        b"example.test",
        b"evilshop.example.test",
        b"evil.shop.example.test",
        b"shop.example.test.evil.test",
        b"shop.example.tes",
        b"shop.example.testx",
        b"shopXexample.test",
        b"xn--shp-5qa.example.test",
        b"localhost",
        b"127.0.0.1",
        b"127.0.0.1:8000",
        b"[::1]",
        b"[::1]:8000",
        b"2130706433.example.test",
        b"shop",
    ],
)
def test_other_hostnames_reach_no_app(world: World, host: bytes) -> None:
    """T27, T28: only the registered name is served; another is told nothing, in either form."""
    with world.wire() as wire:
        wire.send(request(b"GET", b"http://" + host + b"/smuggled", host=host))
        assert wire.answer().status == 404
        wire.send(request(b"GET", b"/smuggled", host=host))
        answer = wire.answer()
        assert answer.status == 404
        assert answer.field(b"cache-control") == b"no-store"
        assert host not in answer.body
        wire.send(request(b"GET", b"/smuggled", host=host) * 2)
        assert [wire.answer().status for _ in range(2)] == [404, 404]
    assert world.check_neighbour() == []


def test_unknown_hostname_with_a_body_closes(world: World) -> None:
    """T28: a body for nobody is not read as a request."""
    with world.wire() as wire:
        wire.send(
            request(
                b"POST",
                b"/case",
                b"Content-Length: %d" % len(HIDDEN),
                host=b"other.example.test",
                body=HIDDEN,
            )
        )
        assert wire.answer().field(b"connection") == b"close"
        assert wire.rest() == b""
    assert world.check_neighbour() == []


def test_body_that_breaks_a_rule_after_the_answer_began(world: World) -> None:
    """T04, T39: an answer in progress is cut; a 400 in its middle would pass for a part of it."""
    with world.wire() as wire:
        wire.send(request(b"POST", b"/begin", CHUNKED, body=b"5\r\nhello\r\n"))
        head = wire.line_block()
        assert head.startswith(b"HTTP/1.1 200")
        assert wire.exactly(10) == b"5\r\nbegun\r\n"
        wire.send(b"0x5\r\nhello\r\n0\r\n\r\n")
        assert wire.is_cut()
        assert wire.buffer == b""
    world.check_neighbour()
