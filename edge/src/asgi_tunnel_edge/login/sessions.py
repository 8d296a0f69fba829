"""Begins and ends sessions: the last step of each way to log in.

The cookie is signed in this process; the store hears of it, so that it can be listed and ended.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Final

from starlette.responses import RedirectResponse, Response

from ..access.cookies import SESSION_COOKIE, expired_cookie, session_cookie
from ..access.doors import Doors
from ..access.session import MAX_GROUPS, Claims
from ..accounts import SessionRecord
from ..errors import StorageError
from ..storage.access import AccessStore
from .place import Place

__all__ = [
    "LoginError",
    "Sessions",
    "add_cookie",
    "end_cookie",
    "not_admitted",
    "subject_of",
    "unavailable",
]

_log = logging.getLogger("asgi_tunnel_edge.login")

_ID_LENGTH: Final = 16  # bytes


class LoginError(Exception):
    """A login that did not lead to a session.

    Attributes:
        title: For the page, one line.
        text: What happened and what to do, one or two sentences.
        status: Of the response.
        target: What another login leads to; empty: as this one.
        reason: For the script, where it does something about it; empty: nothing.
    """

    reason = ""

    def __init__(self, title: str, text: str, *, status: int = 403, target: str = "") -> None:
        super().__init__(title)
        self.target = target
        self.title = title
        self.text = text
        self.status = status


class Sessions:
    """See the module.

    Args:
        doors: Decide who may have a session.
        store: Keeps a list of them.
    """

    def __init__(self, doors: Doors, store: AccessStore) -> None:
        self.doors = doors
        self.store = store

    def claims_for_user(self, name: str, method: str, place: Place) -> Claims:
        """Return the session of a user of this edge.

        Raises:
            LoginError: There is no such user any more.
        """
        user = self.doors.user(name)
        if user is None:
            raise _refusal(name)
        return self._claims(place, method, user=user.name, user_epoch=user.epoch)

    def claims_for_stranger(
        self,
        provider: str,
        subject: str,
        place: Place,
        *,
        name: str,
        email: str,
        groups: tuple[str, ...],
    ) -> Claims:
        """Return the session of somebody whom a provider vouches for.

        Args:
            provider: Its name in ``edge.toml``.
            subject: As the provider names them, for ever.
            place: Where they log in.
            name: For people.
            email: That the provider has verified; empty otherwise.
            groups: As the provider names them; those that a policy asks for come first, and of the
                others as many as there is room for.
        """
        # A cookie has little room, and some providers name hundreds.
        policies = self.doors.policies.values()  # another page may ask for other groups
        asked = [one for one in groups if any(one in policy.groups for policy in policies)]
        rest = [one for one in groups if one not in asked]
        kept = tuple([*asked, *rest][:MAX_GROUPS])
        return self._claims(
            place,
            "oidc",
            provider=provider,
            issuer=self.doors.issuer(provider),
            subject=subject[:255],
            name=name[:100],
            email=email[:254],
            groups=kept,
        )

    def claims_for_link(self, link_id: str, place: Place) -> Claims:
        """Return the session of who opens a share link."""
        return self._claims(place, "link", link=link_id)

    def _claims(self, place: Place, method: str, **who: object) -> Claims:
        now = int(time.time())
        lifetime = min((one.lifetime for one in place.policies), default=3600.0)
        values: dict[str, object] = {
            "id": secrets.token_urlsafe(_ID_LENGTH),
            "hostname": place.hostname,
            "method": method,
            "since": now,
            "expires": now + int(lifetime),
            "epoch": self.doors.epoch,
            **who,
        }
        return Claims(**values)  # type: ignore[arg-type]

    async def begin(
        self, claims: Claims, place: Place, *, instead_of: Claims | None = None
    ) -> Response:
        """Return the response that begins a session and leads back.

        Cancelling it may leave a session in the list that nobody has.

        Args:
            claims: What it is.
            place: Where it leads back to.
            instead_of: The session that the same browser had: it ends.

        Raises:
            LoginError: Who it is may not pass, or the store cannot be written.
        """
        if claims.link is None and not self.doors.admits(claims, place.policies):
            raise not_admitted(claims)
        try:
            value = self.doors.signer.sign(claims)
        except ValueError as error:
            title = "This account has too much to say"
            raise LoginError(title, f"The login was right, but {error}.") from error
        record = SessionRecord(
            id=claims.id,
            subject=subject_of(claims),
            name=claims.user or claims.email or claims.name or claims.subject,
            hostname=claims.hostname,
            method=claims.method,
            created_at=claims.since,
            expires_at=claims.expires,
            address=place.address,
            agent=place.agent,
        )
        try:
            await asyncio.to_thread(self.store.add_session, record)
        except StorageError as error:
            _log.warning("nobody can log in: %s", error)
            raise unavailable() from error
        if instead_of is not None:
            await self.end_by_id(instead_of.id)
        _log.info("%s has logged in at %s by %s", record.name, place.hostname, claims.method)
        response = RedirectResponse(place.target, status_code=303)
        add_cookie(response, session_cookie(value, max_age=claims.expires - claims.since))
        return response

    def current(self, cookie: str | None, hostname: str) -> Claims | None:
        """Return the session of a request's cookie, if it holds."""
        if not cookie:
            return None
        return self.doors.identify(cookie.encode("latin-1", "replace"), hostname, time.time())

    async def end(self, claims: Claims, *, everywhere: bool) -> None:
        """End a session, or all of its owner. Cancelling it may leave them as they are.

        Raises:
            LoginError: The store cannot be written.
        """
        if not everywhere:
            return await self.end_by_id(claims.id)
        self.doors.forget(claims.id)
        try:
            await asyncio.to_thread(self.store.end_sessions_by, subject_of(claims))
        except StorageError as error:
            raise _not_ended(error) from error

    async def end_by_id(self, session_id: str) -> None:
        """End a session, as :meth:`end`."""
        self.doors.forget(session_id)
        try:
            await asyncio.to_thread(self.store.end_sessions, [session_id])
        except StorageError as error:
            raise _not_ended(error) from error


def add_cookie(response: Response, cookie: bytes) -> None:
    """Add a Set-Cookie to a response."""
    response.raw_headers.append((b"set-cookie", cookie))


def end_cookie(response: Response, name: bytes = SESSION_COOKIE) -> None:
    """Let a browser forget a cookie of the edge's."""
    add_cookie(response, expired_cookie(name))


def unavailable() -> LoginError:
    """Return what is said while the store cannot be used."""
    text = "The edge cannot reach its own list of logins right now. Try again in a minute."
    return LoginError("Nobody can log in right now", text, status=503)


def not_admitted(claims: Claims) -> LoginError:
    """Return what is said to somebody whom a door does not let in."""
    return _refusal(claims.user or claims.email or claims.name or claims.subject)


def subject_of(claims: Claims) -> str:
    """Return whose a session is, as lists of sessions have it."""
    if claims.user is not None:
        return f"user:{claims.user}"
    if claims.link is not None:
        return f"link:{claims.link}"
    return f"oidc:{claims.provider}:{claims.subject}"


def _refusal(name: str) -> LoginError:
    text = f"You are logged in as {name}, and what you want to see is not open to this account."
    return LoginError("You may not come in here", text)


def _not_ended(error: StorageError) -> LoginError:
    _log.warning("a session cannot be ended in the store: %s", error)
    return unavailable()
