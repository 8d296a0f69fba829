"""Logs users in with passkeys, and makes them (WebAuthn level 2, by ``fido2``).

Discoverable ones: nobody types a name, and nobody learns which names there are. User verification
is required, so that a passkey is two factors: a device, and the PIN, finger or face that opens it.
The relying party is the hostname itself, never a domain above it: apps of one edge may belong to
different people, and one's passkey is worth nothing to the other (docs/adr/0016-passkeys.md).

Who may make one: a session that has just begun, or an invitation. ``passkey.js`` is the other half.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fido2 import cbor
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestationConveyancePreference,
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorData,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from starlette.routing import Route

from ..access.doors import ACCESS_PATH
from ..accounts import UserRecord
from ..errors import AccountError, StorageError
from ..tokens import secret_digest
from .account import AccountPages
from .app import LoginApp, Method
from .attempt import ATTEMPT_COOKIE, Attempt, Attempts
from .device import device_of
from .invitation import Invitations
from .place import Place, safe_target
from .sessions import LoginError, add_cookie, end_cookie, unavailable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["PasskeyLogin"]

_log = logging.getLogger("asgi_tunnel_edge.login")

_T = TypeVar("_T")

_PATH: Final = f"{ACCESS_PATH}passkey/"
_TYPE: Final = PublicKeyCredentialType.PUBLIC_KEY
_REQUIRED: Final = UserVerificationRequirement.REQUIRED

ALGORITHMS: Final = (-7, -8, -257)
"""ES256, EdDSA and RS256 (COSE): what phones, security keys and Windows Hello make."""

MAX_KEY: Final = 1024
"""Bytes of a public key: RSA with 4096 bits has 530. A longer one would take long to check."""

MAX_LABEL: Final = 60
"""Characters of a passkey's name."""

TIMEOUT: Final = 240_000
"""Milliseconds that the browser waits for the person: the attempt is over after 300 s."""


class _UnknownPasskeyError(LoginError):
    """A passkey that is not in the store: browsers need not offer it any more."""

    reason = "unknown-passkey"

    def __init__(self) -> None:
        text = "It was removed, or is for another site. Take another one, or log in another way."
        super().__init__("This passkey is not known here", text)


