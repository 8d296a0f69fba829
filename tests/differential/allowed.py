"""Every difference between the tunnel and uvicorn that is allowed, with its reason.

A difference that is a defect of the tunnel is mended and never stands here. The list is part of
``docs/compatibility.md``, which a test compares with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Final

from asgi_tunnel_edge.identity.fields import is_identity

from .compare import MISSING, NO_TRAILERS, Difference, expected_trailers
from .script import (
    HOST,
    Action,
    Bad,
    BodyKind,
    Close,
    Deny,
    Exchange,
    FromApp,
    FromVisitor,
    Hint,
    Read,
    Send,
    Socket,
    Start,
    Trailers,
    Turn,
)


class Ends(Enum):
    """What cannot be compared behind an allowed difference: the two go different ways."""

    NOTHING = auto()
    EXCHANGE = auto()  # the exchanges behind this one
    NOW = auto()  # the rest of this one too


@dataclass(frozen=True)
class Allowed:
    """One allowed difference.

    Attributes:
        name: Short.
        what: What differs.
        why: Why that is right.
        covers: Whether a difference is this one.
        ends: From where on the conversation cannot be compared.
    """

    name: str
    what: str
    why: str
    covers: Callable[[Difference], bool]
    ends: Ends = Ends.NOTHING


_LOST: Final = frozenset({Turn.LEAVE, Turn.FINISH})
_LEFT_OPEN: Final[dict[tuple[object, str], object]] = {
    (Turn.RETURN, "websocket close code"): 1000,
    (Turn.RETURN, "websocket close reason"): b"",
    (Turn.RAISE, "websocket close code"): 1011,
    (Turn.RAISE, "websocket close reason"): b"",
}
_OFFERS: Final = frozenset({b"sec-websocket-protocol", b"sec-websocket-extensions"})
_HEX: Final = re.compile(rb"[0-9a-f]{32}").fullmatch
_OWN_ORDER: Final = frozenset({"date", "server", "connection", "transfer-encoding"})


def _own_field(found: Difference) -> bool:
    name = _request_field(found)
    value = found.tunnel
    if not isinstance(value, list) or len(value) != 1:
        return False
    if name == b"x-request-id":
        return not found.exchange.request.values(name) and bool(_HEX(value[0]))
    host = found.exchange.request.host or HOST
    own = {
        b"x-forwarded-for": b"127.0.0.1",
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": host,
        b"x-real-ip": b"127.0.0.1",
    }
    return name in own and value == [own[name]]


def _request_field(found: Difference) -> bytes:
    """The name of the request field that a difference is about; empty for another one."""
    prefix = "app request field "
    return found.key.removeprefix(prefix).encode("latin-1") if found.key.startswith(prefix) else b""


def _response_field(found: Difference) -> bytes:
    prefix = "response field "
    return found.key.removeprefix(prefix).encode("latin-1") if found.key.startswith(prefix) else b""


def _identity_field(found: Difference) -> bool:
    name = _request_field(found)
    return bool(name) and is_identity(name.replace(b"_", b"-")) and found.tunnel == MISSING


def _hop_field(found: Difference) -> bool:
    name = _request_field(found)
    named = {
        one.strip().lower()
        for value in found.exchange.request.values(b"connection")
        for one in value.split(b",")
    }
    hops = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"}
    hops |= {b"transfer-encoding"} | named
    if name == b"te":
        return found.tunnel == MISSING or set(_values(found.tunnel)) == {b"trailers"}
    return name in hops and found.tunnel == MISSING


def _values(value: object) -> list[bytes]:
    return value if isinstance(value, list) else []


def _is(pattern: str, tunnel: object = ...) -> Callable[[Difference], bool]:
    def covers(found: Difference) -> bool:
        return fnmatchcase(found.key, pattern) and tunnel in (..., found.tunnel)

    return covers


def _order_of_own(found: Difference) -> bool:
    """Whether the order is the same without the fields that servers add."""
    return found.key == "response order" and found.is_same_order(_OWN_ORDER)


def _date(found: Difference) -> bool:
    return _response_field(found) == b"date" and isinstance(found.tunnel, list)


class _Stage(Enum):
    """How far a response was when its app failed."""

    FINE = auto()
    BEFORE = auto()
    WITHIN = auto()
    AFTER = auto()


def _stage(found: Difference, number: int | None = None) -> _Stage:
    """How far the app was, in the tunnel, when it failed in an exchange."""
    assert not isinstance(found.case, Socket)
    number = found.number if number is None else number
    facts, script = found.all_facts, found.case.exchanges[number].app
    outcome = facts.get(f"{number} app outcome")
    if outcome is None:
        return _Stage.FINE
    actions = facts[f"{number} app actions"]
    assert isinstance(actions, int)
    done = script[: actions - (outcome != "returned")]
    starts = [one for one in done if isinstance(one, Start)]
    ends = any(
        isinstance(one, Trailers if starts and starts[0].has_trailers else Send) and not one.more
        for one in done
    )
    if ends:
        return _Stage.FINE if outcome == "returned" else _Stage.AFTER
    return _Stage.WITHIN if starts else _Stage.BEFORE


def _http(found: Difference) -> bool:
    return not isinstance(found.case, Socket) and found.number >= 0


def _failed_before(found: Difference) -> bool:
    return (
        _http(found)
        and found.key.startswith("response ")
        and found.fact("response status") == 500
        and found.fact("response body") in (b"Internal Server Error", b"")
        and _stage(found) is _Stage.BEFORE
    )


def _failed_within(found: Difference) -> bool:
    return (
        _http(found)
        and found.key.startswith("response ")
        and (found.fact("response status") == 502 or found.fact("response is complete") is False)
        and _stage(found) is _Stage.WITHIN
    )


def _failed_earlier(found: Difference) -> bool:
    if isinstance(found.case, Socket):
        return False
    number = len(found.case.exchanges) if found.number < 0 else found.number
    if all(_stage(found, one) is _Stage.FINE for one in range(number)):
        return False
    if found.key == "connection is kept":
        return found.tunnel is True
    if found.number < 0:
        return False
    # The next call has begun if its request came at once, and perhaps its response.
    received = found.reference_facts("app received")
    is_cut = all(one == [{"type": "http.disconnect"}] for one in received)
    return (is_cut and found.key.startswith("app ")) or all(
        one in (None, MISSING) for one in found.reference_facts("response status")
    )


def _early(found: Difference) -> bool:
    """Whether the response came, or may have come, before the end of the request."""
    if not _http(found) or found.exchange.request.body.kind is BodyKind.NONE:
        return False
    script = found.exchange.app
    starts = [at for at, one in enumerate(script) if isinstance(one, Start)]
    first = starts[0] if starts else len(script)
    return Read.BODY not in script[:first]


def _closes_early(found: Difference) -> bool:
    return (
        found.key in {"response says close", "response field connection"}
        and found.fact("response says close") is True
        and _early(found)
    )


def _before(found: Difference) -> list[Exchange]:
    """The exchanges before the one that a difference is about, and this one."""
    if isinstance(found.case, Socket):
        return []
    exchanges = list(found.case.exchanges)
    return exchanges if found.number < 0 else exchanges[: found.number + 1]


def _uvicorn_gave_up(found: Difference) -> bool:
    """Whether each uvicorn has refused, failed or broken off, here or before."""
    numbers = range(len(_before(found)))
    return found.tunnel_is_fine and all(
        bool(one["-1 connection trouble"])
        or any(
            one.get(f"{number} response status", MISSING) in (400, None, MISSING)
            or one.get(f"{number} app outcome", MISSING) in ("raised", "running")
            or one.get(f"{number} response is complete") is False
            for number in numbers
        )
        for one in found.all_references
    )


def _bodiless(found: Difference) -> bool:
    """Whether a response, here or before, is one without a body, and the app has one for it."""
    return _uvicorn_gave_up(found) and any(
        isinstance(one, Start) and one.status in (204, 304) and _has_body(exchange, one)
        for exchange in _before(found)
        for one in exchange.app
    )


def _has_body(exchange: Exchange, start: Start) -> bool:
    """Whether an app sends a body, or announces one."""
    sends = any(isinstance(one, Send) and one.data for one in exchange.app)
    return sends or any(value != b"0" for value in _lengths(start))


def _refused_by_uvicorn(found: Difference) -> bool:
    """Whether uvicorn refuses a space before a chunk's extension."""
    return _uvicorn_gave_up(found) and any(
        exchange.request.body.kind is BodyKind.CHUNKED
        and any(one[:1] == b" " for one in exchange.request.body.extensions)
        for exchange in _before(found)
    )


