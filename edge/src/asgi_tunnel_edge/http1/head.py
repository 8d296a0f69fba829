"""Reads one HTTP/1.x request head, strictly.

Framing is decided here, once.  Whatever two readers could understand differently is refused, so
that nothing ambiguous is ever relayed (request smuggling).  It is our own reader and not
a library's because every rule has to hold (``docs/adr/0002-own-http-head-parser.md``); the regular
expressions do the work in C.
"""

from __future__ import annotations

import base64
import binascii
import re
from enum import IntEnum
from typing import Final

from asgi_tunnel.protocol.head import Fields

from ..errors import RequestError
from ..hostname import host_from_header, is_valid_host
from ..identity.fields import is_identity
from ..request import Request
from ..settings.config import Limits

_REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Z]{1,32}) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n"
).match
_OTHER_VERSION: Final = re.compile(
    rb"[^ \r\n]+ [^ \r\n]+ HTTP/(?!1\.[01]\r)[0-9]\.?[0-9]*\r\n"
).match
_FIELD: Final = re.compile(
    rb"^([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)\r\n", re.MULTILINE
).findall
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE).fullmatch
_CODINGS: Final = re.compile(rb"[A-Za-z0-9-]++(?:[ \t]*+,[ \t]*+[A-Za-z0-9-]++)*+").fullmatch
_DIGITS: Final = re.compile(rb"[0-9]{1,18}").fullmatch

_MAX_NAMES: Final = 2048
"""Field names remembered with their kind; visitors make names up, so there is a bound."""

_MAX_NAME: Final = 64
"""Bytes of a name that is remembered: 2,048 made-up names of 60 KiB would stay for ever."""


MAX_LAST_FIELDS: Final = 2048
"""Bytes of fields that a connection remembers: more would be memory for each idle one."""


class Kind(IntEnum):
    """What the reader does with a field, by its name."""

    PLAIN = 0  # relayed
    IDENTITY = 1  # says who the visitor is: never believed, never relayed
    HOP = 2  # for this connection only
    SPECIAL = 3  # decides framing, routing or the connection


_REQUEST_ID: Final = b"x-request-id"
"""A visitor's own is relayed; ``x_request_id`` is not, for an app may read it as the same."""

_HOP: Final = frozenset({b"keep-alive", b"proxy-connection", b"proxy-authorization"})
_SPECIAL: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_KEPT: Final = frozenset({b"host", b"content-length", b"expect", b"cookie", b"content-type"})
"""Names that a Connection field may list without effect: they are not about a hop."""


_PLAIN: Final = Kind.PLAIN
_SPECIAL_KIND: Final = Kind.SPECIAL

_kinds: dict[bytes, tuple[bytes, Kind]] = {}
_new: Final = tuple.__new__  # skips a named tuple's own constructor


def _learn(name: bytes) -> tuple[bytes, Kind]:
    lower = name.lower()
    dashed = lower.replace(b"_", b"-")
    if is_identity(dashed) or (dashed == _REQUEST_ID and lower != dashed):
        kind = Kind.IDENTITY
    elif lower in _HOP:
        kind = Kind.HOP
    elif lower in _SPECIAL:
        kind = Kind.SPECIAL
    elif dashed in _SPECIAL or dashed in _HOP:
        kind = Kind.HOP  # Content_Length: many apps read an underscore as a hyphen
    else:
        kind = Kind.PLAIN
    if len(name) <= _MAX_NAME:
        if len(_kinds) >= _MAX_NAMES:
            _kinds.clear()  # a flood of made-up names must not keep the common ones out
        _kinds[name] = lower, kind
    return lower, kind


class LastFields:
    """The fields of a connection's last request, as they were sent and as they were read.

    Clients that keep a connection mostly send the same fields each time: equal bytes are read
    once.  What the fields mean for a request is decided with each one.
    """

    __slots__ = ("block", "fields", "special")

    def __init__(self) -> None:
        self.block = b""
        self.fields: Fields = []
        self.special: dict[bytes, list[bytes]] = {}


