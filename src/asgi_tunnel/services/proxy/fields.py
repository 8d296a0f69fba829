"""Which header fields go to a service and come from it, and what is added.

The edge has removed what visitors say about themselves (docs/reference/identity-fields.md); behind
any other server nobody has, so it is removed here too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from .errors import RequestError
from .response import Fields, ResponseHead

MAX_NAMES: Final = 256
"""Names of fields whose use is remembered; visitors may make names up."""

MAX_NAME: Final = 64
"""Bytes of such a name."""

MAX_VISITORS: Final = 256
"""Visitors whose fields are remembered, for a service: each sends many requests."""

MAX_HOST: Final = 255
"""Bytes of a visitor's Host that is remembered with them: a hostname has no more."""

_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
"""Fields about one connection (RFC 9110 section 7.6.1)."""

_NEVER_SENT: Final = _HOP | frozenset(
    {b"content-length", b"expect", b"forwarded", b"host", b"http2-settings"}
    | {b"proxy-authorization", b"proxy", b"trailer"}
    | {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix"}
    | {b"x-forwarded-proto", b"x-forwarded-server", b"x-forwarded-ssl", b"x-real-ip"}
)
"""Written here, or about the visitor's own connection."""

_HANDSHAKE_START: Final = b"sec-websocket-"
_FORWARDING: Final = b"x-forward"

_NEVER_RETURNED: Final = _HOP | frozenset({b"proxy-authenticate", b"proxy-authentication-info"})

_FORBIDDEN_TRAILERS: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"content-encoding", b"content-type"}
    | {b"content-range", b"trailer", b"set-cookie", b"location", b"connection", b"te", b"upgrade"}
)

_END_TO_END: Final = frozenset(
    {b"host", b"content-length", b"cookie", b"content-type", b"authorization"}
)
"""About no connection, whatever Connection says: a visitor must not take them away from a service
(RFC 9110 section 7.6.1)."""

_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])
"""What no line has but at its end: each control character and DEL; HTAB is allowed."""

is_token: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
is_target: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*").fullmatch  # all of a URL but a fragment
_is_length: Final = re.compile(rb"[0-9]{1,18}").fullmatch


DestinationMap = Callable[[bytes, Mapping[str, Any]], bytes]


class _Use(Enum):
    """What is done with a field of a request, by its name."""

    SENT = auto()
    DROPPED = auto()
    HOST = auto()  # sent first, or another in its place
    CONNECTION = auto()  # its tokens are names to drop
    TE = auto()  # dropped, but for "trailers"
    LENGTH = auto()  # written with the body
    EXPECT = auto()  # written with the body
    DESTINATION = auto()  # of WebDAV: a URL of the visitor's (RFC 4918 section 10.3)
    HANDSHAKE = auto()  # of a WebSocket: a handshake of our own is written


# Shorter names of hot members: docs/adr/0006-compiled-wheels.md, "Two idioms".
_SENT: Final = _Use.SENT
_DROPPED: Final = _Use.DROPPED
_HOST: Final = _Use.HOST
_CONNECTION: Final = _Use.CONNECTION
_TE: Final = _Use.TE
_LENGTH: Final = _Use.LENGTH
_EXPECT: Final = _Use.EXPECT
_DESTINATION: Final = _Use.DESTINATION

_USES: Final[Mapping[bytes, _Use]] = {
    b"host": _Use.HOST,
    b"connection": _Use.CONNECTION,
    b"te": _Use.TE,
    b"content-length": _Use.LENGTH,
    b"expect": _Use.EXPECT,
    b"destination": _Use.DESTINATION,
}


class RequestHead(NamedTuple):
    """The head of a request to a service."""

    data: bytes  # its lines, without those that say how long the body is, and the empty one
    length: int | None  # of the body, when announced
    expects: bool  # the visitor waits for 100 before it sends the body


