"""The doors of an edge as its settings and its store have them.

``access``, ``link``, ``user`` and ``doctor`` look at them. What is decided is what a running edge
decides (``asgi_tunnel_edge.access``); nothing is asked or changed.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from asgi_tunnel_edge.access.doors import Doors
from asgi_tunnel_edge.access.session import SessionSigner
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.hostname import wildcard_of
from asgi_tunnel_edge.settings.access import PUBLIC, split_path
from asgi_tunnel_edge.settings.dashboard import dashboard_doors
from asgi_tunnel_edge.settings.guards import HostnameConfig
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from asgi_tunnel_edge.access.paths import Door
    from asgi_tunnel_edge.settings.config import EdgeConfig
    from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

__all__ = ["DoorMap", "PathRule", "check_no_door"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRule:
    """What stands in front of one path of a hostname."""

    method: str  #: empty: any
    path: str
    policy: str | None  #: None: everybody may come in


class DoorMap:
    """See the module.

    Args:
        config: Of the edge.
        snapshot: Of its store.

    Attributes:
        config: As given.
        doors: They decide; sessions of the running edge are none here.
        snapshot: As given.
    """

    def __init__(self, config: EdgeConfig, snapshot: Snapshot) -> None:
        self.config = config
        self.snapshot = snapshot
        issuers = {name: one.issuer for name, one in config.oidc.items()}
        self.doors = Doors(config.policies, SessionSigner(os.urandom(32)), self.door, issuers)
        self.doors.apply(snapshot.access)
        self._guards = Guards(config, policies=self.doors.policies)

    @classmethod
    def load(cls, config: EdgeConfig) -> Self:
        """Read the store.

        Raises:
            StorageError: It cannot be read.
        """
        return cls(config, Store(config.database).snapshot())

    def door(self, hostname: str) -> Door | None:
        """Return the doors of a hostname or wildcard; None: everybody may come in everywhere."""
        return self._guards.rules(hostname).door

    def owner(self, hostname: str) -> TokenRecord | None:
        """Return the token whose app serves a hostname; None: nobody's, or the edge itself does."""
        if self.is_own(hostname):
            return None
        owners = self.snapshot.owners
        return owners.get(hostname) or owners.get(wildcard_of(hostname) or "")

    def is_own(self, hostname: str) -> bool:
        """Whether it is the dashboard's."""
        return hostname in dashboard_doors(self.config.dashboard, {})

    def is_end_to_end(self, hostname: str) -> bool:
        """Whether TLS ends in the app, so that no door can stand there."""
        record = self.owner(hostname)
        return record is not None and not {hostname, wildcard_of(hostname)}.isdisjoint(
            record.end_to_end
        )

    def hostnames(self) -> list[str]:
        """Return those of tokens, and those that have a door without having a token, sorted."""
        shut = [name for name in self.config.own_hostnames if self.door(name) is not None]
        return sorted({*self.snapshot.owners, *shut})

    def rules(self, hostname: str) -> list[PathRule]:
        """Return what stands in front of each path; the hostname's own first."""
        own = _settings(self.config, hostname)
        rules = [PathRule(method="", path="/", policy=_policy(own.access))]
        for text, name in own.access_paths.items():
            method, path = split_path(text) or ("", text)
            rules.append(PathRule(method=method, path=path, policy=_policy(name)))
        return rules

    def has_policy(self, hostname: str, names: Collection[str]) -> bool:
        """Whether one of some policies stands somewhere at a hostname."""
        return any(one.policy in names for one in self.rules(hostname))


def check_no_door(config: EdgeConfig, names: Collection[str]) -> None:
    """See that no door would stand where TLS ends in the app: the edge could not ask anybody.

    Args:
        config: Of the edge.
        names: Hostnames and wildcards that are to be end to end.

    Raises:
        EdgeConfigError: One has a door in ``edge.toml``.
    """
    guards = Guards(config)
    for name in names:
        below = [one for one in config.own_hostnames if wildcard_of(one) == name]
        for one in (name, *below):
            if guards.rules(one).door is not None:
                why = f"{one} has a door in edge.toml, and the edge cannot read what is end to end"
                fix = (
                    f'take access and access_paths out of [hostnames."{one}"], or let TLS end here'
                )
                raise EdgeConfigError("--end-to-end", why, fix)


def _settings(config: EdgeConfig, hostname: str) -> HostnameConfig:
    named = config.own_hostnames
    own = named.get(hostname) or named.get(wildcard_of(hostname) or "")
    return own or HostnameConfig()


def _policy(name: str | None) -> str | None:
    return None if name == PUBLIC else name
