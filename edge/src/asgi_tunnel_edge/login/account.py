"""The page on which people see their own login: passkeys, password, sessions, and the ways out.

What lasts longer than a session, a passkey, is made and removed only by a session that has just
begun: who finds a browser open, or has taken a cookie, cannot make a key for later. A password is
changed by who knows the old one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from starlette.responses import RedirectResponse
from starlette.routing import Route

from ..access.doors import ACCESS_PATH
from ..access.passwords import MAX_LENGTH, MIN_LENGTH, Outcome, PasswordChecker
from ..access.session import Claims
from ..accounts import SessionRecord, UserRecord
from ..errors import AccountError, StorageError
from .app import LoginApp, Method, form_of
from .device import Moment, device_of
from .place import Place
from .sessions import LoginError, add_cookie, subject_of, unavailable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["BUSY", "FRESH", "PASSWORD_METHODS", "AccountPages", "new_password"]

_log = logging.getLogger("asgi_tunnel_edge.login")

FRESH: Final = 900
"""Seconds after a login in which passkeys may be made and removed."""

MAX_SHOWN: Final = 50
"""Sessions of one user on the page, the newest ones; "sign out everywhere" ends the others too."""

PASSWORD_METHODS: Final = ("password", "basic")
"""Ways to log in for which a user needs a password."""

BUSY: Final = "Many people log in at this moment. Try again in a few seconds."
"""What is said while too many passwords wait to be checked."""

_DONE: Final = {
    "passkey": "You have a passkey for this site. Use it when you log in the next time.",
    "removed": "The passkey is removed, and your other sessions have ended.",
    "password": "Your password is changed, and your other sessions have ended.",
    "session": "That session has ended.",
}


class PasskeyLine(NamedTuple):
    """One passkey on the page."""

    id: str
    label: str
    made: Moment
    used: Moment | None


class SessionLine(NamedTuple):
    """One session on the page."""

    id: str
    device: str
    hostname: str
    address: str
    since: Moment
    is_this: bool


class AccountPages(Method):
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
        path = f"{ACCESS_PATH}account/"
        return [
            Route(ACCESS_PATH, app.page(self._show)),
            Route(f"{path}password", app.form(self._change_password), methods=["POST"]),
            Route(f"{path}passkey", app.form(self._remove_passkey), methods=["POST"]),
            Route(f"{path}session", app.form(self._end_session), methods=["POST"]),
        ]

    def fresh_user(self, request: Request, place: Place) -> UserRecord:
        """Return the user of a session that has just begun.

        Raises:
            LoginError: There is none, or it is older than ``FRESH``.
        """
        claims = self._claims(request, place)
        if not _is_fresh(claims):
            text = "Your last login is a while ago. Log in again to change your passkeys."
            raise LoginError("Log in once more", text, target=ACCESS_PATH)
        return self._user(claims)

    async def _show(self, request: Request, place: Place) -> Response:
        claims = self._app.current(request, place)
        if claims is None:
            here = self._app.place(request, ACCESS_PATH)
            return RedirectResponse(here.login_url, status_code=303)
        done = _DONE.get(request.query_params.get("done", ""), "")
        return await self._page(claims, place, done=done)

    async def _page(
        self, claims: Claims, place: Place, *, done: str = "", problem: str = "", status: int = 200
    ) -> Response:
        user = None if claims.user is None else self._app.sessions.doors.user(claims.user)
        name = claims.user or claims.name or claims.email or "somebody with a link"
        try:
            passkeys, has_password, sessions = await asyncio.to_thread(
                self._read, claims, place.hostname
            )
        except StorageError as error:
            raise unavailable() from error
        ways = frozenset() if user is None else self._app.ways_of(user, place)
        values = {
            "hostname": place.hostname,
            "name": name,
            "email": claims.email if user is None else user.email,
            "user": "" if user is None else user.name,
            "done": done,
            "problem": problem,
            "takes_passkey": "passkey" in ways,
            "takes_password": not ways.isdisjoint(PASSWORD_METHODS),
            "has_password": has_password,
            "is_fresh": _is_fresh(claims),
            "passkeys": passkeys,
            "sessions": sessions,
            "device": device_of(place.agent),
            "again": f"{ACCESS_PATH}login?{urlencode({'again': 1, 'to': ACCESS_PATH})}",
            "min_length": MIN_LENGTH,
        }
        return self._app.site.page("account.html", values, status=status)

    def _read(
        self, claims: Claims, hostname: str
    ) -> tuple[list[PasskeyLine], bool, list[SessionLine]]:
        """Return what the store has of somebody."""
        store, now = self._app.sessions.store, time.time()
        passkeys = []
        has_password = False
        if claims.user is not None:
            has_password = bool(store.password_of(claims.user))
            for key, where, label, made, used in store.passkeys(claims.user):
                if where == hostname:
                    last = None if used is None else Moment(used, now)
                    passkeys.append(PasskeyLine(key, label, Moment(made, now), last))
        # Whoever opened a share link: they do not know each other.
        records = store.sessions(subject=subject_of(claims)) if claims.link is None else []
        return passkeys, has_password, [_line(one, claims, now) for one in records[-MAX_SHOWN:]]

    async def _change_password(self, request: Request, place: Place) -> Response:
        claims = self._claims(request, place)
        user = self._user(claims)
        if self._app.ways_of(user, place).isdisjoint(PASSWORD_METHODS):
            raise LoginError("There are no passwords here", "Make a passkey instead.")
        form = await form_of(request)
        store = self._app.sessions.store
        try:
            has_password = bool(await asyncio.to_thread(store.password_of, user.name))
        except StorageError as error:
            raise unavailable() from error
        if has_password:
            problem, status = await self._check_old(user.name, form.get("old", ""), place)
            if problem:
                return await self._page(claims, place, problem=problem, status=status)
        elif not _is_fresh(claims):
            text = "Your last login is a while ago. Log in again to set a password."
            raise LoginError("Log in once more", text, target=ACCESS_PATH)
        password, problem = new_password(form)
        if problem:
            return await self._page(claims, place, problem=problem, status=422)
        try:
            hashed = await self._checker.hash(password)
            if hashed is None:
                return await self._page(claims, place, problem=BUSY, status=503)
            changed = await asyncio.to_thread(store.change_user, user.name, password=hashed)
        except AccountError as error:
            raise LoginError("Your account is gone", f"{error}.") from error
        except StorageError as error:
            raise unavailable() from error
        _log.info("%s has changed the password", user.name)
        return await self._renew(claims, changed, place, "password")

    async def _check_old(self, user: str, password: str, place: Place) -> tuple[str, int]:
        """Check the old password; return what is wrong with it and a status, or nothing."""
        match await self._checker.check(user, password, place.group):
            case Outcome.RIGHT:
                return "", 200
            case Outcome.WRONG:
                return "The old password is wrong, so nothing was changed.", 403
            case Outcome.TOO_MANY:
                seconds = self._checker.wait_of(place.group)
                return f"Too many wrong passwords came from here. Try again in {seconds} s.", 429
            case Outcome.BUSY:
                return BUSY, 503
            case Outcome.BROKEN:
                raise unavailable()

    async def _remove_passkey(self, request: Request, place: Place) -> Response:
        user = self.fresh_user(request, place)
        claims = self._claims(request, place)
        form = await form_of(request)
        try:
            changed, problem = await asyncio.to_thread(
                self._forget_passkey, user.name, form.get("id", ""), place.hostname
            )
        except StorageError as error:
            raise unavailable() from error
        if changed is None:
            return await self._page(claims, place, problem=problem, status=409)
        _log.info("%s has removed a passkey at %s", user.name, place.hostname)
        return await self._renew(claims, changed, place, "removed")

    def _forget_passkey(self, user: str, key: str, hostname: str) -> tuple[UserRecord | None, str]:
        store = self._app.sessions.store
        mine = [one for one, where, *_ in store.passkeys(user) if where == hostname]
        if key not in mine:
            return None, "That passkey is gone already."
        if len(mine) == 1 and not store.password_of(user):
            return None, "It is your only way in. Make another passkey first, or set a password."
        return store.remove_passkey(user, key), "That passkey is gone already."

    async def _end_session(self, request: Request, place: Place) -> Response:
        claims = self._claims(request, place)
        wanted = (await form_of(request)).get("id", "")
        sessions = self._app.sessions
        try:
            mine = await asyncio.to_thread(sessions.store.sessions, subject=subject_of(claims))
        except StorageError as error:
            raise unavailable() from error
        if claims.link is None and any(one.id == wanted for one in mine):
            await sessions.end_by_id(wanted)
        return self._app.to_account("session")

    async def _renew(self, claims: Claims, user: UserRecord, place: Place, done: str) -> Response:
        """Begin a session in the place of one that has ended with all others of its user."""
        sessions = self._app.sessions
        sessions.doors.learn(user)
        after = self._app.to_account(done)
        try:
            new = sessions.claims_for_user(user.name, claims.method, place)
            begun = await sessions.begin(new, self._app.place_for(new, place))
        except LoginError:
            return after  # where they log in
        for name, value in begun.raw_headers:
            if name == b"set-cookie":
                add_cookie(after, value)
        return after

    def _claims(self, request: Request, place: Place) -> Claims:
        claims = self._app.current(request, place)
        if claims is None:
            raise LoginError("You are not logged in", "Log in first.", target=ACCESS_PATH)
        return claims

    def _user(self, claims: Claims) -> UserRecord:
        user = None if claims.user is None else self._app.sessions.doors.user(claims.user)
        if user is None:
            text = "Who you are is known elsewhere, and is changed there."
            raise LoginError("There is nothing to change here", text)
        return user


def new_password(form: dict[str, str]) -> tuple[str, str]:
    """Return a new password of a form, and what is wrong with it; empty: nothing."""
    password = form.get("new", "")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        return "", (
            f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters. "
            "Four or five words are a good one."
        )
    if password != form.get("repeated", ""):
        return "", "The two passwords are not the same. Type the new one twice."
    return password, ""


def _is_fresh(claims: Claims) -> bool:
    return time.time() - claims.since <= FRESH


def _line(record: SessionRecord, claims: Claims, now: float) -> SessionLine:
    return SessionLine(
        id=record.id,
        device=device_of(record.agent),
        hostname=record.hostname,
        address=record.address,
        since=Moment(record.created_at, now),
        is_this=record.id == claims.id,
    )
