"""What a client asks a visitor's browser to ask: one authorization request, checked.

The order matters: before client and redirect URI are known to belong together, an error is a page
of the edge, and leads nowhere. (OAuth 2.1 section 4.1.2.1)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ..access.paths import plain_path
from .bearer import OAUTH_PATH
from .client import Client, ClientSigner
from .redirect import matches

__all__ = [
    "AUTHORIZE_PATH",
    "Authorization",
    "AuthorizationError",
    "is_verified",
    "read_authorization",
    "read_path",
    "resource_target",
]

AUTHORIZE_PATH: Final = f"{OAUTH_PATH}authorize"
"""Where a visitor is asked."""

MAX_STATE: Final = 512
"""Bytes of a client's state: it travels through the login and back."""

MAX_PATH: Final = 200
"""Bytes of a resource's path."""

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class Authorization(NamedTuple):
    """One request that may be put to a visitor."""

    client_id: str
    client: Client
    redirect: str
    challenge: str  #: of PKCE, S256
    state: str  #: empty: the client has none
    path: str  #: of the resource, on this hostname


class AuthorizationError(Exception):
    """A request that is refused.

    Attributes:
        code: Of OAuth 2.1 section 4.1.2.1, or RFC 8707.
        redirect: Where the client is told; empty: nowhere, the visitor is.
        state: Of the client.
    """

    def __init__(self, code: str, why: str, *, redirect: str = "", state: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.redirect = redirect
        self.state = state


def read_authorization(
    given: Mapping[str, str], *, clients: ClientSigner, hostname: str, origin: str
) -> Authorization:
    """Check an authorization request.

    Args:
        given: Its parameters, each once.
        clients: Reads ids.
        hostname: Where it came.
        origin: Scheme, host and port of the same.

    Raises:
        AuthorizationError: It is refused.
    """
    client_id = given.get("client_id", "")
    client = clients.read(client_id)
    if client is None or client.hostname != hostname:
        raise AuthorizationError("invalid_client", "The program is not registered here.")
    redirect = given.get("redirect_uri", "")
    if not any(matches(one, redirect) for one in client.redirects):
        why = "The program asks to be answered at an address that it has not registered."
        raise AuthorizationError("invalid_request", why)
    state = given.get("state", "")

    def refuse(code: str, why: str) -> AuthorizationError:
        return AuthorizationError(code, why, redirect=redirect, state=state[:MAX_STATE])

    if len(state) > MAX_STATE:
        raise refuse("invalid_request", f"state is longer than {MAX_STATE} bytes")
    if given.get("response_type") != "code":
        raise refuse("unsupported_response_type", "response_type has to be code")
    challenge = given.get("code_challenge", "")
    if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
        raise refuse("invalid_request", "PKCE with S256 is needed")
    path = read_path(given.get("resource", ""), origin)
    if path is None:
        raise refuse("invalid_target", f"resource has to be a URL of {origin}")
    return Authorization(client_id, client, redirect, challenge, state, path)


def read_path(resource: str, origin: str) -> str | None:
    """Return the path of a resource (RFC 8707); None: it is none of this hostname.

    Args:
        resource: Without query and fragment.
        origin: Scheme, host and port.
    """
    begin = resource[: len(origin)]
    if begin.lower() != origin or resource[len(origin) :][:1] not in ("", "/"):
        return None
    path = resource[len(origin) :] or "/"
    if (
        len(path) > MAX_PATH
        or "?" in path
        or not path.isascii()
        or plain_path(path.encode()) != path
    ):
        return None
    return path


def resource_target(target: str) -> str:
    """Return the path that a login on the way to the consent page is for; others as they are.

    Args:
        target: Of this hostname, with its query.
    """
    if not target.startswith(AUTHORIZE_PATH):
        return target
    parts = urlsplit(dict(parse_qsl(target.partition("?")[2])).get("resource", ""))
    return parts.path or "/"


def is_verified(challenge: str, verifier: str) -> bool:
    """Whether who has a code is who asked for it (RFC 7636 section 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(digest, challenge.encode("ascii", "replace"))
