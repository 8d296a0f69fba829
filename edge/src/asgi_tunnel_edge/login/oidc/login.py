"""The pages of a login with a provider: the way there, and the way back.

A browser goes to ``oidc/start/NAME``, from there to the provider, and comes back to
``oidc/callback/NAME``. The address of the way back is each provider's own: what one of them sends
is never taken for another's (mix-up, RFC 9700 section 4.4).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ...access.doors import ACCESS_PATH
from ...settings.config import CONFIG_FILE
from ...settings.oidc import read_client_secret
from ..app import LoginApp, Method
from ..place import Place
from ..sessions import LoginError, add_cookie, end_cookie
from .attempt import (
    Attempt,
    AttemptSigner,
    UsedStates,
    cookie_name,
    login_cookie,
    new_attempt,
    surplus,
)
from .flow import MAX_CODE, authorization_url, redeem, refusal_of
from .id_token import refused
from .problems import ProviderError
from .provider import Provider

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from ...settings.oidc import OidcConfig

__all__ = ["OidcLogin"]

_log = logging.getLogger("asgi_tunnel_edge.login")

LOG_PAUSE: Final = 1.0
"""Seconds between two lines of the log about failed logins with one provider."""

_START: Final = f"{ACCESS_PATH}oidc/start/"
_CALLBACK: Final = f"{ACCESS_PATH}oidc/callback/"
_FIELDS: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


class OidcLogin(Method):
    """See the module. Close it with :meth:`aclose`.

    Args:
        settings: ``[oidc.NAME]`` by name.
        folder: Of the edge, where files with secrets are.
        key: 32 secret bytes that sign what browsers keep of a login.
        wall: Seconds since 1970.
        clock: Seconds, monotonic.

    Raises:
        EdgeConfigError: The file of a secret cannot be read.
    """

    name = "oidc"

    def __init__(
        self,
        settings: Mapping[str, OidcConfig],
        folder: Path,
        key: bytes,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.providers = {
            name: Provider(
                name, one, read_client_secret(one, name, folder, file=CONFIG_FILE), clock=clock
            )
            for name, one in settings.items()
        }
        self._signer = AttemptSigner(key)
        self._used = UsedStates()
        self.used = self._used.used
        self._clock = clock
        self._silent_until: dict[str, float] = {}  # by provider
        self._unsaid: Counter[str] = Counter()
        self._wall = wall
        self._app: LoginApp

    async def aclose(self) -> None:
        """Close the connections to all providers."""
        for provider in self.providers.values():
            await provider.aclose()

    def routes(self, app: LoginApp) -> Sequence[Route]:
        """See :class:`..app.Method`."""
        self._app = app
        return [
            Route(f"{_START}{{name}}", app.page(self._start), methods=["GET"]),
            Route(f"{_CALLBACK}{{name}}", app.page(self._come_back), methods=["GET"]),
        ]

    def offer(self, place: Place) -> dict[str, object]:
        """See :class:`..app.Method`."""
        query = urlencode({"to": place.target})
        return {
            "providers": [
                {"label": one.label, "url": f"{_START}{one.name}?{query}"}
                for one in self.providers.values()
                if _is_asked(one, place)
            ]
        }

    async def _start(self, request: Request, place: Place) -> Response:
        provider = self._provider(request, place)
        now = self._wall()
        try:
            async with provider.step(place.group):
                metadata = await provider.metadata()
        except ProviderError as error:
            return self._failed(error, provider, place)
        attempt = new_attempt(
            provider=provider.name,
            hostname=place.hostname,
            origin=place.origin,
            target=place.target,
            now=now,
        )
        url = authorization_url(provider, metadata, attempt, _redirect_uri(attempt))
        response = RedirectResponse(url, status_code=303, headers=_FIELDS)
        for name in surplus(request.cookies):
            end_cookie(response, name)
        add_cookie(response, login_cookie(attempt, self._signer.sign(attempt)))
        return response

    async def _come_back(self, request: Request, place: Place) -> Response:
        now = self._wall()
        attempt = self._attempt(request, place, now)
        place = self._app.place(request, attempt.target)
        provider = self._provider(request, place)
        doors = self._app.sessions.doors
        try:
            async with provider.step(place.group):
                # Before anything is sent on: whose response it is.
                await _check_sender(request, provider)
                error = _one(request, "error")
                if error is not None:
                    raise refusal_of(error)
                code = _one(request, "code")
                if not code or len(code) > MAX_CODE:
                    raise refused("it sent somebody back without a code")
                person = await redeem(
                    provider,
                    attempt,
                    code,
                    redirect_uri=_redirect_uri(attempt),
                    asks_groups=any(one.groups for one in doors.policies.values()),
                    now=now,
                )
        except ProviderError as problem:
            response = self._failed(problem, provider, place)
        else:
            sessions = self._app.sessions
            claims = sessions.claims_for_stranger(
                provider.name,
                person.subject,
                place,
                name=person.name,
                email=person.email,
                groups=person.groups,
            )
            before = self._app.current(request, place)
            response = await sessions.begin(claims, place, instead_of=before)
            response.headers.update(_FIELDS)
        end_cookie(response, cookie_name(attempt.state))
        return response

    def _attempt(self, request: Request, place: Place, now: float) -> Attempt:
        """Return the login that a browser comes back from; it is good once."""
        state = _one(request, "state") or ""
        value = request.cookies.get(cookie_name(state).decode(), "")
        attempt = self._signer.read(value.encode("latin-1", "replace"), now)
        is_right = (
            attempt is not None
            and attempt.state == state
            and attempt.provider == request.path_params["name"]
            and attempt.hostname == place.hostname
            and attempt.origin == place.origin
        )
        if attempt is None or not is_right or not self._used.use(attempt, now):
            text = (
                "It was begun in another browser or at another address, took longer than ten "
                "minutes, or has been used already. Begin again."
            )
            raise LoginError("This login has ended", text)
        return attempt

    def _provider(self, request: Request, place: Place) -> Provider:
        provider = self.providers.get(request.path_params["name"])
        is_taken = self.name in place.methods
        if provider is None or not is_taken or not _is_asked(provider, place):
            raise LoginError("There is no such login here", "Log in another way.", status=404)
        return provider

    def _failed(self, error: ProviderError, provider: Provider, place: Place) -> Response:
        self._report(provider.name, error.detail)
        problem = error.text.replace("{label}", provider.label)
        response = self._app.login_page(place, problem=problem, status=error.status)
        if error.status == 503:
            response.headers["retry-after"] = "60"
        return response

    def _report(self, name: str, detail: str) -> None:
        """Log why a login failed; strangers may try often, and one line a second says enough."""
        unsaid, now = self._unsaid[name], self._clock()
        if now < self._silent_until.get(name, now):
            self._unsaid[name] += 1
            return
        more = f" ({unsaid} more times before)" if unsaid else ""
        _log.warning("a login with %s failed: %s%s", name, detail, more)
        self._silent_until[name], self._unsaid[name] = now + LOG_PAUSE, 0


async def _check_sender(request: Request, provider: Provider) -> None:
    """Check who sent a browser back, where a provider says it (RFC 9207 section 2.4)."""
    issuer = _one(request, "iss")
    if issuer is None and not (await provider.metadata()).names_issuer:
        return
    if issuer != provider.settings.issuer:
        raise refused("what came back is of another provider")


def _is_asked(provider: Provider, place: Place) -> bool:
    """Whether each policy in front of a page lets people in for whom a provider vouches."""
    return all(not one.providers or provider.name in one.providers for one in place.policies)


def _redirect_uri(attempt: Attempt) -> str:
    return f"{attempt.origin}{_CALLBACK}{attempt.provider}"


def _one(request: Request, name: str) -> str | None:
    """Return a value of the query; None: it has none, or several."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 else None
