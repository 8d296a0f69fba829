"""Makes conversations up: valid ones mostly, with what is rare in real traffic made common."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

from hypothesis import strategies as st

from .script import (
    Accept,
    Action,
    Bad,
    Body,
    BodyKind,
    Close,
    Conversation,
    Deny,
    End,
    Exchange,
    Fields,
    FromApp,
    FromVisitor,
    Hint,
    Message,
    Ping,
    Raise,
    Read,
    Request,
    Send,
    Socket,
    Start,
    Step,
    Trailers,
    Turn,
    Wrong,
)
from .show import Shown
from .visit import KEY

_Draw = st.DrawFn

_METHODS: Final = (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND")
_SEGMENTS: Final = (
    b"",
    b"a",
    b"a.b;c=d",
    b"%2F",
    b"%00",
    b"%ff",
    b"%E2%82%AC",
    b"%e2%82",
    b"%25",
    b"%zz",
    b"%",
    b"..",
    b".",
    b"a+b",
    b"'()*!$&,=:@~",
    b"[x]",
    b"{x}|^`\\",
    b"<x>",
    b"x" * 3000,
)
_QUERIES: Final = (
    b"",
    b"?",
    b"??",
    b"?a=b&c",
    b"?a=%20%ff",
    b"?/?:@",
    b"?{}|^`\\",
    b"?a=b?c",
    b"?" + b"q" * 3000,
)
_NAMES: Final = (
    b"X-A",
    b"x-a",
    b"X-a",
    b"x-b",
    b"Cookie",
    b"cookie",
    b"Accept",
    b"content-type",
    b"Content-Type",
    b"Authorization",
    b"User-Agent",
    b"X-Request-ID",
    b"!#$%&'*+-.^_`|~9",
    b"x_under_score",
    b"Accept-Encoding",
    b"Range",
    b"If-None-Match",
    b"origin",
)
_VALUES: Final = (
    b"",
    b"1",
    b"a, b",
    b'a; q="x"',
    b"a=b; c=d",
    b"\xe4\xf6\xfc",
    b"\x80\xff",
    b"a\tb",
    b"a  b",
    b"text/html",
    b"v" * 5000,
)
_HOPS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"Connection", b"keep-alive"),
    (b"Connection", b"close"),
    (b"Connection", b"Close, x-a"),
    (b"Connection", b"x-a"),
    (b"Keep-Alive", b"timeout=5"),
    (b"TE", b"trailers"),
    (b"TE", b"gzip, trailers;q=0.5"),
    (b"Upgrade", b"h2c"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"X-Forwarded-For", b"10.1.2.3"),
    (b"X-Forwarded-Proto", b"gopher"),
    (b"X-Real-IP", b"10.1.2.3"),
    (b"Forwarded", b"for=10.1.2.3"),
    (b"X-Forwarded-Host", b"evil.example"),
    (b"Trailer", b"x-t"),
)
_DATA: Final = (b"", b"x", b"hello", b"0\r\n\r\n", bytes(range(256)), b"b" * 9000, b"c" * 70000)
_SIZES: Final = (b"l" * 200_000,)
_EXTENSIONS: Final = (b"", b";a", b";a=b", b';a="b c"', b" ;a=b", b";a;b=c")
_TRAILER_FIELDS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-t", b"1"),
    (b"X-T", b""),
    (b"x-checksum", b"\xe4"),
    (b"content-length", b"3"),
    (b"Host", b"other.example"),
    (b"transfer-encoding", b"chunked"),
)
_STATUSES: Final = (200, 200, 200, 201, 204, 206, 207, 302, 304, 400, 404, 418, 451, 500, 503, 299)
_RESPONSE_NAMES: Final = (
    b"x-a",
    b"X-B",
    b"Set-Cookie",
    b"set-cookie",
    b"content-type",
    b"vary",
    b"etag",
    b"location",
    b"Cache-Control",
)
_RESPONSE_VALUES: Final = (
    b"",
    b"1",
    b"a=b; Path=/",
    b"text/plain",
    b"a, b",
    b"\xe4\xf6",
    b"a\tb",
    b"v" * 3000,
)
_RARE_RESPONSE_FIELDS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"connection", b"close"),
    (b"Connection", b"keep-alive"),
    (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
    (b"server", b"app"),
    (b"transfer-encoding", b"chunked"),
    (b"x-a", b" spaced "),
    (b"x-bad", b"a\r\nb: c"),
    (b"x bad", b"1"),
    (b"x-nul", b"\x00"),
    (b"content-length", b"x"),
    (b"keep-alive", b"timeout=1"),
)


_field = st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES))
_text_value = st.binary(max_size=12).map(
    lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F).strip()
)
_fields: st.SearchStrategy[Fields] = st.lists(
    st.one_of(_field, _field, st.tuples(st.sampled_from(_NAMES), _text_value)), max_size=4
).map(tuple)
_data = st.one_of(
    st.sampled_from(_DATA), st.binary(max_size=40), st.sampled_from(_DATA), st.sampled_from(_SIZES)
)
_cuts = st.lists(st.integers(0, 100_000), max_size=3).map(tuple)


@st.composite
def targets(draw: _Draw) -> bytes:
    """A request target in origin-form, mostly."""
    if draw(st.integers(0, 19)) == 19:
        return draw(
            st.sampled_from(
                (
                    b"http://shop.example.test/abs?q",
                    b"http://shop.example.test",
                    b"http://SHOP.example.test/up",
                    b"https://shop.example.test/s",
                    b"http://shop.example.test?q",
                    b"/\xc3\xa9",
                    b"/a#b",
                    b"*",
                    b'/a"b',
                )
            )
        )
    path = b"/" + b"/".join(draw(st.lists(st.sampled_from(_SEGMENTS), max_size=4)))
    return path + draw(st.sampled_from(_QUERIES))


@st.composite
def bodies(draw: _Draw) -> Body:
    """A body with its framing."""
    kind = draw(st.sampled_from(BodyKind))
    if kind is BodyKind.NONE:
        return Body()
    pieces = tuple(draw(st.lists(_data, max_size=4)))
    if kind is BodyKind.LENGTH:
        return Body(kind, pieces)
    extensions = tuple(draw(st.lists(st.sampled_from(_EXTENSIONS), max_size=2)))
    trailers = draw(st.lists(st.sampled_from(_TRAILER_FIELDS), max_size=2).map(tuple))
    return Body(kind, pieces, extensions, trailers if draw(st.booleans()) else ())


@st.composite
def requests(draw: _Draw) -> Request:
    """A request."""
    method = draw(st.sampled_from(_METHODS))
    target = draw(targets())
    if target == b"*":
        method = b"OPTIONS"
    rare = draw(st.integers(0, 39))
    version = b"1.0" if draw(st.integers(0, 7)) == 7 else b"1.1"
    body = draw(bodies())
    if version == b"1.0" and body.kind is BodyKind.CHUNKED:
        body = Body(BodyKind.LENGTH, body.pieces)
    fields = list(draw(_fields))
    for hop in draw(st.lists(st.sampled_from(_HOPS), max_size=2)):
        fields.insert(draw(st.integers(0, len(fields))), hop)
    if body.data and version == b"1.1" and draw(st.integers(0, 7)) == 7:
        fields.append((b"Expect", b"100-continue"))
    return Request(
        method=draw(st.sampled_from((b"M-SEARCH", b"MKCOL", b"QUERY", b"FOO", b"get")))
        if rare == 39
        else method,
        target=target,
        version=version,
        fields=tuple(fields),
        body=body,
        empty_lines=1 + draw(st.integers(0, 1)) if rare == 38 else 0,
        separator=draw(st.sampled_from((b": ", b": ", b":", b":  \t"))),
    )


_response_field = st.tuples(st.sampled_from(_RESPONSE_NAMES), st.sampled_from(_RESPONSE_VALUES))


@st.composite
def response_fields(draw: _Draw) -> Fields:
    """An app's fields, without Content-Length."""
    fields = draw(st.lists(_response_field, max_size=4))
    if draw(st.integers(0, 9)) == 9:
        fields.append(draw(st.sampled_from(_RARE_RESPONSE_FIELDS)))
    return tuple(fields)


