"""Lets somebody in for the first time, or again after a lost key: a link that works once.

Opening it shows a page, which acts only when its form or script does: programs that look at links
in messages use nothing up. It is used up by success alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from ..access.doors import ACCESS_PATH
from ..access.passwords import MIN_LENGTH, PasswordChecker
from ..accounts import UserRecord
from ..errors import AccountError, StorageError
from ..tokens import secret_digest
from .account import BUSY, PASSWORD_METHODS, new_password
from .app import LoginApp, Method, form_of
from .device import device_of
from .place import Place
from .sessions import LoginError, unavailable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["INVITATION_PATH", "Invitations"]

_log = logging.getLogger("asgi_tunnel_edge.login")

INVITATION_PATH: Final = f"{ACCESS_PATH}invite/"
"""What an invitation's address begins with; its secret follows."""


class Invitations(Method):
    """See the module.

    Args:
        checker: Of the edge's passwords.
    """

    def __init__(self, checker: PasswordChecker) -> None:
        self._checker = checker
        self._app: LoginApp

    def routes(self, app: LoginApp) -> Sequence[Route]:
        """See :class:`.app.Method`."""
        self._app = app
        path = f"{INVITATION_PATH}{{secret}}"
        return [
            Route(path, app.page(self._show), methods=["GET"]),
            Route(path, app.form(self._set_password), methods=["POST"]),
        ]

    async def user_of(self, digest: str, place: Place) -> UserRecord:
        """Return the user of an invitation that can be used at a place.

        Raises:
            LoginError: It cannot; or the user may not come in at this hostname.
        """
        sessions = self._app.sessions
        try:
            name = await asyncio.to_thread(sessions.store.invited, digest, now=time.time())
        except StorageError as error:
            raise unavailable() from error
        user = None if name is None else sessions.doors.user(name)
        if user is None:
            raise _over()
        if not self._app.ways_of(user, place):
            # Before it is used up: what somebody makes here would be worth nothing.
            text = f"{user.name} cannot log in here. Ask who sent the link for one to another site."
            raise LoginError("This link leads to the wrong site", text)
        return user

    async def use(self, digest: str) -> None:
        """Use an invitation up.

        Raises:
            LoginError: Somebody else was faster.
            StorageError: The store cannot be written.
        """
        store = self._app.sessions.store
        if await asyncio.to_thread(store.use_invitation, digest, now=time.time()) is None:
            raise _over()

    async def begin(
        self, request: Request, place: Place, user: UserRecord, *, method: str
    ) -> Response:
        """Return the response that begins the session of who has just used one."""
        sessions = self._app.sessions
        claims = sessions.claims_for_user(user.name, method, place)
        target = self._app.to_account(method).headers["location"]
        place = self._app.place_for(claims, place)._replace(target=target)
        _log.info("%s has used an invitation at %s", user.name, place.hostname)
        return await sessions.begin(claims, place, instead_of=self._app.current(request, place))

    async def _show(self, request: Request, place: Place) -> Response:
        secret = request.path_params["secret"]
        user = await self.user_of(secret_digest(secret), place)
        return self._page(place, user, secret)

    async def _set_password(self, request: Request, place: Place) -> Response:
        secret = request.path_params["secret"]
        digest = secret_digest(secret)
        user = await self.user_of(digest, place)
        ways = self._app.ways_of(user, place)
        if ways.isdisjoint(PASSWORD_METHODS):
            raise LoginError("There are no passwords here", "Make a passkey instead.")
        password, problem = new_password(await form_of(request))
        if problem:
            return self._page(place, user, secret, problem=problem, status=422)
        store = self._app.sessions.store
        try:
            hashed = await self._checker.hash(password)
            if hashed is None:
                return self._page(place, user, secret, problem=BUSY, status=503)
            await self.use(digest)
            changed = await asyncio.to_thread(store.change_user, user.name, password=hashed)
        except AccountError as error:
            raise _over() from error
        except StorageError as error:
            raise unavailable() from error
        self._app.sessions.doors.learn(changed)
        if "password" in ways:
            return await self.begin(request, place, changed, method="password")
        text = f"Programs log in at {place.hostname} with the name {user.name} and this password."
        return self._app.site.page(
            "message.html", {"title": "Your password is set", "text": text, "link": ""}
        )

    def _page(
        self,
        place: Place,
        user: UserRecord,
        secret: str,
        *,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        ways = self._app.ways_of(user, place)
        values = {
            "hostname": place.hostname,
            "user": user.name,
            "secret": secret,
            "problem": problem,
            "passkey": "passkey" in ways,
            "password": not ways.isdisjoint(PASSWORD_METHODS),
            "device": device_of(place.agent),
            "min_length": MIN_LENGTH,
        }
        return self._app.site.page("invitation.html", values, status=status)


def _over() -> LoginError:
    text = "It was used, has ended, or was replaced by a newer one. Ask for a new one."
    return LoginError("This invitation does not work any more", text, status=404)
