"""Reads the header that a balancer puts before a connection: PROXY protocol, versions 1 and 2.

Without input or output: bytes in, addresses out.  Whose header is believed, and what happens to
the connection, is in :mod:`..listeners.proxy_header`.

Source: haproxy's ``doc/proxy-protocol.txt``, sections 2.1, 2.2 and 5.
"""

from __future__ import annotations

import re
import socket
from typing import Final, NamedTuple

from ..address import plain_address
from ..errors import ProxyHeaderError

MAX_LINE: Final = 107
"""Bytes of a version 1 header, CRLF included: the longest that its definition allows."""

MAX_HEADER: Final = 2048
"""Bytes of a version 2 header: 52 are needed, the rest is room for a client certificate's name."""

_LINE_START: Final = b"PROXY "
_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16  # bytes of a version 2 header before the addresses
_PORT: Final = rb"(0|[1-9][0-9]{0,4})"
_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) "
    + _PORT
    + b" "
    + _PORT
    + rb")\r\n"
).fullmatch

_LOCAL: Final = 0x20  # version 2, command LOCAL: the balancer's own connection
_PROXY: Final = 0x21  # version 2, command PROXY
_UNSPECIFIED: Final = 0x00
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_FAMILIES: Final = {_TCP4: (socket.AF_INET, 4), _TCP6: (socket.AF_INET6, 16)}

_SSL: Final = 0x20  # the type of the value that tells of TLS
_SSL_SIZE: Final = 5  # one byte of flags, four of the verification's result
_OVER_TLS: Final = 0x01  # of those flags


class End(NamedTuple):
    """One end of a connection."""

    host: str  # an address, IPv4 where it is one
    port: int


class Preamble(NamedTuple):
    """What a PROXY header says."""

    source: End | None  # the visitor; None: the balancer itself, or it does not know
    destination: End | None  # where the visitor has connected to
    is_secure: bool | None  # over TLS; None: it does not say
    size: int  # bytes of the header


NOTHING_SAID: Final = Preamble(None, None, None, 0)


def read_preamble(data: bytes | bytearray) -> Preamble | None:
    """Read the PROXY header that ``data`` starts with.

    Args:
        data: All that has come so far.

    Returns:
        What it says, or None while its end has not come.

    Raises:
        ProxyHeaderError: ``data`` starts with something else; raised at the first byte that shows
            it, so more bytes never mend it.
    """
    start = bytes(data[:_FIXED])
    if start[:1] == b"P":
        return _read_line(data)
    if start[:12] != _SIGNATURE[: len(start)]:
        raise ProxyHeaderError("it does not start with a PROXY header")
    if len(start) > 12:
        _check_fixed(start)
    if len(start) < _FIXED:
        return None
    size = _FIXED + int.from_bytes(start[14:16], "big")
    if len(data) < size:
        return None
    return _read_binary(bytes(data[:size]))


def _read_line(data: bytes | bytearray) -> Preamble | None:
    if bytes(data[:6]) != _LINE_START[: len(data)]:
        raise ProxyHeaderError("it does not start with a PROXY header")
    end = data.find(b"\n", 0, MAX_LINE) + 1
    if not end:
        if len(data) >= MAX_LINE:
            raise ProxyHeaderError(f"its PROXY line is longer than {MAX_LINE} bytes")
        return None
    match = _LINE(bytes(data[:end]))
    if match is None:
        raise ProxyHeaderError("its PROXY line is malformed")
    if match[1] is None:
        return NOTHING_SAID._replace(size=end)
    source = _read_end(match[2], match[4], is_ipv6=match[1] == b"TCP6")
    destination = _read_end(match[3], match[5], is_ipv6=match[1] == b"TCP6")
    return Preamble(source, destination, None, end)


def _read_end(host: bytes, port: bytes, *, is_ipv6: bool) -> End:
    text = host.decode("ascii")
    address = plain_address(text)
    if address is None or is_ipv6 != (":" in text) or int(port) > 65535:
        raise ProxyHeaderError("its PROXY line is malformed")
    return End(address, int(port))


def _check_fixed(start: bytes) -> None:
    """Refuse version, command, family and size as soon as they are there."""
    if start[12] not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("its PROXY header has an unknown version or command")
    if len(start) < 14:
        return
    family = start[13]
    if start[12] == _PROXY and family != _UNSPECIFIED and family not in _FAMILIES:
        raise ProxyHeaderError("its PROXY header tells of something else than TCP")
    if len(start) < _FIXED:
        return
    size = int.from_bytes(start[14:16], "big")
    if _FIXED + size > MAX_HEADER:
        raise ProxyHeaderError(f"its PROXY header is longer than {MAX_HEADER} bytes")
    if start[12] == _PROXY and family != _UNSPECIFIED and size < 2 * _FAMILIES[family][1] + 4:
        raise ProxyHeaderError("its PROXY header is shorter than its addresses")


def _read_binary(data: bytes) -> Preamble:
    command, family = data[12], data[13]
    if command == _LOCAL or family == _UNSPECIFIED:
        # The rest is skipped unread, whatever it is (section 2.2).
        return NOTHING_SAID._replace(size=len(data))
    number, width = _FAMILIES[family]
    ports = _FIXED + 2 * width
    hosts = [data[_FIXED : _FIXED + width], data[_FIXED + width : ports]]
    source, destination = (
        End(
            plain_address(socket.inet_ntop(number, host)) or "",
            int.from_bytes(data[ports + 2 * index : ports + 2 * index + 2], "big"),
        )
        for index, host in enumerate(hosts)
    )
    return Preamble(source, destination, _find_tls(data, ports + 4), len(data))


def _find_tls(data: bytes, at: int) -> bool | None:
    """Walk the values behind the addresses; only the one about TLS is looked at."""
    found: bool | None = None
    while at < len(data):
        stop = at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")
        if at + 3 > len(data) or stop > len(data):
            raise ProxyHeaderError("a value in its PROXY header is cut short")
        if data[at] == _SSL:
            if stop - at - 3 < _SSL_SIZE:
                raise ProxyHeaderError("a value in its PROXY header is cut short")
            found = bool(data[at + 3] & _OVER_TLS)
        at = stop
    return found