@st.composite
def responses(draw: _Draw) -> tuple[Action, ...]:
    """The messages of a response: right ones mostly."""
    actions: list[Action] = []
    if draw(st.integers(0, 9)) == 9:
        actions.append(Hint(tuple(draw(st.lists(st.just(b"</a.css>; rel=preload"), max_size=2)))))
    pieces = draw(st.lists(_data, max_size=4))
    fields = draw(response_fields())
    length = sum(map(len, pieces))
    framing = draw(st.integers(0, 9))
    if framing < 4:
        times = 2 if draw(st.integers(0, 19)) == 19 else 1
        fields += ((b"Content-Length", b"%d" % length),) * times
    elif framing == 8:
        fields += ((b"content-length", b"%d" % (length + draw(st.integers(1, 3)))),)
    elif framing == 9:
        fields += ((b"content-length", b"%d" % max(0, length - draw(st.integers(1, 3)))),)
    trailers: Fields | None = None
    if draw(st.integers(0, 9)) == 9:
        trailers = draw(st.lists(st.sampled_from(_TRAILER_FIELDS), max_size=3).map(tuple))
    actions.append(Start(draw(st.sampled_from(_STATUSES)), fields, trailers is not None))
    actions += [Send(piece, more=True) for piece in pieces[:-1]]
    last = pieces[-1] if pieces else b""
    if draw(st.booleans()):
        actions += [Send(last, more=True), Send(b"")]
    else:
        actions.append(Send(last))
    if trailers is not None:
        half = len(trailers) // 2
        actions += [Trailers(trailers[:half], more=True), Trailers(trailers[half:])]
    return tuple(actions)


