"""Logs users of this edge in by name and password."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from ..access.doors import ACCESS_PATH
from ..access.passwords import Outcome, PasswordChecker
from .app import LoginApp, Method, form_of
from .place import Place, safe_target
from .sessions import LoginError, unavailable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["PasswordLogin"]

_WRONG: Final = "The name or the password is wrong."


class PasswordLogin(Method):
    """See the module.

    Args:
        checker: Of the edge.
    """

    name = "password"

    def __init__(self, checker: PasswordChecker) -> None:
        self._checker = checker
        self._app: LoginApp

    def routes(self, app: LoginApp) -> Sequence[Route]:
        """See :class:`.app.Method`."""
        self._app = app
        return [Route(f"{ACCESS_PATH}password", app.form(self._log_in), methods=["POST"])]

    def offer(self, place: Place) -> dict[str, object]:
        """See :class:`.app.Method`."""
        return {"password": True}

    async def _log_in(self, request: Request, place: Place) -> Response:
        form = await form_of(request)
        place = self._app.place(request, safe_target(form.get("to", "")))
        if self.name not in place.methods:
            raise LoginError("There is no password here", "Log in another way.")
        user = form.get("user", "").strip().lower()
        outcome = await self._checker.check(user, form.get("password", ""), place.group)
        match outcome:
            case Outcome.RIGHT:
                claims = self._app.sessions.claims_for_user(user, "password", place)
                before = self._app.current(request, place)
                return await self._app.sessions.begin(claims, place, instead_of=before)
            case Outcome.WRONG:
                return self._app.login_page(place, problem=_WRONG, user=user[:63], status=403)
            case Outcome.TOO_MANY:
                seconds = self._checker.wait_of(place.group)
                problem = f"Too many wrong passwords came from here. Try again in {seconds} s."
                return self._again(place, problem, user, 429, seconds)
            case Outcome.BUSY:
                problem = "Many people log in at this moment. Try again in a few seconds."
                return self._again(place, problem, user, 503, 2)
            case Outcome.BROKEN:
                raise unavailable()

    def _again(self, place: Place, problem: str, user: str, status: int, seconds: int) -> Response:
        response = self._app.login_page(place, problem=problem, user=user[:63], status=status)
        response.headers["retry-after"] = str(seconds)
        return response