def read_head(data: bytes, end: int, limits: Limits, last: LastFields | None = None) -> Request:
    """Understand the head in ``data[:end]``.

    Args:
        data: Starts with the request line.
        end: Behind the empty line.
        limits: ``max_request_line`` and ``max_header_fields`` are used here; the caller has
            checked the size of the whole.
        last: Of the same connection, and for its next request.

    Raises:
        RequestError: With the status to answer.
    """
    line = _REQUEST_LINE(data)
    if line is None:
        raise _bad_line(data, limits)
    method, target, minor = line.groups()
    start = line.end()
    if start > limits.max_request_line:
        raise RequestError(414, f"the request line is longer than {limits.max_request_line} bytes")
    block = data[start : end - 2]
    if last is not None and last.block == block:
        fields, special = last.fields, last.special
    else:
        fields, special = _read_fields(block, limits)
        if last is not None and len(block) <= MAX_LAST_FIELDS:
            last.block, last.fields, last.special = block, fields, special
    return _understand(method, target, minor == b"1", fields, special)


def _read_fields(block: bytes, limits: Limits) -> tuple[Fields, dict[bytes, list[bytes]]]:
    """Return all fields that may be relayed, and the values of those that decide something."""
    found = _FIELD(block)
    # Each match is one whole line, so equal counts mean that every line is a field: no folding,
    # no bare CR or LF, no white space before the colon.
    if block.count(b"\n") != len(found):
        raise RequestError(400, "a header field is malformed")
    if len(found) > limits.max_header_fields:
        raise RequestError(431, f"there are more than {limits.max_header_fields} header fields")
    fields: Fields = []
    special: dict[bytes, list[bytes]] = {}
    kinds = _kinds
    for name, value in found:
        lower, kind = kinds.get(name) or _learn(name)
        if kind is _PLAIN:
            fields.append((lower, value.rstrip(b" \t")))
        elif kind is _SPECIAL_KIND:
            stripped = value.rstrip(b" \t")
            special.setdefault(lower, []).append(stripped)
            fields.append((lower, stripped))
    return fields, special


def check_request_line(data: bytes | bytearray, limits: Limits) -> None:
    """Refuse a head whose first line, complete in ``data``, is no request line.

    Raises:
        RequestError: Now, and not when the rest of the head has come or has not.
    """
    if _REQUEST_LINE(data) is None:
        raise _bad_line(data, limits)


def _bad_line(data: bytes | bytearray, limits: Limits) -> RequestError:
    end = data.find(b"\n")
    if end > limits.max_request_line or (end < 0 and len(data) > limits.max_request_line):
        return RequestError(414, f"the request line is longer than {limits.max_request_line} bytes")
    if _OTHER_VERSION(data):
        return RequestError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    return RequestError(400, "the request line is malformed")


def _understand(
    method: bytes,
    target: bytes,
    is_http11: bool,
    fields: Fields,
    special: dict[bytes, list[bytes]],
) -> Request:
    if method in (b"CONNECT", b"TRACE"):
        raise RequestError(405, "this method is not served")
    hosts = special.get(b"host", ())
    if not hosts and not is_http11 and target[:1] == b"/":
        host = b""  # HTTP/1.0 has no Host; nobody but the edge's own endpoints can serve it
    else:
        host, target = _authority(method, target, hosts)
    hostname = host_from_header(host) if host else None
    if hostname is None and host and not is_valid_host(host):
        raise RequestError(400, "the Host field is malformed")
    length = _framing(special, is_http11)
    connection = special.get(b"connection")
    options: set[bytes] = set()
    if connection is not None:
        for value in connection:
            options.update(one.strip(b" \t").lower() for one in value.split(b","))
    keep_alive = b"close" not in options and (is_http11 or b"keep-alive" in options)
    expects = special.get(b"expect")
    if expects is not None and (len(expects) > 1 or expects[0].lower() != b"100-continue"):
        raise RequestError(417, "only Expect: 100-continue is understood")
    key: bytes | None = None
    error = 0
    if b"upgrade" in special and is_http11:
        key, error = _websocket(method, special, options, length)
    takes_trailers = b"te" in special and any(
        one.strip(b" \t").lower() == b"trailers"
        for value in special[b"te"]
        for one in value.split(b",")
    )
    if len(special) > 1 or options:
        fields = _relayed(fields, options, keeps_te=takes_trailers, is_websocket=key is not None)
    return _new(
        Request,
        (
            method,
            target,
            is_http11,
            host,
            hostname,
            fields,
            length,
            keep_alive,
            expects is not None and is_http11,
            takes_trailers and is_http11,
            key,
            error,
        ),
    )


