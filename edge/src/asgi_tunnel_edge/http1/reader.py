"""Collects what a visitor sends and cuts request heads from it, one after the other."""

from __future__ import annotations

from typing import Final

from ..errors import RequestError
from ..request import Request
from ..settings.config import Limits
from .head import LastFields, check_request_line, read_head

__all__ = ["RequestReader"]

MAX_EMPTY_LINES: Final = 2
"""In front of a request: RFC 9112 section 2.2 wants at least one to be skipped; more than two are
noise, which would keep a connection that asks for nothing."""


class RequestReader:
    """The bytes of one connection that are not used yet.

    Args:
        limits: ``max_request_line``, ``max_head_bytes`` and ``max_header_fields``.

    Attributes:
        buffer: Bytes not used yet.
        head_size: Bytes of the last head: an exchange in progress keeps them in memory.
        heads: Heads read so far.
        raw_head: The last head as it was sent, where ``keeps_raw`` was asked for.
    """

    __slots__ = (
        "_empty_lines",
        "_last_fields",
        "_limits",
        "_scanned",
        "buffer",
        "head_size",
        "heads",
        "raw_head",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.buffer: bytes | bytearray = b""
        self._scanned = 0  # bytes of the buffer that hold no end of a head
        self._empty_lines = 0  # skipped since the last head, however they were cut into reads
        self._last_fields: LastFields | None = None  # made for the second request
        self.head_size = 0
        self.heads = 0
        self.raw_head = b""

    def feed(self, data: bytes) -> None:
        """Append what came."""
        if self.buffer:
            if not isinstance(self.buffer, bytearray):
                self.buffer = bytearray(self.buffer)
            self.buffer += data
        else:
            self.buffer = data

    def take(self) -> bytes:
        """Return the whole buffer, and empty it."""
        data, self.buffer = bytes(self.buffer), b""
        return data

    def read_head(self, *, keeps_raw: bool) -> Request | None:
        """Cut the next head from the buffer, if all of it is there.

        Raises:
            RequestError: What is there can no longer become a request that is served.
        """
        data = self.buffer
        while data[:2] == b"\r\n":
            self._skip_empty_line()
            data = self.buffer
        if not data:
            return None
        limits = self._limits
        end = data.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            self._check_partial_head(data)
            self._scanned = max(0, len(data) - 3)
            return None
        end += 4
        if end > limits.max_head_bytes:
            raise RequestError(
                431, f"the request head is larger than {limits.max_head_bytes} bytes"
            )
        whole = bytes(data)
        if self._last_fields is None and self.heads:
            self._last_fields = LastFields()
        request = read_head(whole, end, limits, self._last_fields)
        if keeps_raw:
            self.raw_head = whole[:end]
        self.buffer = whole[end:] if end < len(whole) else b""
        self._scanned = self._empty_lines = 0
        self.head_size = end
        self.heads += 1
        return request

    def _skip_empty_line(self) -> None:
        self._empty_lines += 1
        if self._empty_lines > MAX_EMPTY_LINES:
            raise RequestError(400, "the request line is malformed")
        self.buffer = bytes(self.buffer[2:])
        self._scanned = 0

    def _check_partial_head(self, data: bytes | bytearray) -> None:
        """Refuse early what can no longer become a head."""
        limits = self._limits
        if data[0] == 0x16:
            raise RequestError(400, "TLS is not spoken on this port")
        first = data.find(b"\n", 0, limits.max_request_line)
        if first < 0 and len(data) > limits.max_request_line:
            raise RequestError(
                414, f"the request line is longer than {limits.max_request_line} bytes"
            )
        if len(data) > limits.max_head_bytes:
            raise RequestError(
                431, f"the request head is larger than {limits.max_head_bytes} bytes"
            )
        if first >= self._scanned:
            check_request_line(data, limits)
        at = data.find(b"\n", max(0, self._scanned - 1))
        while at >= 0:
            if data[at - 1 : at] != b"\r":
                raise RequestError(400, "a line of the request head ends without a carriage return")
            at = data.find(b"\n", at + 1)
