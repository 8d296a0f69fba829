"""Reads what a TLS client says first: the name it wants and the protocols it offers.

The listener chooses a certificate, or passes the connection on, before any TLS library has seen a
byte. Only what that takes is read; the library checks the rest. Source: RFC 8446 section 4.1.2
(TLS 1.3, the same in 1.2), RFC 6066 section 3 (server name), RFC 7301 section 3.1 (protocols).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import HostnameError
from ..hostname import is_address, normalise_hostname

__all__ = ["MAX_CLIENT_HELLO", "Alert", "ClientHello", "ClientHelloError", "ClientHelloReader"]

MAX_CLIENT_HELLO: Final = 16 * 1024
"""Bytes of a ClientHello, its record headers included. Browsers send 2 KiB."""

_RECORD_HEADER: Final = 5
_MAX_RECORD: Final = 16 * 1024
_HANDSHAKE: Final = 22  # content type of a record
_CLIENT_HELLO: Final = 1  # type of a handshake message
_MESSAGE_HEADER: Final = 4
_SERVER_NAME: Final = 0  # types of extensions
_PROTOCOLS: Final = 16


class Alert:
    """Descriptions of fatal alerts (RFC 8446 section 6)."""

    UNEXPECTED_MESSAGE: Final = 10
    RECORD_OVERFLOW: Final = 22
    DECODE_ERROR: Final = 50
    INTERNAL_ERROR: Final = 80
    UNRECOGNIZED_NAME: Final = 112

    @staticmethod
    def encode(description: int) -> bytes:
        """Return the record of a fatal alert; plaintext, as before any key."""
        return bytes((21, 3, 3, 0, 2, 2, description))


class ClientHelloError(Exception):
    """What came is no ClientHello.

    Args:
        alert: Its description.
        why: What is wrong, for the log.
    """

    def __init__(self, alert: int, why: str) -> None:
        super().__init__(why)
        self.alert = alert
        self.why = why


class ClientHello(NamedTuple):
    """What was read of one."""

    server_name: str | None  #: normal spelling; None: it names none
    protocols: tuple[bytes, ...]  #: ALPN, in the client's order


class ClientHelloReader:
    """Collects a ClientHello, however it is cut into segments and records.

    Attributes:
        data: All that came, as it came: the TLS library needs it again.
    """

    __slots__ = ("_message", "_need", "_read", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._need = _RECORD_HEADER  # bytes of data before which nothing new can be read
        self._read = 0  # bytes of data whose records are in the message
        self._message = bytearray()

    def feed(self, data: bytes) -> ClientHello | None:
        """Take bytes; return the ClientHello once it is whole, None before.

        Raises:
            ClientHelloError: It is none, or too long.
        """
        self.data += data
        while len(self.data) >= self._need:
            size = self._record_size()
            end = self._read + _RECORD_HEADER + size
            if end > MAX_CLIENT_HELLO:
                raise ClientHelloError(Alert.RECORD_OVERFLOW, "its ClientHello is too long")
            if len(self.data) < end:
                self._need = end
                return None
            self._message += self.data[self._read + _RECORD_HEADER : end]
            self._read = end
            self._need = end + _RECORD_HEADER
            hello = self._parse()
            if hello is not None:
                return hello
        return None

    def _record_size(self) -> int:
        kind, major, _, high, low = self.data[self._read : self._read + _RECORD_HEADER]
        size = high << 8 | low
        if kind != _HANDSHAKE or major != 3:
            raise ClientHelloError(Alert.UNEXPECTED_MESSAGE, "it does not begin with a ClientHello")
        if not 0 < size <= _MAX_RECORD:
            raise ClientHelloError(Alert.DECODE_ERROR, "a record has a wrong length")
        return size

    def _parse(self) -> ClientHello | None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise ClientHelloError(Alert.UNEXPECTED_MESSAGE, "it does not begin with a ClientHello")
        if len(message) < _MESSAGE_HEADER:
            return None
        size = int.from_bytes(message[1:_MESSAGE_HEADER])
        if size > MAX_CLIENT_HELLO:
            raise ClientHelloError(Alert.DECODE_ERROR, "its ClientHello is too long")
        if len(message) < _MESSAGE_HEADER + size:
            return None
        return _parse(_Bytes(bytes(message[_MESSAGE_HEADER : _MESSAGE_HEADER + size])))


class _Bytes:
    """A part of the message, read from its begin to its end.

    Args:
        data: All of it.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next bytes.

        Raises:
            ClientHelloError: There are fewer.
        """
        end = self._at + size
        if end > len(self._data):
            raise ClientHelloError(Alert.DECODE_ERROR, "a length in its ClientHello is wrong")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def vector(self, length_size: int) -> _Bytes:
        """Return what stands behind a length of so many bytes."""
        return _Bytes(self.take(int.from_bytes(self.take(length_size))))

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data) - self._at)


def _parse(body: _Bytes) -> ClientHello:
    body.take(2 + 32)  # version, random
    body.vector(1)  # session id
    body.vector(2)  # cipher suites
    body.vector(1)  # compression methods
    server_name: str | None = None
    protocols: tuple[bytes, ...] = ()
    extensions = body.vector(2) if body else body
    seen: set[int] = set()
    while extensions:
        kind = int.from_bytes(extensions.take(2))
        content = extensions.vector(2)
        if kind in seen:
            raise ClientHelloError(Alert.DECODE_ERROR, "an extension comes twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            server_name = _parse_server_name(content)
        elif kind == _PROTOCOLS:
            protocols = _parse_protocols(content)
    if body:
        raise ClientHelloError(Alert.DECODE_ERROR, "its ClientHello has bytes behind its end")
    return ClientHello(server_name, protocols)


def _parse_server_name(content: _Bytes) -> str | None:
    names = content.vector(2)
    kind, name = names.take(1), names.vector(2).rest()
    if kind != b"\0" or names or content:
        raise ClientHelloError(Alert.DECODE_ERROR, "it names more than one server")
    if is_address(name):  # forbidden by RFC 6066, and sent by some
        return None
    try:
        return normalise_hostname(name.decode("ascii"))
    except (UnicodeDecodeError, HostnameError) as error:
        why = "the server name that it asks for is no hostname"
        raise ClientHelloError(Alert.UNRECOGNIZED_NAME, why) from error


def _parse_protocols(content: _Bytes) -> tuple[bytes, ...]:
    listed = content.vector(2)
    found = []
    while listed:
        found.append(listed.vector(1).rest())
    return tuple(found)