def _authority(method: bytes, target: bytes, hosts: list[bytes] | tuple[()]) -> tuple[bytes, bytes]:
    """Return the one authority and the target in origin-form."""
    if len(hosts) != 1:
        raise RequestError(400, "there has to be exactly one Host field")
    host = hosts[0]
    first = target[:1]
    if first == b"/":
        return host, target
    if target == b"*":
        if method != b"OPTIONS":
            raise RequestError(400, "the target * is for OPTIONS only")
        return host, target
    match = _ABSOLUTE(target)
    if match is None:
        raise RequestError(400, "the request target is malformed")
    authority, rest = match[1], match[2] or b"/"
    if authority.lower() != host.lower():
        raise RequestError(400, "the request target and the Host field name different hosts")
    return host, rest if rest[:1] == b"/" else b"/" + rest


def _framing(special: dict[bytes, list[bytes]], is_http11: bool) -> int | None:
    lengths = special.get(b"content-length")
    codings = special.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise RequestError(400, "Content-Length and Transfer-Encoding exclude each other")
        if not is_http11:
            raise RequestError(400, "HTTP/1.0 has no Transfer-Encoding")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            known = all(one.strip(b" \t").lower() == b"chunked" for one in codings[0].split(b","))
            plain = _CODINGS(codings[0]) is not None
            status = 501 if plain and not known and len(codings) == 1 else 400
            raise RequestError(
                status, "chunked is the only transfer coding, and may stand only once"
            )
        return None
    if lengths is None:
        return 0
    if len(lengths) > 1 or not _DIGITS(lengths[0]):
        raise RequestError(400, "Content-Length has to be one number")
    return int(lengths[0])


def _websocket(
    method: bytes, special: dict[bytes, list[bytes]], options: set[bytes], length: int | None
) -> tuple[bytes | None, int]:
    """Return the key of a WebSocket handshake, or the status that refuses it.

    Any other Upgrade is ignored: the request is an ordinary one, with its body (T11, T12).
    """
    upgrades = {
        one.strip(b" \t").lower() for value in special[b"upgrade"] for one in value.split(b",")
    }
    if b"websocket" not in upgrades or b"upgrade" not in options or method != b"GET":
        return None, 0
    versions = special.get(b"sec-websocket-version", [])
    if versions != [b"13"]:
        return None, 426
    keys = special.get(b"sec-websocket-key", [])
    if len(keys) != 1 or length != 0 or not _is_key(keys[0]):
        return None, 400
    return keys[0], 0


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _relayed(fields: Fields, options: set[bytes], *, keeps_te: bool, is_websocket: bool) -> Fields:
    dropped = (options - _KEPT) | {b"connection", b"transfer-encoding", b"trailer"}
    if not is_websocket:
        dropped.add(b"upgrade")
    else:
        dropped -= {b"upgrade"}
        dropped.discard(b"connection")
    if keeps_te:
        dropped.discard(b"te")
        fields = [(n, b"trailers") if n == b"te" else (n, v) for n, v in fields]
    else:
        dropped.add(b"te")
    return [field for field in fields if field[0] not in dropped]
