"""The record of dns-persist-01: made once by the owner, looked at by the edge.

Source: draft-ietf-acme-dns-persist. The text of the record comes from ``certificates/acme``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dns.rdatatype import TXT

from ...errors import SolverError
from .caa import parse_issue_value
from .lookup import DNSLookupError, Lookup

__all__ = ["PersistentRecordSolver", "persistent_name", "record_fits", "texts_of"]


class PersistentRecordSolver:
    """Shows nothing by itself: it sees to it that a CA is only asked when the record is there.

    Args:
        lookup: Asks the questions.
        clock: Seconds since 1970, for ``persistUntil``.
    """

    kind = "dns-persist-01"

    def __init__(self, lookup: Lookup, *, clock: Callable[[], float] = time.time) -> None:
        self._lookup = lookup
        self._clock = clock

    async def present(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`; cancelling it loses nothing."""
        record = persistent_name(name)
        try:
            found = await texts_of(self._lookup, record)
        except DNSLookupError as error:
            raise SolverError(str(error)) from error
        now = self._clock()
        if not any(record_fits(text, value, now=now) for text in found):
            there = "another value" if found else "no TXT record"
            message = f'{record} has {there}; make this TXT record there: "{value}"'
            raise SolverError(message)

    async def clear(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`; the record stays, as its name says."""


def persistent_name(name: str) -> str:
    """Where the record of an identifier is."""
    return f"_validation-persist.{name}"


def record_fits(found: str, wanted: str, *, now: float) -> bool:
    """Is a record as good as the wanted one: same CA, same parameters or more, not expired?

    Args:
        found: The text of a TXT record, its strings joined.
        wanted: The text that was asked for.
        now: Seconds since 1970.
    """
    there, need = parse_issue_value(found), parse_issue_value(wanted)
    if there is None or need is None or there[0] != need[0]:
        return False
    until = there[1].get("persistuntil", "")
    if until and not (until.isascii() and until.isdigit() and now < int(until[:12])):
        return False
    return all(there[1].get(tag) == value for tag, value in need[1].items())


async def texts_of(lookup: Lookup, name: str) -> list[str]:
    """The TXT records of a name, the strings of each joined.

    Raises:
        DNSLookupError: There is no reply.
    """
    return [
        b"".join(one.strings).decode("utf-8", "replace")  # type: ignore[attr-defined]
        for one in await lookup.find(name, "TXT")
        if one.rdtype == TXT
    ]
