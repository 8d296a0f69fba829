"""Waits until a proof is visible where a CA looks for it: at the servers of its zone.

For solvers whose records take time, from the edge to a provider's database to its servers. The
delegated zone needs no wait: what it has been given it answers at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import dns.message
import dns.rdatatype

from ...errors import SolverError
from .lookup import DNSLookupError, Lookup, plain

if TYPE_CHECKING:
    from ..acme.solver import Solver

__all__ = ["CheckedSolver", "proof_record", "wait_until_visible"]

TIMEOUT: Final = 180.0
"""Seconds until a proof has to be visible. Providers say a minute; some of them take two."""

INTERVAL: Final = 2.0
"""Seconds between two looks."""

_SHOWN: Final = 4  # servers in one sentence

_log = logging.getLogger("asgi_tunnel_edge.dns")


def proof_record(name: str) -> str:
    """The name of the TXT record for an identifier (RFC 8555 section 8.4)."""
    return f"_acme-challenge.{name}"


class CheckedSolver:
    """A solver of dns-01, and a look at the servers of the zone before the CA looks.

    Args:
        solver: Makes the record.
        lookup: Asks the servers.
        timeout: Seconds to wait.
    """

    kind = "dns-01"

    def __init__(self, solver: Solver, lookup: Lookup, *, timeout: float = TIMEOUT) -> None:
        self._solver = solver
        self._lookup = lookup
        self._timeout = timeout

    async def present(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`; what cannot be seen in time is cleared again.

        Cancelling it leaves the record; ``clear`` takes it away.
        """
        await self._solver.present(name, value)
        try:
            await wait_until_visible(self._lookup, name, value, timeout=self._timeout)
        except SolverError:
            await self._solver.clear(name, value)
            raise

    async def clear(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`."""
        await self._solver.clear(name, value)


async def wait_until_visible(
    lookup: Lookup, name: str, value: str, *, timeout: float = TIMEOUT, interval: float = INTERVAL
) -> None:
    """Return when all servers of the zone that answer have the value, and at least one does.

    Args:
        lookup: Asks the servers.
        name: The identifier, without ``*.``.
        value: Of the TXT record.
        timeout: Seconds.
        interval: Seconds between two looks.

    Raises:
        SolverError: It could not be seen in time.

    Cancelling it loses nothing.
    """
    record = proof_record(name)
    last = "there was no time to look"
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    last = await _look(lookup, record, value)
                except DNSLookupError as error:
                    last = str(error)
                if not last:
                    return
                await asyncio.sleep(interval)
    except TimeoutError:
        message = (
            f"the TXT record of {record} was not visible within {timeout:g} s ({last}); check "
            "that it is made in the right zone, and wait longer where the provider is slow"
        )
        raise SolverError(message) from None


async def _look(lookup: Lookup, record: str, value: str) -> str:
    """What is missing; empty when the value is everywhere."""
    target = await lookup.canonical(record)
    zone = await lookup.servers_of(target)
    replies = await asyncio.gather(
        *(lookup.ask(address, target, "TXT") for _, address in zone.servers),
        return_exceptions=True,
    )
    without, silent = [], []
    for server, reply in zip(zone.servers, replies, strict=True):
        where = f"{server[0]} ({server[1]})"
        if isinstance(reply, DNSLookupError):
            silent.append(where)
        elif isinstance(reply, BaseException):
            raise reply
        elif not _has(reply, value):
            without.append(where)
    if without:
        return f"not yet at {', '.join(without[:_SHOWN])}"
    if len(silent) == len(zone.servers):
        return f"no answer from {', '.join(silent[:_SHOWN])}"
    _log.debug("%s is visible in the zone %s", record, plain(dns.name.from_text(zone.zone)))
    return ""


def _has(reply: dns.message.Message, value: str) -> bool:
    wanted = value.encode()
    return any(
        b"".join(one.strings) == wanted
        for rrset in reply.answer
        if rrset.rdtype == dns.rdatatype.TXT
        for one in rrset
    )
