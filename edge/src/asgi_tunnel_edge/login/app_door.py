"""The doors of a hostname together with those that its app names in its own code.

Both hold: an app may want a login where ``edge.toml`` has none, and never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..access.paths import Door, HostDoor
from ..access.policy import Policy
from ..policy.matcher import AppPolicy

__all__ = ["AppDoor", "add_policies", "host_door"]


class AppDoor:
    """See the module.

    Args:
        door: Of the hostname; None: it has none of its own.
        app: The rules of its app.
        policies: Of the edge, by name.
    """

    def __init__(self, door: Door | None, app: AppPolicy, policies: Mapping[str, Policy]) -> None:
        self._door = door
        self._app = app
        self._policies = policies

    @property
    def policies(self) -> tuple[Policy, ...]:
        """See :class:`HostDoor`."""
        own = () if self._door is None else self._door.policies
        return add_policies(own, [rule.access for rule in self._app.rules], self._policies)

    def policies_of(self, method: bytes, target: bytes) -> tuple[Policy, ...]:
        """See :class:`HostDoor`."""
        own = () if self._door is None else self._door.policies_of(method, target)
        match = self._app.match(method, target, is_websocket=False)
        return own if match is None else add_policies(own, match.access, self._policies)


def host_door(
    door: Door | None, app: AppPolicy | None, policies: Mapping[str, Policy]
) -> HostDoor | None:
    """Return what stands in front of a hostname; None: nothing does."""
    return AppDoor(door, app, policies) if app is not None and app.has_access else door


def add_policies(
    policies: tuple[Policy, ...], names: Sequence[str], known: Mapping[str, Policy]
) -> tuple[Policy, ...]:
    """Return policies and those of some names, each once; names that are not known are left out."""
    more = [known[name] for name in names if name in known]
    return tuple(dict.fromkeys((*policies, *more)))
