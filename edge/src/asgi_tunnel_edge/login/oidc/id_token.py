"""Checks what a provider says of a person: the ID token (OpenID Connect Core section 3.1.3.7).

The signature first, with a key of the provider's own; then each claim. One that is wrong ends the
login, and the log says which.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import warnings
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final

import msgspec
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jws import JWSRegistry, extract_compact, validate_compact

from ...errors import shown
from .problems import ProviderError
from .provider import ALGORITHMS, Provider

if TYPE_CHECKING:
    from .attempt import Attempt

__all__ = ["Claims", "check_claims", "read_id_token", "refused"]

MAX_TOKEN: Final = 128 * 1024
"""Bytes of an ID token: the largest name hundreds of groups, 30 KB."""

SKEW: Final = 60.0
"""Seconds that the clocks of provider and edge may differ."""

MAX_AGE: Final = 300.0
"""Seconds that a new token may say that it is older than the login, plus ``SKEW``: Entra's say five
minutes."""

MAX_SUBJECT: Final = 255
"""Characters of a person's name at the provider. (OpenID Connect Core section 2)"""

_HASHES: Final = {"256": "sha256", "384": "sha384", "512": "sha512"}

Claims = dict[str, object]


class _Registry(JWSRegistry):
    max_header_length = 4096  # bytes: some have the certificate of the key


_REGISTRY: Final = _Registry(algorithms=list(ALGORITHMS), strict_check_header=False)


async def read_id_token(text: str, provider: Provider) -> tuple[Claims, str]:
    """Check the signature of an ID token. Cancelling it loses nothing.

    Args:
        text: As the provider's token endpoint sent it.
        provider: Has the keys.

    Returns:
        Its claims, none of them checked; and the algorithm of the signature.

    Raises:
        ProviderError: It is none, or not signed by the provider.
    """
    if len(text) > MAX_TOKEN:
        raise refused(f"its ID token is larger than {MAX_TOKEN} bytes")
    try:
        token = extract_compact(text.encode(), registry=_REGISTRY)
        header = token.headers()
    except (JoseError, ValueError, RecursionError) as error:
        raise refused("its ID token is none") from error
    algorithm, name = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise refused(f"its ID token is signed by {shown(str(algorithm))}, which is not taken")
    key = await provider.key(name if isinstance(name, str) else None, algorithm)
    try:
        with warnings.catch_warnings():
            # EdDSA is the older name of Ed25519 (RFC 9864), and what most providers send.
            warnings.simplefilter("ignore", SecurityWarning)
            is_right = validate_compact(token, key.key, registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise refused(f"its ID token cannot be checked ({shown(str(error))})") from error
    if not is_right:
        raise refused("its ID token has a wrong signature")
    try:
        claims = msgspec.json.decode(token.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise refused("its ID token holds no claims")
    return claims, algorithm


def check_claims(
    claims: Claims,
    *,
    provider: Provider,
    attempt: Attempt,
    algorithm: str,
    access_token: str | None,
    now: float,
) -> None:
    """Check the claims of an ID token whose signature was right.

    Args:
        claims: Of the token.
        provider: Whose it has to be.
        attempt: The login that it has to be for.
        algorithm: Of its signature.
        access_token: That came with it; None: there was none.
        now: Seconds since 1970.

    Raises:
        ProviderError: One of them is wrong.
    """
    settings = provider.settings
    if claims.get("iss") != settings.issuer:
        raise refused(f"the ID token is of {shown(str(claims.get('iss')))}")
    _check_audience(claims, settings.client_id)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise refused("the ID token names no subject")
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if now >= expires + SKEW:
        raise refused(f"the ID token has expired {now - expires:.0f} s ago", is_clock=True)
    if issued > now + SKEW:
        raise refused(f"the ID token is issued {issued - now:.0f} s ahead", is_clock=True)
    if issued < attempt.began - MAX_AGE - SKEW:
        age = attempt.began - issued
        raise refused(f"the ID token is {age:.0f} s older than the login", is_clock=True)
    if "nbf" in claims and _time(claims, "nbf") > now + SKEW:
        raise refused("the ID token does not hold yet", is_clock=True)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode("utf-8", "replace"), attempt.nonce.encode()
    ):
        raise refused("the ID token has another nonce")
    digest = claims.get("at_hash")
    if digest is not None and digest != _half_hash(access_token, algorithm):
        raise refused("the ID token is for another access token")


def refused(detail: str, *, is_clock: bool = False) -> ProviderError:
    """Return what is said of a response that is not let through.

    Args:
        detail: For the log.
        is_clock: Whether the clocks of two machines may be the reason.
    """
    if is_clock:
        detail += "; compare the clocks of this machine and of the provider"
    text = "What {label} said about you could not be checked. Try again, or log in another way."
    return ProviderError(text, detail)


def _check_audience(claims: Claims, client_id: str) -> None:
    audience, party = claims.get("aud"), claims.get("azp")
    names = audience if isinstance(audience, list) else [audience]
    if client_id not in names:
        raise refused("the ID token is for another client")
    # With several, one of them is the client that asked for it; where it is named, it is us.
    if (len(names) > 1 or party is not None) and party != client_id:
        raise refused("the ID token was issued to another client")


def _time(claims: Claims, name: str) -> float:
    found = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise refused(f"the ID token has no time as {name}")
    return float(found)


def _half_hash(access_token: str | None, algorithm: str) -> str | None:
    """What at_hash has to be (OpenID Connect Core section 3.1.3.6)."""
    if access_token is None:
        return None
    kind = _HASHES.get(algorithm[-3:], "sha512")  # sha512: of Ed25519
    digest = hashlib.new(kind, access_token.encode("utf-8", "replace")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