class PasskeyLogin(Method):
    """See the module.

    Args:
        key: 32 secret bytes, for attempts.
        account: Knows whose session has just begun.
        invitations: Know whom somebody invited.

    Attributes:
        used: Challenges that are over before their time.
    """

    name = "passkey"

    def __init__(self, key: bytes, account: AccountPages, invitations: Invitations) -> None:
        self._account = account
        self._invitations = invitations
        self._attempts = Attempts(key, time.time)
        self.used = self._attempts.used
        self._app: LoginApp

    def routes(self, app: LoginApp) -> Sequence[Route]:
        """See :class:`.app.Method`."""
        self._app = app
        return [
            Route(f"{_PATH}challenge", app.script(self._challenge), methods=["POST"]),
            Route(f"{_PATH}login", app.script(self._log_in), methods=["POST"]),
            Route(f"{_PATH}options", app.script(self._options), methods=["POST"]),
            Route(f"{_PATH}new", app.script(self._add), methods=["POST"]),
            Route(f"{ACCESS_PATH}passkey.js", self._script),
        ]

    def offer(self, place: Place) -> dict[str, object]:
        """See :class:`.app.Method`."""
        return {"passkey": True}

    # -- log in ------------------------------------------------------------------------------

    async def _challenge(self, request: Request, place: Place) -> Response:
        attempt, cookie = self._attempts.begin("login", place.hostname)
        options, _ = _server(place).authenticate_begin(
            challenge=attempt.challenge, user_verification=_REQUIRED
        )
        return self._step(options.public_key, cookie)

    async def _log_in(self, request: Request, place: Place) -> Response:
        body = await _body_of(request)
        place = self._app.place(request, safe_target(str(body.get("to", ""))))
        if self.name not in place.methods:
            raise LoginError("There are no passkeys here", "Log in another way.")
        attempt = self._attempt(request, place, "login")
        answer = _parsed(lambda: AuthenticationResponse.from_dict(body["credential"]))
        credential_id = websafe_encode(answer.raw_id)
        sessions = self._app.sessions
        try:
            found = await asyncio.to_thread(sessions.store.passkey, credential_id, place.hostname)
            if found is None:
                raise _UnknownPasskeyError
            name, public_key, _ = found
            user = sessions.doors.user(name)
            if user is None:
                raise _no_owner()
            _verify(place, attempt, answer, public_key)
            handle = answer.response.user_handle
            if handle is not None and handle != _handle_of(user, place.hostname):
                raise _no_owner()
            count = answer.response.authenticator_data.counter
            is_new = self._attempts.use(attempt)
            if not is_new or not await asyncio.to_thread(
                sessions.store.use_passkey, credential_id, count
            ):
                text = "%s: a login by passkey at %s was refused: it, or a later one, came before"
                _log.warning(text, name, place.hostname)
                raise _used()
        except StorageError as error:
            raise unavailable() from error
        claims = sessions.claims_for_user(name, "passkey", place)
        response = await sessions.begin(claims, place, instead_of=self._app.current(request, place))
        return self._done(response)

    # -- make one ----------------------------------------------------------------------------

    async def _options(self, request: Request, place: Place) -> Response:
        body = await _body_of(request)
        secret = body.get("invitation", "")
        digest = secret_digest(str(secret)) if secret else ""
        user = await self._maker(request, place, digest)
        try:
            known = await asyncio.to_thread(self._app.sessions.store.passkeys, user.name)
        except StorageError as error:
            raise unavailable() from error
        attempt, cookie = self._attempts.begin(
            "new", place.hostname, user=user.name, invitation=digest
        )
        options, _ = _server(place).register_begin(
            PublicKeyCredentialUserEntity(
                id=_handle_of(user, place.hostname), name=user.name, display_name=user.name
            ),
            # A device that has one already says so, and makes no second one.
            [
                PublicKeyCredentialDescriptor(type=_TYPE, id=websafe_decode(one))
                for one, hostname, *_ in known
                if hostname == place.hostname
            ],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=_REQUIRED,
            challenge=attempt.challenge,
        )
        return self._step(options.public_key, cookie)

    async def _add(self, request: Request, place: Place) -> Response:
        body = await _body_of(request)
        attempt = self._attempt(request, place, "new")
        user = await self._maker(request, place, attempt.invitation)
        if user.name != attempt.user:
            raise _over()
        data = _registered(place, attempt, body)
        credential = data.credential_data
        assert credential is not None  # `_registered` has looked
        if not self._attempts.use(attempt):
            raise _used()
        store = self._app.sessions.store
        label = " ".join(str(body.get("label", "")).split())[:MAX_LABEL]
        try:
            if attempt.invitation:
                await self._invitations.use(attempt.invitation)
            await asyncio.to_thread(
                store.add_passkey,
                user.name,
                websafe_encode(credential.credential_id),
                cbor.encode(credential.public_key),
                hostname=place.hostname,
                sign_count=data.counter,
                label=label or device_of(place.agent),
            )
        except AccountError as error:
            raise LoginError("This passkey cannot be added", f"{error}.") from error
        except StorageError as error:
            raise unavailable() from error
        _log.info("%s has a new passkey at %s", user.name, place.hostname)
        if not attempt.invitation:
            return self._done(self._app.to_account("passkey"))
        return self._done(await self._invitations.begin(request, place, user, method="passkey"))

    async def _maker(self, request: Request, place: Place, invitation: str) -> UserRecord:
        """Return the user for whom a passkey may be made now."""
        if invitation:
            user = await self._invitations.user_of(invitation, place)
        else:
            user = self._account.fresh_user(request, place)
        if self.name not in self._app.ways_of(user, place):
            raise LoginError("There are no passkeys here", "Log in another way.")
        return user

    # -- both --------------------------------------------------------------------------------

    def _attempt(self, request: Request, place: Place, kind: Any) -> Attempt:
        value = request.cookies.get(ATTEMPT_COOKIE.decode(), "")
        attempt = self._attempts.read(value, kind, place.hostname)
        if attempt is None:
            raise _over()
        return attempt

    def _step(self, options: Mapping[str, Any], cookie: bytes) -> Response:
        response = self._app.site.data({"options": {**options, "timeout": TIMEOUT}})
        add_cookie(response, cookie)
        return response

    def _done(self, response: Response) -> Response:
        """Say to the script where to go, in the place of a redirect."""
        done = self._app.site.data({"location": response.headers["location"]})
        for name, value in response.raw_headers:
            if name == b"set-cookie":
                add_cookie(done, value)
        end_cookie(done, ATTEMPT_COOKIE)
        return done

    async def _script(self, request: Request) -> Response:
        return self._app.site.script("passkey.js", request.url.query)