@st.composite
def apps(draw: _Draw) -> tuple[Action, ...]:
    """What an app does with one request that it may answer."""
    reads: tuple[Action, ...] = draw(
        st.sampled_from(((Read.BODY,), (Read.BODY,), (Read.ONCE,), (), (Read.TURN,)))
    )
    response = draw(responses())
    after: tuple[Action, ...] = draw(
        st.sampled_from(((), (), (Read.ONCE,), (Read.TURN, Read.TURN), (Read.DISCONNECT,)))
    )
    actions: tuple[Action, ...] = (*reads, *response, *after)
    # Where there are trailers, uvicorn's response ends before them: nothing is put behind it.
    is_last = [isinstance(one, Send) and not one.more for one in actions]
    has_trailers = any(isinstance(one, Trailers) for one in actions)
    most = is_last.index(True) if has_trailers else len(actions)
    fault = draw(st.integers(0, 19))
    if fault >= 16:
        at = draw(st.integers(0, most))
        if fault == 19:
            return (*actions[:at], Raise())
        if fault == 18:
            return actions[:at]
        kinds = ("http.response.body", "http.response.start", "websocket.accept", "nonsense")
        return (*actions[:at], Wrong(draw(st.sampled_from(kinds))), *actions[at:])
    if Read.BODY not in actions and draw(st.integers(0, 3)) == 3:
        at = draw(st.integers(0, most))
        return (*actions[:at], Read.BODY, *actions[at:])  # late, or between
    return actions


def _exchange(
    request: Request, app: tuple[Action, ...], cuts: tuple[int, ...], *, takes_trailers: bool
) -> Exchange:
    if takes_trailers and any(isinstance(one, Trailers) for one in app):
        request = replace(request, fields=(*request.fields, (b"TE", b"trailers")))
    starts = [at for at, one in enumerate(app) if isinstance(one, Start)]
    if starts and Read.BODY in app[starts[0] :]:
        # With a final response in hand a visitor sends no body, for which this app waits.
        fields = tuple(field for field in request.fields if field[0] != b"Expect")
        request = replace(request, fields=fields)
    return Exchange(request, app, cuts)


def _without_close(exchange: Exchange) -> Exchange:
    """Nothing may be sent behind a request that says close (RFC 9112, section 9.6)."""
    fields = tuple(
        (name, value)
        for name, value in exchange.request.fields
        if name != b"Connection" or b"close" not in value.lower()
    )
    return replace(exchange, request=replace(exchange.request, fields=fields))


