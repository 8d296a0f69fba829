"""Asks other DNS servers, each question with a bound.

Two ways: through this machine's resolver (``find``), and the servers of a zone directly, past every
cache (``servers_of``, ``ask``). Used to see whether a proof is visible and whether an owner's
records are there. It decides nothing about what it finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.resolver

from ...errors import CertificateError

__all__ = ["DNSLookupError", "Lookup", "ZoneServers", "absolute", "plain"]

TIMEOUT: Final = 6.0
"""Seconds for one question to the resolver, repetitions included: three tries of 2 s."""

SERVER_TIMEOUT: Final = 3.0
"""Seconds for one question to a server of a zone."""

MAX_SERVERS: Final = 8
"""Servers of a zone that are looked at; the root has 13, other zones two to six."""

MAX_ALIASES: Final = 8
"""CNAME records in a row that are followed."""

_PAYLOAD: Final = 1232


class DNSLookupError(CertificateError):
    """A question got no reply, or one that says nothing (SERVFAIL)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneServers:
    """Who answers for a zone."""

    zone: str  #: without a final dot; empty: the root
    servers: list[tuple[str, str]]  #: hostname and address, an entry for each address


class Lookup:
    """Asks questions.

    Args:
        nameservers: Addresses and ports of resolvers; empty: those of this machine
            (``/etc/resolv.conf``).
        port: Of the servers of zones; another one than 53 is for tests.
    """

    def __init__(self, nameservers: Sequence[tuple[str, int]] = (), *, port: int = 53) -> None:
        self._nameservers = list(nameservers)
        self._port = port
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def find(self, name: str, kind: str) -> list[dns.rdata.Rdata]:
        """Return the records of a name, by this machine's resolver; CNAME records are followed.

        Args:
            name: Without a final dot.
            kind: ``A``, ``TXT`` and so on.

        Returns:
            Empty where there are none, or no such name.

        Raises:
            DNSLookupError: There is no reply, or it says nothing.

        Cancelling it loses nothing.
        """
        found = await self._resolve(absolute(name), kind)
        return list(found[1])

    async def canonical(self, name: str) -> str:
        """Return where a name's CNAME records lead to; the name itself where it has none.

        Only CNAME is asked for, so that no resolver remembers that there is no TXT record yet.

        Raises:
            DNSLookupError: There is no reply, or the records go in a circle.
        """
        for _ in range(MAX_ALIASES):
            owner, found = await self._resolve(absolute(name), "CNAME")
            if not found or owner != absolute(name):
                return name
            name = plain(found[0].target)  # type: ignore[attr-defined]
        message = f"{name} leads through more than {MAX_ALIASES} CNAME records; remove some"
        raise DNSLookupError(message)

    async def servers_of(self, name: str) -> ZoneServers:
        """Return the zone that a name is in, and the addresses of its servers.

        Raises:
            DNSLookupError: The resolver does not know them.
        """
        zone = absolute(name)
        while True:
            owner, found = await self._resolve(zone, "SOA")
            if found and owner == zone:
                break
            if zone == dns.name.root:
                message = f"no zone was found for {name}; is this machine's resolver working?"
                raise DNSLookupError(message)
            zone = zone.parent()
        hosts = sorted(
            plain(one.target)  # type: ignore[attr-defined]
            for one in await self.find(plain(zone), "NS")
        )[:MAX_SERVERS]
        kinds = [(host, kind) for host in hosts for kind in ("A", "AAAA")]
        found_all = await asyncio.gather(
            *(self.find(host, kind) for host, kind in kinds), return_exceptions=True
        )
        servers = [
            (host, one.to_text())
            for (host, _), found_one in zip(kinds, found_all, strict=True)
            if not isinstance(found_one, BaseException)
            for one in found_one[:2]
        ]
        if not servers:
            message = (
                f"the servers of the zone {plain(zone)} have no addresses; check its NS records"
            )
            raise DNSLookupError(message)
        return ZoneServers(zone=plain(zone), servers=servers)

    async def ask(self, address: str, name: str, kind: str) -> dns.message.Message:
        """Ask one server directly, without recursion, over UDP and then TCP when truncated.

        Raises:
            DNSLookupError: It does not reply in time.
        """
        query = dns.message.make_query(absolute(name), kind, use_edns=0, payload=_PAYLOAD)
        query.flags &= ~dns.flags.RD
        try:
            async with asyncio.timeout(SERVER_TIMEOUT):
                reply, _ = await dns.asyncquery.udp_with_fallback(
                    query, address, SERVER_TIMEOUT, self._port, ignore_errors=True
                )
        except (dns.exception.DNSException, OSError, EOFError) as error:
            message = f"the server {address} did not answer for {name} ({_what(error)})"
            raise DNSLookupError(message) from error
        return reply

    async def _resolve(
        self, name: dns.name.Name, kind: str
    ) -> tuple[dns.name.Name, Sequence[dns.rdata.Rdata]]:
        """The name at the end of the CNAME records, and its records."""
        resolver = self._resolver or await self._make_resolver()
        try:
            async with asyncio.timeout(TIMEOUT + 1):
                answer = await resolver.resolve(
                    name, kind, raise_on_no_answer=False, lifetime=TIMEOUT, search=False
                )
        except dns.resolver.NXDOMAIN as error:
            return error.canonical_name, ()
        except (dns.exception.DNSException, OSError, EOFError) as error:
            message = (
                f"looking up {kind} of {plain(name)} failed ({_what(error)}); try again, and check "
                "this machine's resolver in /etc/resolv.conf"
            )
            raise DNSLookupError(message) from error
        return answer.canonical_name, () if answer.rrset is None else tuple(answer.rrset)

    async def _make_resolver(self) -> dns.asyncresolver.Resolver:
        if self._nameservers:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = [
                dns.nameserver.Do53Nameserver(address, port) for address, port in self._nameservers
            ]
        else:
            try:  # in a thread: it reads a file
                resolver = await asyncio.to_thread(dns.asyncresolver.Resolver)
            except dns.exception.DNSException as error:
                message = "this machine has no resolver; name one in /etc/resolv.conf"
                raise DNSLookupError(message) from error
        resolver.use_edns(0, 0, _PAYLOAD)
        self._resolver = resolver
        return resolver


def absolute(name: str) -> dns.name.Name:
    """A name as dnspython has it.

    Raises:
        DNSLookupError: It is no DNS name.
    """
    try:
        return dns.name.from_text(name)
    except dns.exception.DNSException as error:
        message = f"{name} is no DNS name ({_what(error)}); correct it"
        raise DNSLookupError(message) from error


def plain(name: dns.name.Name) -> str:
    """A name as this project has it: lower-case, without a final dot."""
    return name.to_text(omit_final_dot=True).lower()


def _what(error: BaseException) -> str:
    """An error in a few words; dnspython's own lists every server and try."""
    if isinstance(error, dns.resolver.NoNameservers):
        return "SERVFAIL, or no server can be reached"
    if isinstance(error, dns.exception.Timeout | TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__