def _refused_by_each(found: Difference) -> bool:
    """Whether httptools refuses one thing, here or before, and h11 another one."""
    exchanges = _before(found)
    return (
        _uvicorn_gave_up(found)
        and any(map(_refused_by_httptools, exchanges))
        and any(map(_refused_by_h11, exchanges))
    )


def _refused_by_httptools(exchange: Exchange) -> bool:
    target = exchange.request.target
    return exchange.request.method == b"FOO" or (
        target[:4] == b"http" and target.count(b"/") == 2  # no path
    )


def _refused_by_h11(exchange: Exchange) -> bool:
    return exchange.request.empty_lines > 0 or any(
        isinstance(one, Start) and any(value != value.strip(b" ") for _, value in one.fields)
        for one in exchange.app
    )


def _http10_kept(found: Difference) -> bool:
    if found.exchange.request.version != b"1.0":
        return False
    return found.key in {"response says close", "response field connection"} and found.fact(
        "response field connection"
    ) == [b"keep-alive"]


def _response_hop(found: Difference) -> bool:
    name = _response_field(found)
    if name in {b"keep-alive", b"transfer-encoding", b"upgrade", b"te"}:
        return found.tunnel == MISSING
    return (
        name == b"connection"
        and found.tunnel in (MISSING, [b"keep-alive"], [b"close"])
        and found.fact("response says close") in found.reference_facts("response says close")
    )


