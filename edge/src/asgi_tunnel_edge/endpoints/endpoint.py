"""The seam between dispatch and the edge's own pages."""

from __future__ import annotations

from typing import Final, Protocol

from ..request import Request
from ..route import Route

__all__ = ["MAX_BODY", "Endpoint", "PathEndpoint", "PrefixEndpoint"]

MAX_BODY: Final = 64 * 1024
"""Bytes of a request's body to one of the edge's own pages: forms, no uploads."""


class Endpoint(Protocol):
    """Something that the edge itself serves."""

    def claim(self, request: Request) -> Route | None:
        """Return the route that serves a request, or None when it is not this one's."""


class PathEndpoint:
    """Claims one path, whatever the host and the query.

    Args:
        path: As in a request's target.
        route: To the app that serves it.
    """

    __slots__ = ("_path", "_query", "_route")

    def __init__(self, path: str, route: Route) -> None:
        self._path = path.encode()
        self._query = self._path + b"?"
        self._route = route

    def claim(self, request: Request) -> Route | None:
        """See :class:`Endpoint`."""
        target = request.target
        if target == self._path or target.startswith(self._query):
            return self._route
        return None


class PrefixEndpoint:
    """Claims all paths that begin with one, whatever the host.

    Args:
        prefix: With its last slash.
        route: To the app that serves them.
    """

    __slots__ = ("_prefix", "_route")

    def __init__(self, prefix: str, route: Route) -> None:
        self._prefix = prefix.encode()
        self._route = route

    def claim(self, request: Request) -> Route | None:
        """See :class:`Endpoint`."""
        return self._route if request.target.startswith(self._prefix) else None
