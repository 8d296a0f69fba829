"""Access tokens: made for one resource, read with each request that carries one.

Signed, as sessions are, and with a key of their own: neither is taken for the other. A token ends
by itself within the hour, and at once with its grant, which is a login in the list of logins.
"""

from __future__ import annotations

from typing import Final

import msgspec

from asgi_tunnel.protocol.head import Arrival

from ..access.cookies import take_credentials
from ..access.doors import Admission, Doors
from ..access.paths import plain_path
from ..access.policy import Policy
from ..access.session import Claims, SessionSigner
from ..replies import Reply
from ..request import Request

__all__ = [
    "ACCESS_LIFETIME",
    "OAUTH_PATH",
    "RESOURCE_METADATA",
    "SERVER_METADATA",
    "Bearers",
    "takes_bearers",
]

ACCESS_LIFETIME: Final = 3600
"""Seconds for which an access token holds; then its client asks for the next one."""

MAX_KNOWN: Final = 4096
"""Tokens whose signature is not checked again, some 1 KiB each; then all are forgotten at once."""

RESOURCE_METADATA: Final = "/.well-known/oauth-protected-resource"
"""Where a client finds out who gives tokens for a resource; its path follows (RFC 9728)."""

SERVER_METADATA: Final = "/.well-known/oauth-authorization-server"
"""Where a client finds out how tokens are given (RFC 8414)."""

OAUTH_PATH: Final = "/.well-known/asgi-tunnel/oauth/"
"""Where the edge gives them. Not below ``ACCESS_PATH``: a login leads back to it."""

_PREFIX: Final = b"bearer "


class Bearers:
    """See the module.

    Args:
        doors: Know who is let in.
        signer: With the key of access tokens.
    """

    def __init__(self, doors: Doors, signer: SessionSigner) -> None:
        self._doors = doors
        self._signer = signer
        self._known: dict[bytes, Claims] = {}
        self._lines: dict[tuple[bytes, tuple[Policy, ...]], bytes] = {}  # what apps are told
        self._changes = doors.changes

    def make(self, grant: Claims, path: str, now: int) -> tuple[str, int]:
        """Return an access token for a resource of a grant, and its lifetime in seconds.

        Args:
            grant: Whose it is, and until when.
            path: Of the resource.
            now: Seconds since 1970.
        """
        expires = min(now + ACCESS_LIFETIME, grant.expires)
        # The resource stands where a session has its hostname: it holds there and nowhere else.
        resource = f"{grant.hostname}{path}"
        claims = msgspec.structs.replace(grant, hostname=resource, expires=expires)
        return self._signer.sign(claims).decode(), expires - now

    def read(self, token: bytes) -> Claims | None:
        """Return what a token says; None: this edge did not make it. It may be over."""
        claims = self._known.get(token)
        if claims is None:
            claims = self._signer.read(token)
            if claims is None:
                return None
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[token] = claims
        return claims

    def check(
        self, policies: tuple[Policy, ...], request: Request, arrival: Arrival, now: float
    ) -> Admission | Reply | None:
        """Decide about a request with an access token.

        Args:
            policies: That all have to let it in.
            request: What was read.
            arrival: How it came.
            now: Seconds since 1970.

        Returns:
            None: it carries none, or stands at a door that takes none.
        """
        if not takes_bearers(policies):
            return None
        found = [pair for pair in request.fields if pair[0] == b"authorization"]
        if len(found) != 1 or found[0][1][: len(_PREFIX)].lower() != _PREFIX:
            return None
        if not self._doors.is_safe(arrival):
            return None
        token = found[0][1][len(_PREFIX) :].strip()
        claims = self.read(token)
        if claims is None or now >= claims.expires or not _covers(claims.hostname, request):
            return self._refuse(request, arrival, "invalid_token")
        line = self._line(token, claims, policies, now)
        if not line:
            return self._refuse(request, arrival, "invalid_token")
        fields = take_credentials(request.fields).fields
        return Admission([pair for pair in fields if pair is not found[0]], line, None)

    def _line(
        self, token: bytes, claims: Claims, policies: tuple[Policy, ...], now: float
    ) -> bytes:
        """Return what the app is told; made once for a token, until the doors change."""
        if self._changes != self._doors.changes or len(self._lines) >= MAX_KNOWN:
            self._lines.clear()
            self._changes = self._doors.changes
        line = self._lines.get((token, policies))
        if line is None:
            line = self._lines[token, policies] = self._doors.line_of(claims, policies, now)
        return line

    def challenge(
        self, policies: tuple[Policy, ...], request: Request, arrival: Arrival, reply: Reply
    ) -> Reply:
        """Return what a door's refusal becomes where a client may ask for a token."""
        is_login = reply.status == 401 and reply.reason == "login-required"
        if not is_login or not takes_bearers(policies):
            return reply
        return _challenge(request, arrival, "")

    def _refuse(self, request: Request, arrival: Arrival, error: str) -> Reply:
        self._doors.denied += 1
        return _challenge(request, arrival, error)


def takes_bearers(policies: tuple[Policy, ...]) -> bool:
    """Whether a client with an access token may stand at a door."""
    return bool(policies) and all(one.oauth for one in policies)


def _covers(resource: str, request: Request) -> bool:
    """Whether a token was made for what a request asks for, or for what is above it."""
    path = plain_path(request.target)
    if path is None:
        return False
    asked, made = f"{request.hostname}{path}", resource.rstrip("/")
    return asked in (resource, made) or asked.startswith(f"{made}/")


def _challenge(request: Request, arrival: Arrival, error: str) -> Reply:
    path = plain_path(request.target)
    is_plain = path is not None and path.isascii() and not set(path) & set('"\\ ') and path != "/"
    metadata = f"{RESOURCE_METADATA}{path if is_plain else ''}".encode()
    scheme = b"https" if arrival.is_secure else b"http"
    parts = b'Bearer resource_metadata="%s://%s%s"' % (scheme, request.host, metadata)
    if error:
        parts += b', error="%s"' % error.encode()
    return Reply(
        401,
        "the access token is not valid here" if error else "this needs a login, or an access token",
        fields=[(b"www-authenticate", parts)],
        source="access",
        closes=False,
        reason="login-required",
    )