def _is_pipelined(found: Difference) -> bool:
    return not isinstance(found.case, Socket) and found.case.is_pipelined


def _no_continue(found: Difference) -> bool:
    """Whether uvicorn asks for a body that it has."""
    hints = [one for one in found.exchange.app if isinstance(one, Hint)]
    links = {(103, tuple((b"link", link) for link in one.links)) for one in hints}
    return (
        found.key.startswith("response interim ")
        and _is_pipelined(found)
        and found.exchange.request.expects_continue
        and (found.tunnel == MISSING or found.tunnel in links)
    )


def _cut_by_uvicorn(found: Difference) -> bool:
    """Whether uvicorn closes while it has not read all requests, and so loses the response."""
    return (
        _http(found)
        and (_early(found) or _is_pipelined(found) or _is_refused(found))
        and (found.key.startswith("response ") or found.key == "connection is kept")
        and found.fact("response is complete") is True
        and all(
            is_complete is not True or status == 400
            for is_complete, status in zip(
                found.reference_facts("response is complete"),
                found.reference_facts("response status"),
                strict=True,
            )
        )
    )


def _odd_trailers(found: Difference) -> bool:
    return (bool(_request_field(found)) or _uvicorn_gave_up(found)) and any(
        name.lower() in NO_TRAILERS
        for exchange in _before(found)
        for name, _ in exchange.request.body.trailers
    )


def _own_coding(found: Difference) -> bool:
    """Whether an app names a transfer coding, which uvicorn frames the response by."""
    if found.key == "connection is kept":
        return found.tunnel is False and any(map(_names_coding, _before(found)))
    if not _names_coding(found.exchange):
        return False
    if found.key in {"app error", "app outcome", "app actions", "app received"}:
        return str(found.fact("app error")).startswith("mistake in ")
    if found.key == "response body":
        return found.fact("app error") == "mistake in Send"  # longer than its content-length
    return (
        found.key in {"response framing", "response flaws", "response field content-length"}
        and found.fact("response flaws") == []
    )


def _names_coding(exchange: Exchange) -> bool:
    return any(
        name.lower() == b"transfer-encoding"
        for one in exchange.app
        if isinstance(one, Start)
        for name, _ in one.fields
    )