class HeadWriter:
    """Writes the heads of requests to one service.

    Args:
        send_host: Sent as Host; empty for the visitor's.
        prefix: What is stripped from paths.
        destination: Makes a Destination that the service understands; None: it stays.
    """

    __slots__ = ("_destination", "_prefix", "_send_host", "_uses", "_visitors")

    def __init__(
        self, *, send_host: str, prefix: str, destination: DestinationMap | None = None
    ) -> None:
        self._destination = destination
        self._send_host = send_host.encode()
        self._prefix = prefix.encode()
        self._uses: dict[bytes, _Use] = {}
        self._visitors: dict[tuple[str, str, bytes], bytes] = {}

    def write(
        self, scope: Mapping[str, Any], method: bytes, target: bytes, *, websocket: bool = False
    ) -> RequestHead:
        """Write a head down.

        Args:
            scope: Of ``http`` or ``websocket``.
            method: A token.
            target: In origin form.
            websocket: Leave the handshake's own fields out.

        Raises:
            RequestError: A field cannot be sent on as it is.
        """
        host = b""
        sent: list[tuple[bytes, bytes]] = []
        listed: set[bytes] = set()
        lengths: list[bytes] = []
        takes_trailers = expects = False
        uses = self._uses
        for field in scope["headers"]:
            name, value = field
            use = uses.get(name)
            if use is None:
                use = self._learn(name)
            if use is _SENT:
                sent.append(field)
            elif use is _HOST:
                host = value
            elif use is _CONNECTION:
                listed.update([one.strip() for one in value.lower().split(b",")])
            elif use is _TE:
                takes_trailers = takes_trailers or b"trailers" in value.lower()
            elif use is _LENGTH:
                lengths.append(value)
            elif use is _EXPECT:
                expects = value.lower() == b"100-continue"
            elif use is _DESTINATION and self._destination is not None:
                sent.append((name, self._destination(value, scope)))
            elif use is not _DROPPED and not websocket:
                sent.append(field)  # part of no handshake
        listed -= _END_TO_END
        if listed:
            sent = [one for one in sent if one[0] not in listed]
        lines = [b"host: " + (self._send_host or host), *[b": ".join(one) for one in sent]]
        if takes_trailers and not websocket:
            lines += [b"te: trailers", b"connection: te"]  # RFC 9110 section 10.1.4
        data = b"\r\n".join(lines)
        if len(data) - len(data.translate(None, _CONTROLS)) != 2 * (len(lines) - 1):
            raise RequestError(400, "a header field is malformed")
        return RequestHead(
            b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, target, data, self._visitor(scope, host)),
            None if websocket or not lengths else _read_length(lengths),
            expects,
        )

    def _learn(self, name: bytes) -> _Use:
        """Decide about a name, and remember it."""
        use = _use_of(name)
        if len(name) <= MAX_NAME:
            if len(self._uses) >= MAX_NAMES:
                self._uses.clear()  # what is common is soon there again
            self._uses[name] = use
        return use

    def _visitor(self, scope: Mapping[str, Any], host: bytes) -> bytes:
        """Return the lines that say who the visitor is: a service has no scope to read it from."""
        client = scope.get("client")
        key = (str(client[0]) if client else "", str(scope.get("scheme", "http")), host)
        lines = self._visitors.get(key)
        if lines is None:
            lines = self._write_visitor(*key)
            if len(host) <= MAX_HOST:
                if len(self._visitors) >= MAX_VISITORS:
                    self._visitors.clear()
                self._visitors[key] = lines
        return lines

    def _write_visitor(self, client: str, scope_scheme: str, host: bytes) -> bytes:
        address = client.encode("latin-1", "replace")
        scheme = {"ws": b"http", "wss": b"https"}.get(scope_scheme, scope_scheme.encode())
        node = b'"[%b]"' % address if b":" in address else address
        quoted = b'"%b"' % host if b":" in host else host
        fields: Fields = [(b"x-forwarded-proto", scheme), (b"x-forwarded-host", host)]
        fields.append((b"x-forwarded-port", _port(host, scheme)))
        if address:
            fields += [(b"x-forwarded-for", address), (b"x-real-ip", address)]
        parts = [b"for=" + (node or b"unknown"), b"proto=" + scheme]
        if host:
            parts.append(b"host=" + quoted)
        fields.append((b"forwarded", b";".join(parts)))
        if self._prefix:
            fields.append((b"x-forwarded-prefix", self._prefix))
        data = b"".join([b"%b: %b\r\n" % one for one in fields])
        if len(data) - len(data.translate(None, _CONTROLS)) != 2 * len(fields):
            raise RequestError(400, "the Host or the visitor's address is malformed")
        return data


def response_fields(head: ResponseHead) -> Fields:
    """Return what of a response's fields goes to the visitor: all but those about a connection."""
    dropped = _NEVER_RETURNED
    if head.connection:
        dropped = dropped.union(head.connection) - _END_TO_END
    return [one for one in head.fields if one[0] not in dropped]


def sent_trailers(trailers: Fields) -> Fields:
    """Return what of a response's trailers goes to the visitor (RFC 9110 section 6.5.1)."""
    return [one for one in trailers if one[0] not in _FORBIDDEN_TRAILERS]


def _use_of(name: bytes) -> _Use:
    """Decide what is done with a field.

    Raises:
        RequestError: The name is none.
    """
    if not is_token(name):
        raise RequestError(400, "a header field is malformed")
    name = name.lower()
    if name in _USES:
        return _USES[name]
    name = name.replace(b"_", b"-")  # many servers read an underscore as a hyphen
    if name in _NEVER_SENT or name.startswith(_FORWARDING):
        return _Use.DROPPED
    if name.startswith(_HANDSHAKE_START) and name != b"sec-websocket-protocol":
        return _Use.HANDSHAKE
    return _Use.SENT


def _read_length(lengths: list[bytes]) -> int:
    if len(lengths) > 1 or not _is_length(lengths[0]):
        raise RequestError(400, "the request has a content-length that is no single number")
    return int(lengths[0])


def _port(host: bytes, scheme: bytes) -> bytes:
    _, colon, port = host.rpartition(b":")
    if colon and port.isdigit():
        return port
    return b"443" if scheme == b"https" else b"80"
