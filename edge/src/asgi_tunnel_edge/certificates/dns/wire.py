"""DNS queries and replies as bytes (RFC 1035, RFC 6891); it knows no zone.

Queries come from strangers with made-up source addresses, at any rate, so this reads no more than a
header, one question and an OPT record, and follows no compression pointer. dnspython reads all
record types and builds objects of them: with it a reply costs twenty times as much.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

__all__ = [
    "HEADER_SIZE",
    "MAX_UDP_REPLY",
    "MalformedQueryError",
    "Query",
    "Rcode",
    "RecordType",
    "bare_reply",
    "encode_name",
    "encode_record",
    "is_query",
    "opcode_of",
    "read_query",
    "reply",
]

HEADER_SIZE: Final = 12
MAX_UDP_REPLY: Final = 1232
"""Bytes of a UDP reply: fits an IPv6 packet on any path (DNS flag day 2020). More is truncated."""

MIN_UDP_REPLY: Final = 512
"""Bytes that everybody takes (RFC 1035 section 2.3.4)."""

MAX_QUERY: Final = 4096
"""Bytes of a query: 300 hold the longest name and every EDNS option in use; padding takes more."""

MAX_ADDITIONAL: Final = 4
"""Records behind the question: OPT, TSIG or SIG(0), and some room."""

_MAX_NAME: Final = 255  # bytes with length octets, RFC 1035 section 2.3.4
_MAX_LABEL: Final = 63

_QR: Final = 0x8000
_AA: Final = 0x0400
_TC: Final = 0x0200
_RD: Final = 0x0100
_DO: Final = 0x8000

_HEADER: Final = struct.Struct("!6H")
_QUESTION_END: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")
_OPTION: Final = struct.Struct("!HH")


class Rcode(IntEnum):
    """What became of a query."""

    NOERROR = 0
    FORMERR = 1
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    NOTAUTH = 9
    BADVERS = 16  #: needs an OPT record


class RecordType(IntEnum):
    """The types that have a meaning here."""

    A = 1
    NS = 2
    SOA = 6
    HINFO = 13
    TXT = 16
    SIG = 24
    AAAA = 28
    OPT = 41
    TSIG = 250
    ANY = 255
    CAA = 257


CLASS_IN: Final = 1


class MalformedQueryError(Exception):
    """A query breaks RFC 1035 or RFC 6891."""


class Query(NamedTuple):
    """One question and what the sender can take."""

    id: int
    recursion_desired: bool
    name: bytes  #: as it came, with length octets and the root's
    lower: bytes  #: the same in lower case
    labels: tuple[int, ...]  #: where each label begins in the name, the root's included
    type: int
    rdclass: int
    payload: int  #: bytes of a UDP reply that the sender takes
    edns: bool  #: it has an OPT record
    version: int  #: of EDNS
    dnssec_ok: bool
    signed: bool  #: it has a TSIG or SIG(0) record


def is_query(data: bytes) -> bool:
    """Has this a header, and is it no reply? A reply to a reply could go in circles."""
    return len(data) >= HEADER_SIZE and not data[2] & 0x80


def opcode_of(data: bytes) -> int:
    """The operation that a header asks for; 0 is a query."""
    return data[2] >> 3 & 0xF


def read_query(data: bytes) -> Query:
    """Read a query of one question.

    Args:
        data: At least a header.

    Raises:
        MalformedQueryError: It is malformed, too long, or carries records that no query has.
    """
    number, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if questions != 1 or answers or authorities or additional > MAX_ADDITIONAL:
        raise MalformedQueryError
    if len(data) > MAX_QUERY:
        raise MalformedQueryError
    end, labels = _read_name(data, HEADER_SIZE)
    name = data[HEADER_SIZE:end]
    try:
        type_, rdclass = _QUESTION_END.unpack_from(data, end)
        options = _read_additional(data, end + 4, additional)
    except struct.error as error:
        raise MalformedQueryError from error
    opt = options.get(RecordType.OPT)
    size, ttl = opt if opt is not None else (MIN_UDP_REPLY, 0)
    return Query(
        id=number,
        recursion_desired=bool(flags & _RD),
        name=name,
        lower=name.lower(),  # lengths are below 64, where ASCII has no letters
        labels=labels,
        type=type_,
        rdclass=rdclass,
        payload=size,
        edns=opt is not None,
        version=ttl >> 16 & 0xFF,
        dnssec_ok=bool(ttl & _DO),
        signed=RecordType.TSIG in options or RecordType.SIG in options,
    )


def bare_reply(data: bytes, rcode: Rcode) -> bytes:
    """A header and no question, for a query that cannot be read."""
    number, flags = struct.unpack_from("!HH", data)
    return _HEADER.pack(number, _QR | flags & 0x7900 | rcode, 0, 0, 0, 0)


def reply(
    query: Query,
    rcode: Rcode,
    sections: Sequence[Sequence[bytes]] = ((), (), ()),
    *,
    authoritative: bool = False,
    limit: int,
) -> bytes:
    """Put a reply together.

    Args:
        query: The question is repeated byte for byte: resolvers compare its upper and lower case.
        rcode: ``BADVERS`` only for a query with EDNS.
        sections: Encoded records of the sections answer, authority and additional.
        authoritative: The AA flag.
        limit: Bytes; a longer reply is the question with the TC flag. 0 gives that at any rate.

    Source: RFC 1035 section 4; RFC 6891 section 6.1; RFC 2181 section 9 (no part of a record set).
    """
    flags = _QR | rcode & 0xF
    if query.recursion_desired:
        flags |= _RD
    if authoritative:
        flags |= _AA
    opt = b""
    if query.edns:
        # RFC 3225 section 3: the DO flag is repeated. Another version than 0 does not exist yet.
        ttl = rcode >> 4 << 24 | (_DO if query.dnssec_ok else 0)
        opt = b"\0" + _RECORD.pack(RecordType.OPT, MAX_UDP_REPLY, ttl, 0)
    question = query.name + _QUESTION_END.pack(query.type, query.rdclass)
    records = b"".join(b"".join(section) for section in sections)
    counts = [len(section) for section in sections]
    if HEADER_SIZE + len(question) + len(records) + len(opt) > limit:
        flags |= _TC
        records, counts = b"", [0, 0, 0]
    counts[2] += bool(opt)
    return _HEADER.pack(query.id, flags, 1, *counts) + question + records + opt


def encode_name(name: str) -> bytes:
    """A normal hostname (ASCII, no empty label) with length octets, in lower case.

    Raises:
        ValueError: It is too long or has an empty label.
    """
    labels = name.lower().removesuffix(".").encode("ascii").split(b".")
    if not all(0 < len(label) <= _MAX_LABEL for label in labels):
        message = f"{name} has a label that is empty or longer than {_MAX_LABEL} characters"
        raise ValueError(message)
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(encoded) > _MAX_NAME:
        message = f"{name} is longer than a DNS name can be"
        raise ValueError(message)
    return encoded


def encode_record(owner: bytes, type_: int, ttl: int, rdata: bytes) -> bytes:
    """One record of class IN; ``owner`` is a name with length octets or a compression pointer."""
    return owner + _RECORD.pack(type_, CLASS_IN, ttl, len(rdata)) + rdata


def _read_name(data: bytes, at: int) -> tuple[int, tuple[int, ...]]:
    """Return where a name ends, and where each of its labels begins, counted from its first byte.

    A pointer is refused: in front of the only name there is nothing to point to.
    """
    start = at
    labels = []
    while True:
        labels.append(at - start)
        if at >= len(data) or at - start >= _MAX_NAME:
            raise MalformedQueryError
        length = data[at]
        if not length:
            return at + 1, tuple(labels)
        if length > _MAX_LABEL:
            raise MalformedQueryError
        at += 1 + length


def _read_additional(data: bytes, at: int, count: int) -> dict[int, tuple[int, int]]:
    """Class and TTL of each record behind the question, by type.

    Raises:
        MalformedQueryError: Cut short, bytes behind the last one, or an OPT record that is
            malformed, below a name, or there twice.
        struct.error: Cut short.
    """
    found: dict[int, tuple[int, int]] = {}
    for _ in range(count):
        root = data[at : at + 1] == b"\0"
        if data[at : at + 1] >= b"\xc0":  # a pointer, as TSIG's name may be; not followed
            at += 2
        else:
            at, _labels = _read_name(data, at)
        type_, rdclass, ttl, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + length > len(data):
            raise MalformedQueryError
        if type_ == RecordType.OPT:
            if not root or type_ in found:
                raise MalformedQueryError
            _check_options(data, at, at + length)
        found[type_] = (rdclass, ttl)
        at += length
    if at != len(data):
        raise MalformedQueryError
    return found


def _check_options(data: bytes, at: int, end: int) -> None:
    """No option is understood, as RFC 6891 section 6.1.2 allows, but each has to fit."""
    while at < end:
        if end - at < _OPTION.size:
            raise MalformedQueryError
        at += _OPTION.size + _OPTION.unpack_from(data, at)[1]
    if at != end:
        raise MalformedQueryError