def _trailers(found: Difference) -> bool:
    return found.key == "response trailers" and found.tunnel == expected_trailers(found.exchange)


def _reason(found: Difference) -> bool:
    status = found.fact("response status")
    known: dict[object, bytes] = {one.value: one.phrase.encode() for one in HTTPStatus}
    return found.key == "response reason" and found.tunnel == known.get(status, b"Unknown")


def _hint(found: Difference) -> bool:
    hints = [one for one in found.exchange.app if isinstance(one, Hint)]
    if not found.key.startswith("response interim ") or not hints:
        return False
    return found.tunnel == (103, tuple((b"link", link) for link in hints[0].links))


def _ending(found: Difference) -> object:
    """The last step of a WebSocket, or None."""
    if not isinstance(found.case, Socket) or not found.case.is_accepted or not found.case.steps:
        return None
    return found.case.steps[-1]


def _app_close(found: Difference) -> Close | None:
    """The close with which an app ends a WebSocket."""
    last = _ending(found)
    return last.what if isinstance(last, FromApp) and isinstance(last.what, Close) else None


def _cannot_close(close: Close) -> bool:
    code = 1000 if close.code is None else close.code
    is_code = (1000 <= code <= 1014 or 3000 <= code <= 4999) and code not in (1004, 1005, 1006)
    return not is_code or len((close.reason or "").encode()) > 123


def _bad_close(found: Difference) -> bool:
    close = _app_close(found)
    return (
        close is not None
        and _cannot_close(close)
        and found.fact("app error") == "mistake in Close"
        and found.fact("websocket close code") == 1011
        and found.fact("websocket close reason") == b""
    )


def _refused_head(found: Difference) -> bool:
    """Whether an app's fields cannot be sent, and the WebSocket's visitor gets 500."""
    return (
        isinstance(found.case, Socket)
        and str(found.fact("app error")).startswith("mistake in ")
        and found.fact("app error") != "mistake in Close"
        and found.fact("response status") == 500
        and found.fact("response body") == b"Internal Server Error"
    )


def _lengths(action: Action) -> list[bytes]:
    if not isinstance(action, Start | Deny):
        return []
    return [value for name, value in action.fields if name.lower() == b"content-length"]


def _left_open(found: Difference) -> bool:
    key = _ending(found), found.key
    return key in _LEFT_OPEN and found.tunnel == _LEFT_OPEN[key]


def _is_refused(found: Difference) -> bool:
    """Whether the edge has refused a request with 400, and the app has not seen it.

    A visitor that leaves in the middle does not read the response.
    """
    is_400 = found.fact("response status") in (400, MISSING)
    return is_400 and found.fact("app outcome") == MISSING


def _denied(found: Difference) -> bool:
    return isinstance(found.case, Socket) and found.fact("response status") not in (101, MISSING)


