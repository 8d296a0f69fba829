"""Whom one ``[access.NAME]`` lets in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .identity import Identity

if TYPE_CHECKING:
    from ..settings.access import AccessConfig

__all__ = ["Policy"]

_EVERYBODY: Final = "*"


class Policy:
    """One policy.

    Args:
        name: As paths and hostnames have it.
        config: What its table says.

    Attributes:
        groups: Of users of this edge, or as a provider names them.
        methods: Ways to show who one is.
        providers: The only ones that are asked; none: all.
        lifetime: Seconds from a login to the next one.
        oauth: Programs may ask for access tokens.
    """

    __slots__ = (
        "_domains",
        "_emails",
        "_users",
        "groups",
        "lifetime",
        "methods",
        "name",
        "oauth",
        "providers",
    )

    def __init__(self, name: str, config: AccessConfig) -> None:
        self.name = name
        self.methods: frozenset[str] = frozenset(config.methods)
        self.lifetime = config.session
        self.oauth = config.oauth
        self.providers = frozenset(config.providers)
        self._users = frozenset(config.users)
        self.groups = frozenset(config.groups)
        self._emails = frozenset(one.lower() for one in config.emails)
        self._domains = frozenset(config.domains)

    def admits(self, identity: Identity, user: str | None, provider: str | None) -> bool:
        """Whether somebody who has logged in may pass.

        Args:
            identity: Who it is.
            user: The name, of a user of this edge.
            provider: Who vouches for them, of anybody else.
        """
        if identity.method not in self.methods:
            return False
        if user is not None:
            is_named = user in self._users or _EVERYBODY in self._users
            return is_named or not self.groups.isdisjoint(identity.groups)
        if provider is None or (self.providers and provider not in self.providers):
            return False
        if not self.groups.isdisjoint(identity.groups):
            return True
        email = identity.email.lower()
        if not email:
            return _EVERYBODY in self._emails
        return (
            _EVERYBODY in self._emails
            or email in self._emails
            or email.rpartition("@")[2] in self._domains
        )
