"""Whether visitors of a custom hostname reach this edge: its addresses are those of the domain.

Looked at before a token gets a hostname outside of the edge's domain. Otherwise a name that is
typed wrongly, or whose records are not made yet, would serve nobody, and its certificate would be
ordered again and again in vain.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ...errors import HostnameElsewhereError
from .addresses import public_addresses
from .lookup import DNSLookupError, Lookup
from .records import PROBE

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_pointing", "is_below"]

TIMEOUT: Final = 15.0
"""Seconds for all questions about one hostname, which are asked at one time."""

_SHOWN: Final = 4  # addresses in one sentence


def is_below(hostname: str, domain: str) -> bool:
    """Whether a name or wildcard is the edge's domain or below it: its records are the domain's."""
    return hostname.removeprefix("*.") == domain or hostname.endswith(f".{domain}")


async def check_pointing(
    hostname: str, domain: str, lookup: Lookup, *, own: Sequence[str] | None = None
) -> None:
    """See that a hostname leads to the edge.

    Args:
        hostname: A normal name or a wildcard.
        domain: The edge's own, which leads to it.
        lookup: Asks.
        own: Addresses of this machine; those that others can reach, when left out.

    Raises:
        HostnameElsewhereError: It does not, or nobody knows: one sentence says what to do.

    Takes ``TIMEOUT`` seconds at the most. Cancelling it loses nothing.
    """
    asked = hostname.replace("*", PROBE)
    try:
        async with asyncio.timeout(TIMEOUT):
            found, edge, below = await asyncio.gather(
                _addresses(asked, lookup),
                _addresses(domain, lookup),
                _addresses(f"{PROBE}.{domain}", lookup),
            )
    except TimeoutError:
        why = f"the addresses of {hostname} were not found within {TIMEOUT:g} s; try again later"
        raise HostnameElsewhereError(hostname, why) from None
    except DNSLookupError as error:
        raise HostnameElsewhereError(hostname, f"{hostname}: {error}") from error
    right = {*edge, *below, *(public_addresses() if own is None else own)}
    record = f"`{hostname}. CNAME {domain}.`"
    if not right:
        why = f"the edge's own domain {domain} has no address; make its records first"
    elif not found:
        why = f"{hostname} has no address; make the record {record}, and try again"
    elif foreign := [one for one in found if one not in right]:
        why = (
            f"{hostname} leads to {_listed(foreign)}, and the edge is at {_listed(sorted(right))}; "
            f"make the record {record} in place of those, and try again"
        )
    else:
        return
    raise HostnameElsewhereError(hostname, why)


async def _addresses(name: str, lookup: Lookup) -> list[str]:
    both = await asyncio.gather(*(lookup.find(name, kind) for kind in ("A", "AAAA")))
    return [one.to_text() for records in both for one in records]


def _listed(addresses: Sequence[str]) -> str:
    rest = len(addresses) - _SHOWN
    shown = ", ".join(addresses[:_SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown
