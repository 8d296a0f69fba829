"""The solver whose record a DNS server of the owner's takes over the network (RFC 2136).

For BIND, Knot, PowerDNS and the providers that take dynamic updates. Each update is signed with a
key that the server knows (TSIG, RFC 8945), and so is its reply; the key need be allowed no more
than TXT at ``_acme-challenge``. Updates go over TCP, and over UDP where TCP does not get through.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update

from ...errors import SolverError
from .lookup import DNSLookupError, Lookup, absolute, plain
from .propagation import proof_record

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ALGORITHMS", "UpdateServer", "UpdateSolver", "read_key"]

ALGORITHMS: Final = {
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}
"""What a key may be for; SHA-1 and MD5 are not."""

TRY_TIMEOUT: Final = 8.0
"""Seconds for one try; a server writes an update to its disk before it replies."""

RECORD_TTL: Final = 60
"""Seconds that a proof may be remembered; some servers take no less."""

MAX_KEY_FILE: Final = 4096
"""Bytes of a key file; those of tsig-keygen have 100."""

# As tsig-keygen prints it and BIND reads it.
_KEY_FILE: Final = re.compile(
    r'key\s+"?([^"\s{]+)"?\s*\{\s*algorithm\s+"?([^";\s]+)"?\s*;\s*secret\s+"?([^";\s]+)"?\s*;'
)

_log = logging.getLogger("asgi_tunnel_edge.dns")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateServer:
    """Where updates go."""

    host: str  #: name or address of the zone's primary server
    port: int = 53
    zone: str  #: the zone that has the record, as the server knows it: ``example.org``


class UpdateSolver:
    """Adds and removes TXT records by signed updates.

    Args:
        server: Where they go.
        key: Signs them; see :func:`read_key`.
        lookup: Follows CNAME records from ``_acme-challenge`` into the zone. None: the record is
            always ``_acme-challenge`` below the identifier.
    """

    kind = "dns-01"

    def __init__(
        self, server: UpdateServer, key: dns.tsig.Key, *, lookup: Lookup | None = None
    ) -> None:
        self._server = server
        self._zone = absolute(server.zone)
        self._key = key
        self._lookup = lookup

    async def present(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`; a value that is there already makes no difference.

        Cancelling it may leave the record; ``clear`` takes it away.
        """
        await self._update(await self._record(name), value, add=True)

    async def clear(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`; only this value goes."""
        try:
            await self._update(await self._record(name), value, add=False)
        except SolverError as error:
            _log.warning("the TXT record of %s may be left behind: %s", proof_record(name), error)

    async def _record(self, name: str) -> dns.name.Name:
        """The record's name, which is in the zone."""
        record = absolute(proof_record(name))
        if not record.is_subdomain(self._zone) and self._lookup is not None:
            try:
                record = absolute(await self._lookup.canonical(plain(record)))
            except DNSLookupError as error:
                raise SolverError(str(error)) from error
        if record.is_subdomain(self._zone):
            return record
        message = (
            f"{plain(record)} is not in the zone {self._server.zone}; set the zone that has it, "
            f"or make {proof_record(name)} a CNAME record to a name in the zone"
        )
        raise SolverError(message)

    async def _update(self, record: dns.name.Name, value: str, *, add: bool) -> None:
        # In quotes: a value may begin with a hyphen, and holds no quotes (base64url).
        rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, f'"{value}"')
        update = dns.update.UpdateMessage(self._zone)
        update.use_tsig(self._key)
        if add:
            update.add(record, RECORD_TTL, rdata)
        else:
            update.delete(record, rdata)
        server = self._server
        what = f"the update of {plain(record)} at {server.host}"
        try:
            reply = await self._send(update)
        except (dns.exception.DNSException, OSError, EOFError) as error:
            message = f"{what} failed ({_why(error, self._key)}"
            raise SolverError(message) from error
        if reply.rcode() != dns.rcode.NOERROR:
            message = f"{what} was refused ({_why_refused(reply.rcode(), server, self._key)}"
            raise SolverError(message)

    async def _send(self, update: dns.update.UpdateMessage) -> dns.message.Message:
        """Send over TCP, else over UDP: adding or removing twice is the same as once."""
        server = self._server
        async with asyncio.timeout(TRY_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(server.host, server.port)
        address = found[0][4][0]
        assert isinstance(address, str)
        try:
            async with asyncio.timeout(TRY_TIMEOUT):
                return await dns.asyncquery.tcp(update, address, TRY_TIMEOUT, server.port)
        except (OSError, EOFError, dns.exception.Timeout) as error:
            _log.debug("no update over TCP: %s", error)
        async with asyncio.timeout(TRY_TIMEOUT):
            return await dns.asyncquery.udp(update, address, TRY_TIMEOUT, server.port)


def read_key(path: Path, *, name: str = "", algorithm: str = "hmac-sha256") -> dns.tsig.Key:
    """Read the key that updates are signed with; it blocks for the reading of a file.

    Args:
        path: What ``tsig-keygen`` prints (name and algorithm then come from it), or the secret
            alone in base64.
        name: The key's name, as the server knows it; for a secret alone.
        algorithm: One of ``ALGORITHMS``; for a secret alone.

    Raises:
        SolverError: The file cannot be read or holds no key. The secret is in no error.
    """
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(MAX_KEY_FILE).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        message = f"the TSIG key {path} cannot be read ({why}); set the right file"
        raise SolverError(message) from error
    match = _KEY_FILE.search(text)
    if match:
        name, algorithm, secret = match.groups()
    elif name:
        secret = text
    else:
        message = f"the TSIG key {path} is a secret without a name; set the key's name too"
        raise SolverError(message)
    try:
        raw = base64.b64decode(secret, validate=True)
        key = dns.tsig.Key(name, raw, ALGORITHMS.get(algorithm, algorithm))
        if not raw:
            raise ValueError
    except (ValueError, dns.exception.DNSException):
        message = (
            f"{path} holds no TSIG key; give what `tsig-keygen NAME` prints, or the secret alone "
            "in base64"
        )
        raise SolverError(message) from None
    if key.algorithm not in ALGORITHMS.values():
        message = (
            f"the TSIG key {path} is for {plain(key.algorithm)}; make one for "
            f"{', '.join(ALGORITHMS)}"
        )
        raise SolverError(message)
    return key


def _why(error: Exception, key: dns.tsig.Key) -> str:
    """The rest of the sentence: why there was no good reply, and what to do."""
    name = plain(key.name)
    if isinstance(error, dns.tsig.PeerBadKey):
        return f"it does not know the key {name}); set the key's name and algorithm as it has them"
    if isinstance(error, dns.tsig.PeerBadSignature | dns.tsig.BadSignature):
        return f"the secret of the key {name} is another one there); copy it again"
    if isinstance(error, dns.tsig.PeerBadTime | dns.tsig.BadTime):
        return "its clock and this machine's differ); set both by NTP"
    if isinstance(error, dns.exception.Timeout | TimeoutError):
        return "timed out); check the server's name and port, and firewalls between"
    if isinstance(error, OSError):
        return f"{error.strerror or error}); check the server's name and port"
    if isinstance(error, dns.exception.FormError | dns.query.BadResponse | EOFError):
        return "its reply is not signed, or none); is this the zone's primary server?"
    return f"{str(error) or type(error).__name__}); check the server's log"


def _why_refused(rcode: int, server: UpdateServer, key: dns.tsig.Key) -> str:
    text = dns.rcode.to_text(dns.rcode.Rcode(rcode))
    if rcode == dns.rcode.REFUSED:
        return (
            f"{text}); allow the key {plain(key.name)} there to change TXT records at "
            "_acme-challenge (BIND: update-policy)"
        )
    if rcode in (dns.rcode.NOTAUTH, dns.rcode.NOTZONE):
        return f"{text}); it is not the primary server of the zone {server.zone}: correct either"
    return f"{text}); the server's log says why"