@st.composite
def conversations(draw: _Draw) -> Conversation:
    """One connection that speaks HTTP."""
    end = draw(st.sampled_from((*[End.PROBE] * 6, *End)))
    count = draw(st.sampled_from((1, 1, 1, 1, 2, 3)))
    exchanges = [
        _exchange(draw(requests()), draw(apps()), draw(_cuts), takes_trailers=draw(st.booleans()))
        for _ in range(count)
    ]
    is_pipelined = count > 1 and end in (End.PROBE, End.HALF_CLOSE) and draw(st.booleans())
    if is_pipelined:
        exchanges = [_without_close(exchange) for exchange in exchanges]
    if end in (End.PROBE, End.HALF_CLOSE, End.LEAVE_IN_HEAD):
        return Conversation(tuple(exchanges), is_pipelined, end)
    last = exchanges[-1]
    request, app = last.request, last.app
    fields = tuple(field for field in request.fields if field[0] != b"Expect")
    body = request.body
    late: tuple[Action, ...] = draw(
        st.sampled_from(((), (Send(b"late", more=True),), (Read.ONCE,)))
    )
    if end is End.LEAVE_IN_BODY:
        body = Body(
            BodyKind.CHUNKED if body.kind is BodyKind.CHUNKED else BodyKind.LENGTH,
            (*body.pieces, b"much of a body"),
        )
        app = (Read.BODY, Start(200), Send(b"late")) if draw(st.booleans()) else (Read.BODY,)
    elif end is End.LEAVE_EARLY:
        app = (Read.BODY, Read.DISCONNECT, Start(200), *late, Send(b"end"))
    else:
        app = (Read.BODY, Start(200), Send(b"first", more=True), Read.DISCONNECT, *late)
    request = Request(
        method=b"POST" if request.method == b"HEAD" else request.method,
        target=request.target,
        version=b"1.1",
        fields=fields,
        body=body,
    )
    exchanges[-1] = Exchange(request, app, last.cuts)
    return Conversation(tuple(exchanges), is_pipelined=False, end=end)


_CODES: Final = (None, 1000, 1001, 1003, 1008, 1011, 1012, 3000, 4000, 4999)
_REASONS: Final = ("", "bye", "gr\xfc\xdfe", "r" * 123)
_close = st.builds(
    lambda code, reason: Close(code, None if code is None else reason),
    st.sampled_from(_CODES),
    st.sampled_from(_REASONS),
)
_app_close = st.builds(
    Close,
    st.sampled_from((*_CODES, 1005, 1006, 999, 5000)),
    st.sampled_from((None, *_REASONS, "r" * 124)),
)


@st.composite
def messages(draw: _Draw, *, is_visitors: bool) -> Message:
    """A message of a WebSocket; a visitor's may be fragmented."""
    is_text = draw(st.booleans())
    if is_text:
        text = draw(st.sampled_from(("", "a", "h\xe9llo \u20ac", "x" * 130, "y" * 70000)))
        data = text.encode()
    else:
        data = draw(st.sampled_from((b"", b"\x00\xff", bytes(126), bytes(65536), bytes(200000))))
    if not is_visitors:
        return Message((data,), is_text)
    cut = sorted(draw(st.lists(st.integers(0, len(data)), max_size=2)))
    edges = [0, *cut, len(data)]
    parts = tuple(data[a:b] for a, b in pairwise(edges))
    ping = draw(st.sampled_from((None, None, b"", b"mid"))) if len(parts) > 1 else None
    return Message(parts, is_text, ping)


_NOT_OF_101: Final = frozenset({b"content-length", b"transfer-encoding", b"connection", b"date"})
"""What uvicorn passes on with its own beside it, so that nothing can be compared."""

_step: st.SearchStrategy[Step] = st.one_of(
    st.builds(FromApp, messages(is_visitors=False)),
    st.builds(FromVisitor, messages(is_visitors=True)),
    st.builds(FromVisitor, messages(is_visitors=True)),
    st.builds(Ping, st.sampled_from((b"", b"p", bytes(125)))),
)
_ending: st.SearchStrategy[Step] = st.one_of(
    st.builds(FromApp, _app_close),
    st.builds(FromVisitor, _close),
    st.sampled_from(Turn),
    st.sampled_from(Bad),
)


