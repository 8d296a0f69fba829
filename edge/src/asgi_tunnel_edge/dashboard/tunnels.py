"""A token and the sessions that its apps have: what pages call a tunnel. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..tokens import TokenRecord

__all__ = ["Tunnel", "tunnels_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """See the module."""

    token: TokenRecord
    sessions: tuple[Mapping[str, Any], ...]  #: as the question ``tunnels`` describes them

    @property
    def is_online(self) -> bool:
        """Whether an app is connected."""
        return any(one["state"] in ("attached", "draining", "suspect") for one in self.sessions)

    @property
    def in_flight(self) -> int:
        """Exchanges and WebSockets in progress."""
        return sum(one["in_flight"] for one in self.sessions)

    @property
    def round_trip(self) -> float | None:
        """Seconds to the nearest of its apps and back; None: not known."""
        known = [one["round_trip"] for one in self.sessions if one["round_trip"] is not None]
        return min(known, default=None)

    @property
    def agents(self) -> list[str]:
        """The software at the other ends, each once."""
        return list(dict.fromkeys(one["agent"] for one in self.sessions if one["agent"]))

    @property
    def since(self) -> int | None:
        """When the oldest session began, in seconds since 1970."""
        return min((one["since"] for one in self.sessions), default=None)


def tunnels_of(
    tokens: Iterable[TokenRecord], sessions: Sequence[Mapping[str, Any]]
) -> list[Tunnel]:
    """Return a tunnel for each token, in the order of the tokens."""
    by_token: dict[str, list[Mapping[str, Any]]] = {}
    for one in sessions:
        by_token.setdefault(one["token_id"], []).append(one)
    return [Tunnel(token=one, sessions=tuple(by_token.get(one.id, ()))) for one in tokens]
