"""Reads the head of a request to the inspector's socket, strictly.

A little of HTTP/1.1: one request of a connection, a length and no chunks. Who asks is a program of
this user; what is no such request is refused in one sentence.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final, NamedTuple

from .reply import RefusedError

__all__ = ["MAX_HEAD", "RequestLine", "read_head", "write_head"]

MAX_HEAD: Final = 16 * 1024
"""Bytes of a request's head; its query has 4 KiB at the most."""

MAX_FIELDS: Final = 50
"""Fields of a request; a program sends five."""

_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.1").fullmatch
_FIELD: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)"
).fullmatch
_LENGTH: Final = re.compile(rb"[0-9]{1,10}").fullmatch


class RequestLine(NamedTuple):
    """What of a head is needed."""

    method: str
    path: str  # as sent: the interface has no name that needs an escape
    query: bytes
    length: int  # bytes of the body


def read_head(head: bytes, max_body: int) -> RequestLine:
    """Return what a head says.

    Args:
        head: Up to its last field, without the empty line.
        max_body: Bytes that a body may have.

    Raises:
        RefusedError: It is none, or asks for something that is not there.
    """
    lines = head.split(b"\r\n")
    line = _LINE(lines[0])
    if line is None or len(lines) > MAX_FIELDS + 1:
        raise RefusedError(400, "the request is no HTTP/1.1, or has too many fields")
    fields: dict[bytes, bytes] = {}
    for text in lines[1:]:
        field = _FIELD(text)
        name = b"" if field is None else field[1].lower()
        if field is None or name in fields:
            raise RefusedError(400, "the request has a field that is none, or one twice")
        fields[name] = field[2].strip()
    if b"host" not in fields:
        raise RefusedError(400, "the request has no Host")
    if b"transfer-encoding" in fields:
        raise RefusedError(411, "send the body with a Content-Length")
    length = fields.get(b"content-length", b"0")
    if not _LENGTH(length):
        raise RefusedError(400, "the Content-Length is no number")
    if int(length) > max_body:
        raise RefusedError(413, f"the body has more than {max_body} bytes")
    path, _, query = line[2].partition(b"?")
    return RequestLine(line[1].decode("ascii"), path.decode("ascii"), query, int(length))


def write_head(status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a response; the connection ends with it."""
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    lines += [b"%s: %s" % field for field in fields]
    return b"\r\n".join([*lines, b"connection: close", b"", b""])
