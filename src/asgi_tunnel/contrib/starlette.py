"""Starlette's authentication, by what a door of the edge says of the visitor.

``Middleware(AuthenticationMiddleware, backend=VisitorBackend())``.  How to: docs/howto/visitor.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser

from asgi_tunnel.identity import Visitor, visitor

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = ["VisitorBackend", "VisitorUser"]


class VisitorUser(BaseUser):
    """What ``request.user`` is.

    Args:
        visitor: Whom a door has let in.

    Attributes:
        visitor: The same.
    """

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    @property
    def is_authenticated(self) -> bool:
        """Always: nobody else is one of these."""
        return True

    @property
    def display_name(self) -> str:
        """What to call them."""
        return self.visitor.display_name

    @property
    def identity(self) -> str:
        """What they are, for ever: the subject."""
        return self.visitor.subject


class VisitorBackend(AuthenticationBackend):
    """Takes the visitor from the scope, and from nowhere else.

    ``request.auth`` has the scope ``authenticated`` and one for each group, so that
    ``@requires("family")`` asks for a group.  Without a visitor nobody is signed in.
    """

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """See Starlette.  It waits for nothing."""
        found = visitor(conn)
        if found is None:
            return None
        return AuthCredentials(["authenticated", *found.groups]), VisitorUser(found)
