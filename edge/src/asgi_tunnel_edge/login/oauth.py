"""The endpoints of OAuth 2.1: metadata, registration, consent, tokens, revocation.

The rules are in the package ``oauth``. A grant is a login of its own in the list of logins, so that
who signs out everywhere, or is removed, takes the programs along.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import msgspec
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ..access.doors import MAX_RETURN
from ..accounts import SessionRecord
from ..errors import StorageError
from ..oauth.authorization import (
    AUTHORIZE_PATH,
    Authorization,
    AuthorizationError,
    is_verified,
    read_authorization,
    read_path,
)
from ..oauth.bearer import OAUTH_PATH, RESOURCE_METADATA, SERVER_METADATA, Bearers, takes_bearers
from ..oauth.client import ClientSigner, RegistrationError, read_registration
from ..oauth.redirect import origin_of, with_parameters
from ..storage.oauth import GrantRecord, GrantStore, Misuse
from ..tokens import secret_digest
from .app import LoginApp, Method, form_of, query_of
from .place import Place
from .sessions import LoginError, subject_of, unavailable

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..access.policy import Policy
    from ..access.session import Claims

__all__ = ["CODE_LIFETIME", "OAuthPages"]

_log = logging.getLogger("asgi_tunnel_edge.login")

CODE_LIFETIME: Final = 60
"""Seconds in which a client has to use its code, once."""

AT_ONCE: Final = 2
"""Requests of programs that ask the store at one time, in threads that logins share."""

MAX_WAITING: Final = 64
"""Requests that wait for it, of some 5 ms each; one more is told to come back."""

P = ParamSpec("P")
T = TypeVar("T")

_SECRET_LENGTH: Final = 32  # bytes
_MAX_SECRET: Final = 200  # characters of what a client shows as a code or a refresh token

_OPEN: Final = {
    # For clients in browsers: nothing here looks at cookies.
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "authorization, content-type, mcp-protocol-version",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
_LOCAL: Final = ("http://127.0.0.1", "http://[::1]", "http://localhost")

Handler = Callable[["Request", Place], Awaitable[Response]]


class _TokenError(Exception):
    """A request for tokens that is refused; the code is one of OAuth 2.1 section 3.2.4."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class OAuthPages(Method):
    """See the module.

    Args:
        bearers: Make access tokens.
        clients: Make and read ids of clients.
        grants: Keep what was allowed.
    """

    def __init__(self, bearers: Bearers, clients: ClientSigner, grants: GrantStore) -> None:
        self._bearers = bearers
        self._clients = clients
        self._grants = grants
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._app: LoginApp

    def routes(self, app: LoginApp) -> Sequence[Route]:
        """See :class:`.app.Method`."""
        self._app = app

        def program(path: str, handler: Handler, method: str) -> Route:
            return Route(path, app.page(_shared(handler)), methods=[method, "OPTIONS"])

        return [
            program(f"{RESOURCE_METADATA}{{path:path}}", self._resource, "GET"),
            program(f"{SERVER_METADATA}{{path:path}}", self._server, "GET"),
            program(f"{OAUTH_PATH}register", self._register, "POST"),
            program(f"{OAUTH_PATH}token", self._token, "POST"),
            program(f"{OAUTH_PATH}revoke", self._revoke, "POST"),
            Route(AUTHORIZE_PATH, app.page(self._ask), methods=["GET"]),
            Route(AUTHORIZE_PATH, app.form(self._decide), methods=["POST"]),
        ]

    # -- metadata and registration -----------------------------------------------------------

    async def _resource(self, request: Request, place: Place) -> Response:
        path = read_path(f"{place.origin}{request.path_params['path']}", place.origin)
        if path is None or not takes_bearers(self._policies(place, path)):
            return JSONResponse({"error": "not_found"}, status_code=404)
        return JSONResponse(
            {
                "resource": f"{place.origin}{path}",
                "authorization_servers": [place.origin],
                "bearer_methods_supported": ["header"],
                "resource_name": place.hostname,
            }
        )

    async def _server(self, request: Request, place: Place) -> Response:
        base = f"{place.origin}{OAUTH_PATH}"
        return JSONResponse(
            {
                "issuer": place.origin,
                "authorization_endpoint": f"{base}authorize",
                "token_endpoint": f"{base}token",
                "registration_endpoint": f"{base}register",
                "revocation_endpoint": f"{base}revoke",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "revocation_endpoint_auth_methods_supported": ["none"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _register(self, request: Request, place: Place) -> Response:
        try:
            client = read_registration(_json(await request.body()), place.hostname)
            client_id = self._clients.sign(client)
        except RegistrationError as error:
            return _refusal(error.code, str(error))
        return JSONResponse(
            {
                "client_id": client_id,
                "client_id_issued_at": int(time.time()),
                "client_name": client.name,
                "redirect_uris": client.redirects,
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
            },
            status_code=201,
        )

    # -- consent -----------------------------------------------------------------------------

    async def _ask(self, request: Request, place: Place) -> Response:
        """Show what a program asks for; whoever is not logged in is sent to the login first."""
        given = query_of(request.url.query)
        try:
            wanted = self._wanted(given, place)
        except AuthorizationError as error:
            return self._refused(error, place)
        target = f"{AUTHORIZE_PATH}?{request.url.query}"
        if len(target) > MAX_RETURN:
            raise LoginError("This cannot be asked", "The program asks in too many words.")
        place = self._app.place(request, target)
        claims = self._app.current(request, place)
        if claims is None:
            return RedirectResponse(place.login_url, status_code=303)
        self._check(claims, self._policies(place, wanted.path))
        local = origin_of(wanted.redirect).startswith(_LOCAL)
        values = {
            "client": wanted.client.name,
            "resource": f"{place.hostname}{wanted.path}",
            "name": _name(claims),
            "is_local": local,
            "destination": origin_of(wanted.redirect).partition("//")[2],
            "fields": {name: value for name, value in given.items() if name in _ASKED},
        }
        response = self._app.site.page("consent.html", values)
        # Browsers hold a form's redirect to the policy as well.
        policy = response.headers["content-security-policy"]
        leads = f"form-action 'self' {origin_of(wanted.redirect)}"
        response.headers["content-security-policy"] = policy.replace("form-action 'self'", leads)
        return response

    async def _decide(self, request: Request, place: Place) -> Response:
        given = await form_of(request)
        try:
            wanted = self._wanted(given, place)
        except AuthorizationError as error:
            return self._refused(error, place)
        claims = self._app.current(request, place)
        if claims is None:
            raise LoginError("Your session has ended", "Log in, and start again in the program.")
        policies = self._policies(place, wanted.path)
        self._check(claims, policies)
        if given.get("decision") != "allow":
            text = "the visitor said no"
            refused = AuthorizationError(
                "access_denied", text, redirect=wanted.redirect, state=wanted.state
            )
            return self._refused(refused, place)
        code = await self._grant(claims, wanted, policies)
        return _lead(wanted.redirect, {"code": code}, wanted.state, place)

    async def _grant(
        self, claims: Claims, wanted: Authorization, policies: tuple[Policy, ...]
    ) -> str:
        """Keep what a visitor allows; return the code for it."""
        now = int(time.time())
        code = secrets.token_urlsafe(_SECRET_LENGTH)
        expires = now + int(min(one.lifetime for one in policies))
        grant_id = secrets.token_urlsafe(16)
        grant = msgspec.structs.replace(claims, id=grant_id, expires=expires)
        record = GrantRecord(
            id=grant_id,
            client_id=wanted.client_id,
            client_name=wanted.client.name,
            subject=subject_of(claims),
            hostname=claims.hostname,
            path=wanted.path,
            claims=self._app.sessions.doors.signer.sign(grant),
            redirect=wanted.redirect,
            challenge=wanted.challenge,
            code_sha256=secret_digest(code),
            code_expires_at=now + CODE_LIFETIME,
            created_at=now,
            expires_at=expires,
        )
        try:
            ended = await self._in_thread(self._grants.add, record)
            if ended:
                await self._end(ended)
        except StorageError as error:
            raise unavailable() from error
        return code

    def _wanted(self, given: dict[str, str], place: Place) -> Authorization:
        wanted = read_authorization(
            given, clients=self._clients, hostname=place.hostname, origin=place.origin
        )
        if not takes_bearers(self._policies(place, wanted.path)):
            why = "no access tokens are given for this resource"
            raise AuthorizationError(
                "invalid_target", why, redirect=wanted.redirect, state=wanted.state
            )
        return wanted

    def _check(self, claims: Claims, policies: tuple[Policy, ...]) -> None:
        """See that a visitor may pass, and not by a link that was shared."""
        if claims.link is not None or not self._app.sessions.doors.admits(claims, policies):
            text = f"You are logged in as {_name(claims)}, and may not let a program in here."
            raise LoginError("You may not come in here", text)

    def _refused(self, error: AuthorizationError, place: Place) -> Response:
        if not error.redirect:
            text = f"{error} Start again in the program."
            raise LoginError("This program cannot come in", text, status=400)
        said = {"error": error.code, "error_description": str(error)}
        return _lead(error.redirect, said, error.state, place)

    # -- tokens ------------------------------------------------------------------------------

    async def _token(self, request: Request, place: Place) -> Response:
        form = await form_of(request)
        try:
            match form.get("grant_type"):
                case "authorization_code":
                    return await self._by_code(form, place)
                case "refresh_token":
                    return await self._by_refresh(form, place)
                case _:
                    why = "grant_type has to be authorization_code or refresh_token"
                    raise _TokenError("unsupported_grant_type", why)
        except _TokenError as error:
            return _refusal(error.code, str(error))
        except StorageError as error:
            _log.warning("no access token can be given: %s", error)
            return _refusal("temporarily_unavailable", "try again in a minute", status=503)

    async def _by_code(self, form: dict[str, str], place: Place) -> Response:
        now = int(time.time())
        code = _secret(form, "code")
        refresh = secrets.token_urlsafe(_SECRET_LENGTH)
        record, misuse = await self._in_thread(
            self._grants.redeem, secret_digest(code), secret_digest(refresh), now=now
        )
        if misuse is Misuse.REPEATED and record is not None:
            _log.warning("a code of %s was used twice: its grant has ended", record.subject)
            await self._end([record.id])
        if misuse is not None or record is None:
            raise _TokenError("invalid_grant", "the code is not known, was used, or is over")
        is_right = (
            form.get("client_id") == record.client_id
            and form.get("redirect_uri") == record.redirect
            and is_verified(record.challenge, form.get("code_verifier", ""))
        )
        if not is_right:
            await self._in_thread(self._grants.remove, record.id)
            raise _TokenError("invalid_grant", "the code was given to another client, or for PKCE")
        claims = await self._claims(record, form, place, now)
        session = SessionRecord(
            id=record.id,
            subject=record.subject,
            name=f"{_name(claims)}: {record.client_name or 'a program'}",
            hostname=record.hostname,
            method="oauth",
            created_at=record.created_at,
            expires_at=record.expires_at,
            address=place.address,
            agent=record.redirect,
        )
        await self._in_thread(self._app.sessions.store.add_session, session)
        _log.info("%s has let a program in at %s%s", _name(claims), record.hostname, record.path)
        return self._tokens(record, claims, refresh, now)

    async def _by_refresh(self, form: dict[str, str], place: Place) -> Response:
        now = int(time.time())
        grant_id, _, secret = _secret(form, "refresh_token").partition(".")
        refresh = secrets.token_urlsafe(_SECRET_LENGTH)
        record, misuse = await self._in_thread(
            self._grants.rotate,
            grant_id,
            secret_digest(secret),
            secret_digest(refresh),
            client_id=form.get("client_id", ""),
            now=now,
        )
        if misuse is Misuse.REPEATED and record is not None:
            _log.warning("a refresh token of %s came twice: its grant has ended", record.subject)
            await self._end([record.id])
        if misuse is not None or record is None:
            raise _TokenError("invalid_grant", "the refresh token is not known, or is over")
        claims = await self._claims(record, form, place, now)
        return self._tokens(record, claims, refresh, now)

    async def _claims(
        self, record: GrantRecord, form: dict[str, str], place: Place, now: int
    ) -> Claims:
        """Return whose a grant is, while they may still pass."""
        doors = self._app.sessions.doors
        asked = form.get("resource")
        if asked is not None and read_path(asked, place.origin) != record.path:
            raise _TokenError("invalid_target", "the grant is for another resource")
        claims = doors.signer.read(record.claims)
        policies = self._policies(place, record.path)
        is_open = (
            claims is not None
            and record.hostname == place.hostname
            and takes_bearers(policies)
            and bool(doors.line_of(claims, policies, now))
        )
        if claims is None or not is_open:
            await self._in_thread(self._grants.remove, record.id)
            raise _TokenError("invalid_grant", "the login that this came from has ended")
        return claims

    def _tokens(self, record: GrantRecord, claims: Claims, refresh: str, now: int) -> Response:
        access, lifetime = self._bearers.make(claims, record.path, now)
        return JSONResponse(
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": lifetime,
                "refresh_token": f"{record.id}.{refresh}",
            }
        )

    async def _revoke(self, request: Request, place: Place) -> Response:
        """End a grant; what is not known is no error (RFC 7009 section 2.2)."""
        token = (await form_of(request)).get("token", "")
        try:
            claims = self._bearers.read(token.encode("ascii", "replace"))
            if claims is not None:
                await self._in_thread(self._grants.remove, claims.id)
                await self._end([claims.id])
            elif len(token) <= _MAX_SECRET:
                grant_id, _, secret = token.partition(".")
                digest = secret_digest(secret)
                record = await self._in_thread(self._grants.remove, grant_id, refresh_sha256=digest)
                if record is not None:
                    await self._end([record.id])
        except StorageError as error:
            _log.warning("an access token cannot be revoked: %s", error)
            return _refusal("temporarily_unavailable", "try again in a minute", status=503)
        return JSONResponse({})

    # -- what they share ---------------------------------------------------------------------

    async def _in_thread(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask the store, a few at a time: strangers may ask, and others need threads as well.

        Raises:
            StorageError: It cannot be asked, or too many wait for it.
        """
        if self._waiting >= MAX_WAITING:
            raise StorageError("too many programs ask for tokens at this moment")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(call, *args, **kwargs)
        finally:
            self._waiting -= 1

    def _policies(self, place: Place, path: str) -> tuple[Policy, ...]:
        door = self._app.find(place.hostname)
        return () if door is None else door.policies_of(b"POST", path.encode())

    async def _end(self, grants: Sequence[str]) -> None:
        """End grants with the next request, and in the store."""
        for one in grants:
            self._app.sessions.doors.forget(one)
        await self._in_thread(self._app.sessions.store.end_sessions, grants)


_ASKED: Final = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "redirect_uri",
        "resource",
        "response_type",
        "state",
    }
)


def _shared(handler: Handler) -> Handler:
    """Let scripts of any origin read the response: clients may run in a browser."""

    async def serve(request: Request, place: Place) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_OPEN)
        response = await handler(request, place)
        response.headers.update(_OPEN)
        return response

    return serve


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _secret(form: dict[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value or len(value) > _MAX_SECRET:
        raise _TokenError("invalid_request", f"{name} is missing")
    return value


def _name(claims: Claims) -> str:
    return claims.user or claims.email or claims.name or claims.subject or "somebody with a link"


def _refusal(code: str, why: str, *, status: int = 400) -> Response:
    return JSONResponse({"error": code, "error_description": why}, status_code=status)


def _lead(redirect: str, said: dict[str, str], state: str, place: Place) -> Response:
    """Send a browser back to a client; ``iss`` says who has answered (RFC 9207)."""
    if state:
        said["state"] = state
    said["iss"] = place.origin
    fields = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
    return RedirectResponse(with_parameters(redirect, said), status_code=303, headers=fields)
