"""The steps of a login between the edge and a provider: where it is sent, and what comes of a code.

Pages and cookies are left to ``login``.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit

from ...accounts import check_email
from ...errors import EdgeConfigError, shown
from .id_token import Claims, check_claims, read_id_token, refused
from .problems import ProviderError, unreachable

if TYPE_CHECKING:
    from .attempt import Attempt
    from .fetch import Reply
    from .provider import Metadata, Provider

__all__ = ["Person", "authorization_url", "redeem", "refusal_of"]

MAX_GROUPS: Final = 1000
"""Groups of one person that are looked at; providers name 200 at most by themselves."""

MAX_GROUP: Final = 128
"""Characters of a group's name; one that is longer is left out."""

MAX_CODE: Final = 4096
"""Characters of a code; providers' have 30 to 2000."""

_CLIENT_ERRORS: Final = frozenset({"invalid_client", "unauthorized_client"})
_LATER: Final = frozenset({"server_error", "temporarily_unavailable"})


class Person(NamedTuple):
    """Whom a provider vouches for."""

    subject: str  #: as the provider names them, for ever
    name: str  #: for people; may be empty
    email: str  #: that counts as verified; empty otherwise
    groups: tuple[str, ...]


def authorization_url(
    provider: Provider, metadata: Metadata, attempt: Attempt, redirect_uri: str
) -> str:
    """Return where a browser is sent to log in.

    Args:
        provider: That was chosen.
        metadata: Of it.
        attempt: That begins.
        redirect_uri: Where the provider sends the browser back.
    """
    settings = provider.settings
    values = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(settings.scopes),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }
    if settings.prompt is not None:
        values["prompt"] = settings.prompt
    endpoint = metadata.authorization_endpoint
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(values)}"


def refusal_of(error: str) -> ProviderError:
    """Return what is said where a provider sent a person back with an error.

    Args:
        error: Its code (RFC 6749 section 4.1.2.1); what else the provider says is not shown.
    """
    detail = f"it sent somebody back with the error {shown(error)}"
    if error == "access_denied":
        return ProviderError("{label} did not let you in, or you said no there.", detail)
    if error in _LATER:
        return unreachable(detail)
    return ProviderError(
        "{label} has refused this login. Try again, or log in another way.", detail
    )


async def redeem(
    provider: Provider,
    attempt: Attempt,
    code: str,
    *,
    redirect_uri: str,
    asks_groups: bool,
    now: float,
) -> Person:
    """Exchange a code for what the provider says of a person. Cancelling it uses the code up.

    Args:
        provider: That the login began with.
        attempt: Of the browser that brought the code.
        code: As it came.
        redirect_uri: As the provider got it before.
        asks_groups: Whether somebody wants to know the person's groups.
        now: Seconds since 1970.

    Raises:
        ProviderError: The provider refuses, cannot be reached, or says something that is wrong.
    """
    metadata = await provider.metadata()
    table = await _exchange(provider, metadata, attempt, code, redirect_uri)
    id_token, access_token = table.get("id_token"), table.get("access_token")
    if not isinstance(id_token, str):
        raise refused("its token endpoint sent no ID token; look at `scopes`")
    claims, algorithm = await read_id_token(id_token, provider)
    usable = access_token if isinstance(access_token, str) else None
    check_claims(
        claims,
        provider=provider,
        attempt=attempt,
        algorithm=algorithm,
        access_token=usable,
        now=now,
    )
    lacks = "email" not in claims or (asks_groups and provider.settings.groups_claim not in claims)
    more: Claims = {}
    if lacks and metadata.userinfo_endpoint is not None and usable is not None:
        more = await _userinfo(provider, metadata.userinfo_endpoint, usable, claims["sub"])
    return _person(claims, more, provider)


async def _exchange(
    provider: Provider, metadata: Metadata, attempt: Attempt, code: str, redirect_uri: str
) -> Claims:
    client_id, secret = provider.settings.client_id, provider.secret
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": attempt.verifier,
    }
    fields = {}
    if secret is not None and metadata.takes_basic:
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"  # RFC 6749 section 2.3.1
        fields["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = client_id
        if secret is not None:
            form["client_secret"] = secret
    reply = await provider.fetcher.request(metadata.token_endpoint, form=form, fields=fields)
    if reply.status == 200:
        return reply.table("its token")
    raise _token_error(reply)


def _token_error(reply: Reply) -> ProviderError:
    if reply.status >= 500 or reply.status == 429:
        return unreachable(f"its token endpoint has status {reply.status}")
    error = str(reply.table("its refusal of a code").get("error", ""))
    detail = f"its token endpoint refuses a code with {reply.status} {shown(error)}"
    if error in _CLIENT_ERRORS or reply.status == 401:
        text = "This login is not set up rightly. Who runs this site finds the reason in its log."
        return ProviderError(text, f"{detail}; look at client_id and the secret", status=503)
    text = "{label} does not take this login any more. Try again."
    return ProviderError(text, detail)


async def _userinfo(provider: Provider, url: str, access_token: str, subject: object) -> Claims:
    if not access_token.isascii() or not access_token.isprintable():
        raise refused("its access token has other characters than a field may have")
    fields = {"authorization": f"Bearer {access_token}"}
    reply = await provider.fetcher.request(url, fields=fields)
    if reply.status != 200:
        raise unreachable(f"its userinfo endpoint has status {reply.status}")
    if reply.kind == "application/jwt":
        raise refused("its userinfo endpoint sends a JWT; let it send plain JSON to this client")
    table = reply.table("its userinfo")
    if table.get("sub") != subject:  # OpenID Connect Core section 5.3.2
        raise refused("its userinfo endpoint speaks of somebody else")
    return table


def _person(claims: Claims, more: Claims, provider: Provider) -> Person:
    settings = provider.settings
    # An address and whether it is verified are of one place: never of two.
    source = claims if "email" in claims else more
    groups = claims.get(settings.groups_claim, more.get(settings.groups_claim))
    names = (one.get(name) for one in (claims, more) for name in ("name", "preferred_username"))
    subject = claims["sub"]
    assert isinstance(subject, str)  # check_claims has looked
    return Person(
        subject=subject,
        name=next((_plain(name) for name in names if isinstance(name, str) and name), ""),
        email=_email(source, trusts=settings.trust_email),
        groups=_groups(groups),
    )


def _email(claims: Claims, *, trusts: bool) -> str:
    email, verified = claims.get("email"), claims.get("email_verified")
    # Some send the word instead of the value; what is said to be unverified never counts.
    if verified is not True and verified != "true" and not (trusts and verified is None):
        return ""
    try:
        return check_email(email) if isinstance(email, str) else ""
    except EdgeConfigError:
        return ""


def _groups(found: object) -> tuple[str, ...]:
    listed = found if isinstance(found, list) else [found]
    named = (one for one in listed[:MAX_GROUPS] if isinstance(one, str))
    fitting = (one for one in named if 0 < len(one) <= MAX_GROUP and one.isprintable())
    return tuple(dict.fromkeys(fitting))


def _plain(text: str) -> str:
    return "".join(one for one in text[:100] if one.isprintable()).strip()
