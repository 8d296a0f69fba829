"""What the delegated zone answers: query bytes to reply bytes, without sockets and clocks.

The owner of ``example.org`` delegates ``_acme-challenge.example.org``, or another name that
``_acme-challenge`` records lead to by CNAME, to this edge once; the edge then makes the proofs of
dns-01 visible by itself (RFC 8555 section 8.4). The zone holds these proofs and nothing else, and
no other zone is answered for. It is not signed: the delegation has no DS record.

``server`` has the sockets; ``delegated`` puts the proofs in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from .wire import (
    CLASS_IN,
    MAX_UDP_REPLY,
    MIN_UDP_REPLY,
    MalformedQueryError,
    Query,
    Rcode,
    RecordType,
    bare_reply,
    encode_name,
    encode_record,
    is_query,
    opcode_of,
    read_query,
    reply,
)

__all__ = ["MAX_NAMES", "MAX_VALUES", "Zone", "ZoneFullError"]

MAX_VALUES: Final = 16
"""TXT values of one name at one time: a wildcard, its base, and what failed orders left. All of
them fit in one UDP reply."""

MAX_NAMES: Final = 1024
"""Names with values at one time, 1 MB: orders in progress, of which the issuer has a few."""

TTL: Final = 1
"""Seconds that a proof, or that there is none, may be remembered: the next proof of the same name
has to be seen at once. As acme-dns has it."""

APEX_TTL: Final = 3600
"""Seconds for the records that never change."""

_MAX_TCP_REPLY: Final = 65535
_MAX_VALUE: Final = 255  # bytes of one string in a TXT record
_META: Final = range(128, 255)  # types of transfers and the like, RFC 6895 section 3.1; ANY is 255
_NOBODY: Final = b"\0\x05issue;"  # CAA: nobody issues for names in this zone
# RFC 8482 section 4.2: ANY gets one small record in the place of all there are.
_HINFO: Final = b"\x07RFC8482\0"

_Records = dict[int, list[bytes]]  # rdata by type


class ZoneFullError(Exception):
    """A bound of the zone is met."""


class Zone:
    """One zone and the proofs in it.

    Args:
        name: The zone's own name, as ``_acme-challenge.example.org``.
        servers: Hostnames of the NS record: the edge's domain, or a name of it in another zone. A
            name inside this zone needs ``addresses``, and glue in the zone above.
        addresses: IPv4 and IPv6 addresses of the servers that are inside the zone.
        serial: Of the SOA record at the start; seconds since 1970 grow over restarts.

    Raises:
        ValueError: A name is no DNS name, an address is none, or addresses are missing.
    """

    def __init__(
        self,
        name: str,
        servers: Sequence[str],
        *,
        addresses: Iterable[str] = (),
        serial: int = 1,
    ) -> None:
        self.name = name.lower().removesuffix(".")
        self._apex = encode_name(name)
        self._servers = [encode_name(server) for server in servers]
        if not self._servers:
            message = "a zone has at least one server"
            raise ValueError(message)
        self._serial = serial & 0xFFFFFFFF
        self._addresses: _Records = {}
        for address in addresses:
            parsed = ipaddress.ip_address(address)
            kind = RecordType.A if parsed.version == 4 else RecordType.AAAA
            self._addresses.setdefault(kind, []).append(parsed.packed)
        self._inside = {server for server in self._servers if self._is_inside(server)}
        if self._inside and not self._addresses:
            message = f"a server inside the zone {self.name} needs its addresses"
            raise ValueError(message)
        self._values: dict[bytes, list[bytes]] = {}  # rdata of TXT by name
        self._names: dict[bytes, _Records] = {}  # all that exist; made anew at each change
        self._note_change()

    def add(self, name: str, value: str) -> None:
        """Put a TXT value at a name in the zone; one that is there already makes no difference.

        Raises:
            ValueError: The name is not in the zone, or the value is longer than 255 bytes.
            ZoneFullError: The name has ``MAX_VALUES`` values, or the zone ``MAX_NAMES`` names.
        """
        owner = self._owner(name)
        data = value.encode()
        if len(data) > _MAX_VALUE:
            message = f"the value has {len(data)} bytes, and one string holds {_MAX_VALUE}"
            raise ValueError(message)
        values = self._values.get(owner, [])
        rdata = bytes((len(data),)) + data
        if rdata in values:
            return
        if len(values) >= MAX_VALUES:
            message = f"{name} has {MAX_VALUES} values already"
            raise ZoneFullError(message)
        if owner not in self._values and len(self._values) >= MAX_NAMES:
            message = f"{MAX_NAMES} names have values already"
            raise ZoneFullError(message)
        self._values[owner] = [*values, rdata]
        self._note_change()

    def remove(self, name: str, value: str) -> None:
        """Take a TXT value away; one that is not there makes no difference."""
        owner = self._owner(name)
        data = value.encode()
        values = self._values.get(owner, [])
        left = [rdata for rdata in values if rdata[1:] != data]
        if len(left) == len(values):
            return
        if left:
            self._values[owner] = left
        else:
            del self._values[owner]
        self._note_change()

    def holds(self, name: str) -> bool:
        """Is this name in the zone?"""
        try:
            return self._is_inside(encode_name(name))
        except ValueError:
            return False

    def answer(self, query: bytes, *, tcp: bool) -> bytes | None:
        """Return the reply to a query.

        Args:
            query: What came, without TCP's length.
            tcp: Over TCP a reply may be of any length, over UDP of ``MAX_UDP_REPLY`` bytes at the
                most, or what the sender takes when that is less; a longer one is truncated.

        Returns:
            None for what is no query: shorter than a header, or a reply.
        """
        if not is_query(query):
            return None
        if opcode_of(query):
            return bare_reply(query, Rcode.NOTIMP)
        try:
            asked = read_query(query)
        except MalformedQueryError:
            return bare_reply(query, Rcode.FORMERR)
        limit = _MAX_TCP_REPLY if tcp else min(max(asked.payload, MIN_UDP_REPLY), MAX_UDP_REPLY)
        if asked.version:
            return reply(asked, Rcode.BADVERS, limit=limit)
        if asked.signed:
            return reply(asked, Rcode.NOTAUTH, limit=limit)  # RFC 8945 section 5.2: no such key
        apex = self._apex_in(asked)
        if apex is None or asked.rdclass != CLASS_IN or asked.type in _META:
            return reply(asked, Rcode.REFUSED, limit=limit)
        if asked.type == RecordType.OPT:
            return reply(asked, Rcode.FORMERR, limit=limit)
        rcode, sections = self._sections(asked, apex)
        return reply(asked, rcode, sections, authoritative=True, limit=limit)

    def truncated(self, query: bytes) -> bytes | None:
        """Return a reply that says no more than "ask over TCP", as long as the query at the most.

        For a sender that asks too fast and whose address may be made up. None where a query cannot
        be read.
        """
        if not is_query(query) or opcode_of(query):
            return None
        try:
            asked = read_query(query)
        except MalformedQueryError:
            return None
        return reply(asked, Rcode.NOERROR, limit=0)

    def _sections(self, asked: Query, apex: int) -> tuple[Rcode, list[list[bytes]]]:
        """The result for a name in the zone (RFC 1034 section 4.3.2, RFC 2308, RFC 8020)."""
        # Names in records are pointers into the question, so that its case is kept.
        zone = (0xC000 | 12 + apex).to_bytes(2)
        records = self._names.get(asked.lower)
        if records is None:
            return Rcode.NXDOMAIN, [[], [self._soa(zone)], []]
        if asked.type == RecordType.ANY:
            found: _Records = {RecordType.HINFO: [_HINFO]} if records else {}
            wanted = int(RecordType.HINFO)
        else:
            found, wanted = records, asked.type
        ttl = TTL if wanted == RecordType.TXT else APEX_TTL
        answers = [encode_record(b"\xc0\x0c", wanted, ttl, one) for one in found.get(wanted, [])]
        if not answers:
            # Of DS too: the zone above has it, this one can only say that there is none here
            # (RFC 4035 section 3.1.4.1).
            return Rcode.NOERROR, [[], [self._soa(zone)], []]
        glue = []
        if wanted == RecordType.NS:
            glue = [
                encode_record(server, kind, APEX_TTL, one)
                for server in self._servers
                if server in self._inside
                for kind, addresses in self._addresses.items()
                for one in addresses
            ]
        return Rcode.NOERROR, [answers, [], glue]

    def _soa(self, zone: bytes) -> bytes:
        """The record of a reply that there is nothing; its TTL says for how long (RFC 2308)."""
        return encode_record(zone, RecordType.SOA, TTL, self._soa_data)

    def _encode_soa(self) -> bytes:
        server = self._servers[0]
        # Refresh, retry and expire are for secondary servers, of which there are none.
        numbers = (self._serial, 3600, 600, 86400, TTL)
        mailbox = b"\x0ahostmaster" + server if len(server) < 240 else server
        return server + mailbox + b"".join(number.to_bytes(4) for number in numbers)

    def _apex_in(self, asked: Query) -> int | None:
        """Where the zone's name begins in the question; None where it is not in the zone."""
        at = len(asked.lower) - len(self._apex)
        return at if at in asked.labels and asked.lower.endswith(self._apex) else None

    def _is_inside(self, owner: bytes) -> bool:
        return owner == self._apex or any(ancestor == self._apex for ancestor in _ancestors(owner))

    def _owner(self, name: str) -> bytes:
        owner = encode_name(name)
        if not self._is_inside(owner):
            message = f"{name} is not in the zone {self.name}"
            raise ValueError(message)
        return owner

    def _note_change(self) -> None:
        """Put together what each name has; names between others have no records (RFC 4592)."""
        self._serial = self._serial + 1 & 0xFFFFFFFF
        self._soa_data = self._encode_soa()
        names: dict[bytes, _Records] = {
            self._apex: {
                RecordType.SOA: [self._soa_data],
                RecordType.NS: self._servers,
                RecordType.CAA: [_NOBODY],
            }
        }
        for server in self._inside:
            names.setdefault(server, {}).update(self._addresses)
        for name, values in self._values.items():
            names.setdefault(name, {})[RecordType.TXT] = values
        for name in list(names):
            for ancestor in _ancestors(name):
                if len(ancestor) <= len(self._apex):
                    break
                names.setdefault(ancestor, {})
        self._names = names


def _ancestors(name: bytes) -> Iterable[bytes]:
    """The names above an encoded one, the nearest first, without the root."""
    while name[0]:
        name = name[1 + name[0] :]
        if len(name) > 1:
            yield name
