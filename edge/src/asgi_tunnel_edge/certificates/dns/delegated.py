"""The solver whose records the edge itself answers: those of the delegated zone."""

from __future__ import annotations

import logging

from ...errors import SolverError
from .zone import Zone, ZoneFullError

__all__ = ["DelegatedZoneSolver", "place_in"]

_log = logging.getLogger("asgi_tunnel_edge.dns")


class DelegatedZoneSolver:
    """Puts proofs into a zone of this edge.

    Args:
        zone: The same that the edge's ``DNSServer`` answers for.
    """

    kind = "dns-01"

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    async def present(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`; the next query gets the value."""
        try:
            self._zone.add(place_in(self._zone.name, name), value)
        except ZoneFullError as error:
            message = (
                f"no room for the proof of {name} in the zone {self._zone.name} ({error}); wait "
                "until the orders in progress are done"
            )
            raise SolverError(message) from error
        except ValueError as error:
            message = (
                f"the proof of {name} cannot stand in the zone {self._zone.name} ({error}); "
                "delegate a zone with a shorter name"
            )
            raise SolverError(message) from error

    async def clear(self, name: str, value: str) -> None:
        """See :class:`..acme.solver.Solver`."""
        try:
            self._zone.remove(place_in(self._zone.name, name), value)
        except ValueError as error:
            _log.warning("the proof of %s was not in the zone: %s", name, error)


def place_in(zone: str, name: str) -> str:
    """Where the proof of an identifier stands in a zone.

    The zone ``_acme-challenge.example.org`` is itself the place of ``example.org``. Another name
    has a place of its own below the zone, to which its ``_acme-challenge`` record leads by CNAME:
    ``example.com._acme-challenge.example.org``.
    """
    own = f"_acme-challenge.{name}"
    return own if own == zone else f"{name}.{zone}"
