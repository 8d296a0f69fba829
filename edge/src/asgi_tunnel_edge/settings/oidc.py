"""``[oidc.NAME]``: providers with which people log in that are no users of this edge.

Whom they let in stands in ``access``; how it is asked is in ``login.oidc``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from ..errors import EdgeConfigError, shown
from .access import AccessConfig
from .types import FilePath, Switch, Text

__all__ = ["OidcConfig", "check_oidc", "is_provider_url", "read_client_secret"]

MAX_PROVIDERS: Final = 20
"""Tables: each is a button of the login page."""

MAX_LABEL: Final = 60
"""Characters of a button."""

MAX_SECRET: Final = 1024
"""Characters of a client's secret; providers make 16 to 128."""

_MAX_URL: Final = 2048  # characters: what browsers and proxies take
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")  # RFC 6749 section 3.3

Scopes = Annotated[
    tuple[str, ...],
    Meta(description="a list of scopes", examples=[["openid", "email", "profile"]]),
]

Prompt = Annotated[
    Literal["login", "consent", "select_account"],
    Meta(description='"login", "consent" or "select_account"', examples=["select_account"]),
]


class OidcConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider."""

    issuer: Annotated[
        Text, Meta(description="the provider's URL", examples=["https://accounts.google.com"])
    ]
    client_id: Annotated[Text, Meta(examples=["photos"])]
    client_secret: Annotated[Text, Meta(examples=["..."])] | None = None
    client_secret_file: Annotated[FilePath, Meta(examples=["google.secret"])] | None = None
    label: Annotated[Text, Meta(examples=["Google"])] | None = None  #: None: the table's name
    scopes: Scopes = ("openid", "email", "profile")
    groups_claim: Annotated[Text, Meta(examples=["roles"])] = "groups"
    prompt: Prompt | None = None  #: None: as the provider likes
    trust_email: Switch = False  #: whether an address counts of which nothing else is said

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, over plain http."""
        return self.issuer.startswith("http:")


def check_oidc(
    providers: Mapping[str, OidcConfig], policies: Mapping[str, AccessConfig], *, file: str
) -> None:
    """Check what types cannot say of ``[oidc]``.

    Args:
        providers: By name.
        policies: ``[access.NAME]``, which may name some of them.
        file: The file's name, for errors.

    Raises:
        EdgeConfigError: A setting makes no sense, or a policy names a provider that is not there.
    """
    if len(providers) > MAX_PROVIDERS:
        why = f"has {len(providers)} tables, more than {MAX_PROVIDERS}"
        raise EdgeConfigError("oidc", why, "take some out", file=file)
    for name, provider in providers.items():
        path = f"oidc.{shown(name)}"
        if not _NAME.fullmatch(name):
            why = "expected 1 to 32 of a-z 0-9 -, beginning and ending with a letter or digit"
            raise EdgeConfigError(path, why, "write for example [oidc.google]", file=file)
        _check_provider(provider, path, file)
    for name, policy in policies.items():
        for one in policy.providers:
            if one not in providers:
                why = f"names {shown(one)}, and there is no [oidc.{one}]"
                fix = "add the table, or take the name out"
                raise EdgeConfigError(f"access.{shown(name)}.providers", why, fix, file=file)


def is_provider_url(url: str, *, is_local: bool) -> bool:
    """Whether a provider may be asked at a URL: https, or http on this machine.

    Args:
        url: From settings, or from what the provider says of itself.
        is_local: Whether http is let through.
    """
    if (
        len(url) > _MAX_URL
        or not url.isascii()
        or not url.isprintable()
        or set(' "<>\\') & set(url)
    ):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.fragment:
        return False
    return parts.scheme == "https" or (is_local and parts.scheme == "http" and _is_loopback(host))


def read_client_secret(config: OidcConfig, name: str, folder: Path, *, file: str) -> str | None:
    """Return the secret of a provider; None: it has none, and PKCE alone protects a login.

    Args:
        config: Of the provider.
        name: Its own.
        folder: Of the edge, where a relative path begins.
        file: The settings' name, for errors.

    Raises:
        EdgeConfigError: The file cannot be read, or is none.
    """
    if config.client_secret_file is None:
        return config.client_secret
    path = folder / config.client_secret_file
    setting = f"oidc.{name}.client_secret_file"
    fix = "write the secret into it, readable for the edge's user"
    try:
        with path.open("rb") as stream:
            secret = stream.read(MAX_SECRET + 2).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is not UTF-8'})"
        raise EdgeConfigError(setting, why, fix, file=file) from error
    if not secret or len(secret) > MAX_SECRET or not secret.isprintable():
        why = f"{path} holds no secret: expected one line of up to {MAX_SECRET} characters"
        raise EdgeConfigError(setting, why, fix, file=file)
    return secret


def _check_provider(provider: OidcConfig, path: str, file: str) -> None:
    if not is_provider_url(provider.issuer, is_local=True) or urlsplit(provider.issuer).query:
        why = f"expected an https URL (http only for this machine), got {shown(provider.issuer)}"
        fix = 'write for example issuer = "https://accounts.google.com"'
        raise EdgeConfigError(f"{path}.issuer", why, fix, file=file)
    if provider.client_secret is not None and provider.client_secret_file is not None:
        why = "is set, and so is client_secret"
        fix = "keep one of the two"
        raise EdgeConfigError(f"{path}.client_secret_file", why, fix, file=file)
    if provider.client_secret is not None and len(provider.client_secret) > MAX_SECRET:
        why = f"is longer than {MAX_SECRET} characters"
        raise EdgeConfigError(f"{path}.client_secret", why, "copy it again", file=file)
    if "openid" not in provider.scopes:
        fix = 'write for example scopes = ["openid", "email", "profile"]'
        raise EdgeConfigError(f"{path}.scopes", 'has no "openid"', fix, file=file)
    for scope in provider.scopes:
        if not _SCOPE.fullmatch(scope):
            why = f"expected scopes, got {shown(scope)}"
            raise EdgeConfigError(f"{path}.scopes", why, "write one scope in a text", file=file)
    label = provider.label
    if label is not None and (len(label) > MAX_LABEL or not label.isprintable()):
        why = f"expected one line of up to {MAX_LABEL} characters, got {shown(label)}"
        raise EdgeConfigError(f"{path}.label", why, 'write for example label = "Google"', file=file)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