_handshake_fields: st.SearchStrategy[Fields] = _fields.map(
    lambda fields: tuple(field for field in fields if field[0] != b"origin")
)
"""Without Origin: websockets refuses two of them, which leaves one uvicorn to compare with."""


@st.composite
def handshakes(draw: _Draw) -> Request:
    """A WebSocket handshake."""
    fields = [
        (b"Upgrade", draw(st.sampled_from((b"websocket", b"WebSocket")))),
        (b"Connection", draw(st.sampled_from((b"Upgrade", b"keep-alive, Upgrade", b"upgrade")))),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", KEY),
        *draw(_handshake_fields),
    ]
    offers = draw(
        st.sampled_from(((), (), (b"a",), (b"a, b",), (b"a", b"b,c"), (b"chat.v1 ,\tb",)))
    )
    fields += [(b"Sec-WebSocket-Protocol", offer) for offer in offers]
    if draw(st.integers(0, 5)) == 5:
        fields.append((b"Sec-WebSocket-Extensions", b"permessage-deflate"))
    return Request(target=draw(targets()), fields=tuple(fields))


@st.composite
def sockets(draw: _Draw) -> Socket:
    """One WebSocket."""
    request = draw(handshakes())
    offers = [
        one.strip().decode()
        for value in request.values(b"sec-websocket-protocol")
        for one in value.split(b",")
    ]
    subprotocol = draw(st.sampled_from((None, *offers)))
    fields = draw(response_fields())
    reads: tuple[Action, ...] = (Read.ONCE,) if draw(st.integers(0, 9)) else ()
    kind = draw(st.integers(0, 15))
    opening: tuple[Action, ...]
    if kind < 10:
        fields = tuple(field for field in fields if field[0].lower() not in _NOT_OF_101)
        opening = (Accept(subprotocol, fields),)
    elif kind == 10:
        opening = (Close(*draw(st.sampled_from(((None, None), (1008, None), (4001, "no"))))),)
    elif kind <= 12:
        pieces = tuple(
            draw(st.lists(st.sampled_from((b"", b"no", b"d" * 70000)), min_size=1, max_size=3))
        )
        if draw(st.booleans()):
            fields += ((b"content-length", b"%d" % sum(map(len, pieces))),)
        opening = (
            Deny(draw(st.sampled_from((401, 403, 404, 429, 200, 302, 500))), fields, pieces),
        )
    elif kind == 13:
        opening = (Raise(),)
    elif kind == 14:
        opening = draw(
            st.sampled_from(
                (
                    (Message((b"early",), is_text=True),),
                    (Wrong("http.response.start"),),
                    (Wrong("websocket.http.response.body"),),
                )
            )
        )
    else:
        opening = ()
    if kind >= 10:
        return Socket(request, (*reads, *opening))
    steps = (*draw(st.lists(_step, max_size=5)), draw(_ending))
    if not reads:  # the connect message is still there
        opening = (*opening, Read.ONCE)
    afters: list[tuple[Action, ...]] = [(), (), (Message((b"late",), is_text=True),), (Raise(),)]
    if isinstance(steps[-1], FromApp):
        afters += [(Read.ONCE,), (Close(1000),)]
    after = draw(st.sampled_from(afters))
    is_burst = draw(st.booleans())
    if isinstance(steps[-1], FromApp) or steps[-1] in (Turn.RAISE, Turn.RETURN):
        # A ping would race with the app's close, unless a message follows that the app waits for.
        heard = [at for at, step in enumerate(steps) if isinstance(step, FromVisitor)]
        last = heard[-1] if heard else -1
        steps = tuple(
            step for at, step in enumerate(steps) if at < last or not isinstance(step, Ping)
        )
    if is_burst:
        steps = tuple(_without_ping(step) for step in steps if not isinstance(step, Ping))
    return Socket(request, (*reads, *opening), steps, after, is_burst)


def _without_ping(step: Step) -> Step:
    if isinstance(step, FromVisitor) and isinstance(step.what, Message):
        return FromVisitor(Message(step.what.parts, step.what.is_text))
    return step


cases: st.SearchStrategy[Shown] = st.one_of(conversations(), conversations(), sockets()).map(Shown)
"""Two connections that speak HTTP for each WebSocket."""
