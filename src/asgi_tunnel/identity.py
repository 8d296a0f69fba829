"""Who a visitor is, for apps: typed, and from the scope alone.

The edge says it once one of its doors has let the visitor in, and :mod:`.asgi` puts it into the
scope.  Nothing that a visitor, or a program on this machine, sends can put it there: a request that
did not come through the tunnel has no such key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["EXTENSION", "Visitor", "visitor"]

EXTENSION: Final = "asgi_tunnel"
"""Where ``scope["extensions"]``, or the environment of a WSGI app, has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """One visitor, whom a door of the edge has let in."""

    subject: str  #: unique for ever: ``user:anna``, ``oidc:google:1042``, ``link:ID``, ``token:ID``
    name: str = ""  #: for people; may be empty
    email: str = ""  #: empty: not known
    groups: tuple[str, ...] = ()  #: in the edge's order
    method: str = ""  #: how it was shown: ``password``, ``passkey``, ``oidc``, ``link``, ...
    since: int = 0  #: of the login, in seconds since 1970
    policy: str = ""  #: the ``[access.NAME]`` of the edge that let them in

    @property
    def display_name(self) -> str:
        """What to call them: the name, else the e-mail address, else the subject."""
        return self.name or self.email or self.subject

    def encode(self) -> bytes:
        """Return the line that an edge sends; for :mod:`.testing`."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


def visitor(connection: Any) -> Visitor | None:
    """Return who a visitor is; None: there is no door, or it did not come through the tunnel.

    Args:
        connection: An ASGI scope, or what has one as ``scope``: a request or WebSocket of
            Starlette, FastAPI, Litestar, Quart or Django.  Of WSGI, the environment, or what has
            one as ``environ``: a request of Flask, or of Django.

    Raises:
        TypeError: It is none of them.
    """
    scope = connection
    if not isinstance(scope, Mapping):
        scope = getattr(connection, "scope", None)
        if scope is None:
            scope = getattr(connection, "environ", None)
        if not isinstance(scope, Mapping):
            kind = type(connection).__name__
            raise TypeError(f"visitor() takes a scope, or a request that has one, not {kind}")
    extensions = scope.get("extensions")
    if extensions is None:
        extensions = scope  # of WSGI, or of a server that offers none
    found = extensions.get(EXTENSION, {}).get("visitor")
    return None if found is None else Visitor(**{**found, "groups": tuple(found["groups"])})