ALLOWED: Final[tuple[Allowed, ...]] = (
    Allowed(
        "fields of a proxy",
        "`x-forwarded-for`, `-proto`, `-host`, `x-real-ip` and, where the visitor sent none, "
        "`x-request-id` are added to the request",
        "apps and their logs look there; the scope says the same",
        _own_field,
    ),
    Allowed(
        "identity fields",
        "a visitor's own `forwarded`, `x-forwarded-*` and their like do not reach the app",
        "apps take them for the word of a proxy ([list](reference/identity-fields.md))",
        _identity_field,
    ),
    Allowed(
        "hop-by-hop fields of requests",
        "`connection`, what it names, `keep-alive`, `te`, `trailer`, `transfer-encoding` and "
        "`upgrade` do not reach the app; of `te` only `trailers` does",
        "they are about one connection (RFC 9110, section 7.6.1), and the app has none",
        _hop_field,
    ),
    Allowed(
        "extensions",
        "the scope offers `http.response.trailers`, `http.response.early_hint` and `asgi_tunnel`",
        "uvicorn has none of them",
        lambda found: (
            found.key
            in {
                "app scope extension http.response.trailers",
                "app scope extension http.response.early_hint",
                "app scope extension asgi_tunnel",
            }
        ),
    ),
    Allowed(
        "version of a WebSocket's messages",
        '`scope["asgi"]["spec_version"]` is 2.5, uvicorn\'s 2.4',
        "2.5 gives the app the reason of a close",
        _is("app scope asgi spec_version", "2.5"),
    ),
    Allowed(
        "Server",
        "no `server` field is added",
        "it tells a visitor nothing but what to attack",
        lambda found: found.key == "response field server" and found.tunnel in (MISSING, [b"app"]),
    ),
    Allowed(
        "Date",
        "an app's own `date` stays, where uvicorn adds a second one; else the seconds may differ",
        "a response has one Date (RFC 9110, section 6.6.1)",
        _date,
    ),
    Allowed(
        "order of added fields",
        "`date`, `connection` and `transfer-encoding` stand behind the app's fields",
        "the order of fields with different names means nothing (RFC 9110, section 5.3)",
        _order_of_own,
    ),
    Allowed(
        "early hints",
        "an app's `http.response.early_hint` is sent as 103",
        "uvicorn does not offer the extension",
        _hint,
    ),
    Allowed(
        "trailers",
        "an app's `http.response.trailers` reach a visitor that takes them (`te: trailers`), but "
        "for those that frame or route",
        "uvicorn does not offer the extension; RFC 9110, section 6.5.1",
        _trailers,
    ),
    Allowed(
        "the app fails before its response",
        "500 with a length, and the connection stays; uvicorn closes it, and sends no response "
        "when what the app wrote into `http.response.start` cannot be sent",
        "one failed call says nothing about the next request (RFC 9112, section 9.3)",
        _failed_before,
        Ends.EXCHANGE,
    ),
    Allowed(
        "the app fails within its response",
        "502 where nothing of the response has left, else the connection is reset; uvicorn sends "
        "what there is, and closes",
        "a reset cannot be taken for the end of a body (RFC 9112, section 8), and a status says "
        "more than a cut",
        _failed_within,
        Ends.EXCHANGE,
    ),
    Allowed(
        "the connection after an app's failure",
        "it stays, if the response was complete; uvicorn closes it",
        "the visitor has its response, and the next request may be another app's",
        _failed_earlier,
        Ends.NOW,
    ),
    Allowed(
        "early responses",
        "a response that begins before the request is complete closes the connection",
        "nobody knows whether the rest comes (RFC 9112, section 9.3); uvicorn reads on, however "
        "long it takes",
        _closes_early,
        Ends.EXCHANGE,
    ),
    Allowed(
        "204 and 304 with a body",
        "the body is dropped; uvicorn raises an error in the app, or sends it",
        "they have none (RFC 9110, sections 15.3.5 and 15.4.5), and apps that send one work on "
        "other servers",
        _bodiless,
        Ends.NOW,
    ),
    Allowed(
        "204 with a length",
        "an app's `content-length` of a 204 is dropped",
        "a 204 has none (RFC 9110, section 8.6)",
        lambda found: (
            found.fact("response status") == 204
            and found.key in {"response field content-length", "response flaws"}
            and found.tunnel in (MISSING, [])
        ),
    ),
    Allowed(
        "HTTP/1.0 and keep-alive",
        "the connection of a visitor that asks for `keep-alive` stays",
        "it may (RFC 9112, appendix C.2.2); uvicorn closes it",
        _http10_kept,
        Ends.EXCHANGE,
    ),
    Allowed(
        "HTTP/1.0 and chunks",
        "a response without a length ends with the connection; uvicorn with httptools sends chunks",
        "HTTP/1.0 cannot read them (RFC 9112, section 6.1)",
        lambda found: (
            found.exchange.request.version == b"1.0"
            and found.key in {"response framing", "response field transfer-encoding"}
            and found.tunnel in ("close", MISSING)
        ),
    ),
    Allowed(
        "one length",
        "an app's `content-length` that is there twice, and the same, is sent once",
        "a message has one (RFC 9110, section 8.6); uvicorn with httptools sends both",
        lambda found: (
            found.key in {"response field content-length", "response flaws", "response order"}
            and len(_values(found.fact("response field content-length"))) < 2
            and any(len(_lengths(one)) > 1 for one in found.exchange.app)
            and found.fact("response flaws") == []
        ),
    ),
    Allowed(
        "hop-by-hop fields of responses",
        "an app's `connection`, what it names, `keep-alive`, `transfer-encoding` and `upgrade` are "
        "dropped; its `connection: close` closes",
        "they are about one connection (RFC 9110, section 7.6.1)",
        _response_hop,
    ),
    Allowed(
        "spaces before a chunk's extension",
        "they are read; uvicorn responds with 400",
        "RFC 9112, section 7.1.1, allows them",
        _refused_by_uvicorn,
        Ends.NOW,
    ),
    Allowed(
        "what only one of uvicorn's readers refuses",
        "an unknown method and `http://host` without a path, which httptools refuses, and an empty "
        "line before a request and a value between spaces, which h11 refuses, are taken together "
        "too",
        "all are allowed (RFC 9110, section 9.1; RFC 9112, sections 2.2, 3.2.2 and 5.1)",
        _refused_by_each,
        Ends.NOW,
    ),
    Allowed(
        "an app's transfer-encoding",
        "it is dropped, and the response framed by its `content-length`, which then has to be "
        "right, or in chunks",
        "a response is framed once (RFC 9112, section 6.2), and the server frames it",
        _own_coding,
    ),
    Allowed(
        "100 for a body that is there",
        "it is not sent",
        "it may be left out (RFC 9110, section 10.1.1)",
        _no_continue,
    ),
    Allowed(
        "the target *",
        "it is refused with 400 for a WebSocket, and for every method but OPTIONS",
        "the form is for OPTIONS alone (RFC 9112, section 3.2.4)",
        lambda found: (
            found.exchange.request.target == b"*"
            and (isinstance(found.case, Socket) or found.exchange.request.method != b"OPTIONS")
            and _is_refused(found)
        ),
        Ends.NOW,
    ),
    Allowed(
        "a request that was not read",
        "its response arrives; uvicorn closes at once, and a reset overtakes the response",
        "the visitor has to be able to read it (RFC 9112, section 9.6)",
        _cut_by_uvicorn,
        Ends.EXCHANGE,
    ),
    Allowed(
        "request trailers that frame or route",
        "a trailer `transfer-encoding`, `content-length` or `host` is ignored, as all trailers "
        "are; uvicorn refuses some of them, or adds them to the scope's fields",
        "a recipient ignores what may not stand there (RFC 9110, section 6.5.1)",
        _odd_trailers,
        Ends.NOW,
    ),
    Allowed(
        "reason phrases",
        "they are the registered ones, and `Unknown` for another status; uvicorn's are mostly the "
        "same, or empty",
        "they mean nothing (RFC 9112, section 4)",
        _reason,
    ),
    Allowed(
        "absolute-form",
        "`http://host/path` reaches the app as `/path`, with a query also without a path; uvicorn "
        "with h11 and every WebSocket of uvicorn have the whole URL in the path, and httptools "
        "refuses it without a path",
        "the path is what follows the authority (RFC 9112, section 3.2.2)",
        lambda found: (
            found.exchange.request.target[:4] == b"http"
            and found.key in {"app scope path", "app scope raw_path", "app scope query_string"}
            and found.tunnel in {"/abs", b"/abs", "/", b"/", "/up", b"/up", "/s", b"/s", b"q", b""}
        ),
    ),
    Allowed(
        "a lost WebSocket",
        "the app gets the code 1006, of uvicorn 1005",
        "1005 is a close frame without a code (RFC 6455, section 7.1.5)",
        lambda found: (
            _ending(found) in _LOST and found.key == "app disconnect code" and found.tunnel == 1006
        ),
    ),
    Allowed(
        "a visitor's close",
        "the close frame that answers it repeats the code, not the reason",
        "RFC 6455, section 5.5.1, asks for no more",
        lambda found: (
            isinstance(_ending(found), FromVisitor)
            and found.key == "websocket close reason"
            and found.tunnel == b""
        ),
    ),
    Allowed(
        "messages to a visitor that has left",
        "an app that still sends gets an OSError, whoever ended the WebSocket and how; of uvicorn "
        "it gets another error or none, by how the visitor left",
        "the ASGI specification, 2.4",
        lambda found: (
            isinstance(found.case, Socket)
            and found.fact("app error") == "disconnected in Message"
            and found.key in {"app error", "app outcome", "app actions"}
        ),
    ),
    Allowed(
        "what a visitor offers for a WebSocket",
        "`sec-websocket-protocol` and `-extensions` are among the scope's fields, as sent; wsproto "
        "leaves them out",
        "the scope has the fields of the request",
        lambda found: (
            isinstance(found.case, Socket)
            and (name := _request_field(found)) in _OFFERS
            and found.tunnel == found.case.request.values(name)
        ),
    ),
    Allowed(
        "a fragment in the target",
        "`/a#b` is refused with 400",
        "a target has none (RFC 9112, section 3.2), and servers do not agree where it ends",
        lambda found: b"#" in found.exchange.request.target and _is_refused(found),
        Ends.NOW,
    ),
    Allowed(
        "methods with small letters",
        "they are refused with 400; of uvicorn only with httptools",
        '`scope["method"]` is in capitals: an app would take `get` for the GET that it is not '
        "(RFC 9110, section 9.1)",
        lambda found: found.exchange.request.method == b"get" and _is_refused(found),
        Ends.NOW,
    ),
    Allowed(
        "refused requests",
        "the page of the edge's own replies",
        "it says what is wrong",
        lambda found: (
            found.key.startswith("response ")
            and found.fact("response status") == 400
            and found.fact("response field cache-control") == [b"no-store"]
            and 400 in found.reference_facts("response status")
        ),
        Ends.NOW,
    ),
    Allowed(
        "words for a broken frame",
        "the reason of a close for a visitor that breaks RFC 6455 is worded in another way",
        "it is for people",
        lambda found: (
            isinstance(_ending(found), Bad)
            and found.key in {"websocket close reason", "app disconnect reason"}
        ),
    ),
    Allowed(
        "a close for a broken frame",
        "a visitor that breaks RFC 6455 gets a close frame with a code; uvicorn with wsproto ends "
        "the connection without one",
        "RFC 6455, section 7.1.7",
        lambda found: (
            isinstance(_ending(found), Bad)
            and found.key == "websocket close code"
            and isinstance(found.tunnel, int)
            and all(one is None for one in found.references)
        ),
    ),
    Allowed(
        "an app that leaves a WebSocket open",
        "it is closed with 1000 when the app returns, with 1011 when it fails; uvicorn ends the "
        "connection without a close frame",
        "the visitor hears what has happened (RFC 6455, section 7.1.1)",
        _left_open,
    ),
    Allowed(
        "a close that cannot be sent",
        "a code or reason that no frame may carry is an error in the app, and the visitor gets "
        "1011; uvicorn sends another code, none, or a frame that breaks RFC 6455",
        "RFC 6455, sections 5.5 and 7.4.1",
        _bad_close,
    ),
    Allowed(
        "fields that cannot be sent with a WebSocket's acceptance or refusal",
        "the app gets an error, and the visitor 500; uvicorn sends them, or ends the connection "
        "without a response",
        "a field must not hold what could be read as another one (RFC 9110, section 5.5)",
        _refused_head,
        Ends.NOW,
    ),
    Allowed(
        "the end of a refused WebSocket",
        "a refusal without `content-length` ends with the connection; uvicorn adds a length, a "
        "type and `connection: close`",
        "it goes out as the app sends it, and not every program that opens WebSockets reads chunks",
        lambda found: (
            _denied(found)
            and found.key
            in {
                "response framing",
                "response field content-length",
                "response field content-type",
                "response field connection",
                "response field transfer-encoding",
                "response says close",
            }
            and found.fact("response says close") is True
        ),
    ),
)


def find(difference: Difference) -> Allowed | None:
    """Return why a difference is allowed."""
    return next((one for one in ALLOWED if one.covers(difference)), None)
