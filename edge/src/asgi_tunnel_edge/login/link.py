"""Lets in who has a share link.

Opening it shows a page with a button: programs that look at links in messages press none, so they
use nothing up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse
from starlette.routing import Route

from ..access.doors import ACCESS_PATH
from ..accounts import LinkRecord
from ..errors import StorageError
from ..tokens import secret_digest
from .app import LoginApp, Method
from .place import Place
from .sessions import LoginError, unavailable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["LINK_PATH", "LinkLogin"]

LINK_PATH: Final = f"{ACCESS_PATH}link/"
"""What a share link's address begins with; its secret follows."""


class LinkLogin(Method):
    """See the module."""

    name = "link"

    def __init__(self) -> None:
        self._app: LoginApp

    def routes(self, app: LoginApp) -> Sequence[Route]:
        """See :class:`.app.Method`."""
        self._app = app
        path = f"{LINK_PATH}{{secret}}"
        return [
            Route(path, app.page(self._show), methods=["GET"]),
            Route(path, app.form(self._open), methods=["POST"]),
        ]

    async def _show(self, request: Request, place: Place) -> Response:
        link = self._known(request, place)
        if self._is_in(request, self._app.place(request, link.path)):
            return RedirectResponse(link.path, status_code=303)
        values = {"hostname": place.hostname, "path": link.path}
        return self._app.site.page("link.html", values)

    async def _open(self, request: Request, place: Place) -> Response:
        link = self._known(request, place)
        place = self._app.place(request, link.path)
        if self.name not in place.methods:
            raise _over()
        if self._is_in(request, place):
            return RedirectResponse(place.target, status_code=303)
        sessions = self._app.sessions
        try:
            used = await asyncio.to_thread(
                sessions.store.use_link, link.secret_sha256, place.hostname, now=time.time()
            )
        except StorageError as error:
            raise unavailable() from error
        if used is None:
            raise _over()
        return await sessions.begin(sessions.claims_for_link(link.id, place), place)

    def _is_in(self, request: Request, place: Place) -> bool:
        """Whether somebody needs no link, and would lose the session of their own to it."""
        claims = self._app.current(request, place)
        if claims is None or claims.link is not None:
            return False
        return self._app.sessions.doors.admits(claims, place.policies)

    def _known(self, request: Request, place: Place) -> LinkRecord:
        digest = secret_digest(request.path_params["secret"])
        link = self._app.sessions.doors.link_by_digest(digest, time.time())
        if link is None or link.hostname != place.hostname:
            raise _over()
        return link


def _over() -> LoginError:
    text = "It has ended, was opened as often as it may be, or was taken back. Ask for a new one."
    return LoginError("This link does not work any more", text, status=404)