def _server(place: Place) -> Fido2Server:
    server = Fido2Server(
        PublicKeyCredentialRpEntity(id=place.hostname, name=place.hostname),
        # Which make of device somebody has is nobody's business here.
        attestation=AttestationConveyancePreference.NONE,
        # Not the library's: it would take each subdomain.
        verify_origin=lambda origin: origin == place.origin,
    )
    server.allowed_algorithms = [
        PublicKeyCredentialParameters(type=_TYPE, alg=one) for one in ALGORITHMS
    ]
    return server


def _handle_of(user: UserRecord, hostname: str) -> bytes:
    """What authenticators know a user by: they keep one passkey for each at a hostname.

    Not the name (WebAuthn section 14.6.1), and another one for a user of the same name who comes
    later.
    """
    text = f"asgi-tunnel passkey\0{hostname}\0{user.name}\0{user.created_at}"
    return hashlib.sha256(text.encode()).digest()


def _state_of(attempt: Attempt) -> dict[str, Any]:
    return {"challenge": websafe_encode(attempt.challenge), "user_verification": _REQUIRED}


def _verify(
    place: Place, attempt: Attempt, answer: AuthenticationResponse, public_key: bytes
) -> None:
    """Check an assertion.

    Raises:
        LoginError: It is not of this key, challenge, origin or hostname, or without the person.
    """
    key = CoseKey.parse(cbor.decode(public_key))  # type: ignore[arg-type]
    known = AttestedCredentialData.create(bytes(16), answer.raw_id, key)

    def authenticate() -> None:
        _server(place).authenticate_complete(_state_of(attempt), [known], answer)
        if answer.response.client_data.cross_origin:
            raise ValueError("asked for by a page of another site")

    _parsed(authenticate)


def _registered(place: Place, attempt: Attempt, body: Mapping[str, Any]) -> AuthenticatorData:
    """Return what an authenticator says of the passkey that it has made.

    Raises:
        LoginError: As :func:`_verify`, or its key is none of those that were asked for.
    """

    def register() -> AuthenticatorData:
        data = _server(place).register_complete(_state_of(attempt), body["credential"])
        if data.credential_data is None or len(data.credential_data.credential_id) > MAX_KEY:
            raise ValueError("no credential, or a long id")
        key = data.credential_data.public_key
        if key.get(3) not in ALGORITHMS or len(cbor.encode(key)) > MAX_KEY:
            raise ValueError("another kind of key")
        return data

    return _parsed(register)


def _parsed(read: Callable[[], _T]) -> _T:
    """Call what reads and checks bytes of a stranger."""
    try:
        return read()
    # The library's parsers raise what their containers raise, on each wrong byte another one.
    except Exception as error:
        _log.debug("a passkey was refused: %r", error)
        raise _wrong() from error


async def _body_of(request: Request) -> dict[str, Any]:
    """Return what the script has sent; the edge bounds it (``endpoints.endpoint.MAX_BODY``)."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise LoginError("This cannot be read", "Load the page again.", status=400)
    return body


def _over() -> LoginError:
    text = "It took too long, or was done in another window. Try again."
    return LoginError("This attempt is over", text)


def _used() -> LoginError:
    text = (
        "The passkey was used before in this way, so there may be a copy of it. Try again; if this "
        "comes back, remove the passkey and make a new one."
    )
    return LoginError("This was used before", text)


def _no_owner() -> LoginError:
    text = "Its owner may not log in here. Take another one, or log in another way."
    return LoginError("This passkey is not of use here", text)


def _wrong() -> LoginError:
    text = "The browser's reply about the passkey is not right for this page. Try again."
    return LoginError("This passkey does not fit", text)
