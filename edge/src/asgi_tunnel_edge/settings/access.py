"""``[access.NAME]``: who is let in where a hostname or a path names it, and how they show it.

What follows from it is decided in the package ``access``; ``config`` holds the tables.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ..errors import EdgeConfigError, shown
from .guards import HostnameConfig
from .types import Seconds

__all__ = ["PUBLIC", "AccessConfig", "check_access", "check_doors", "split_path"]

PUBLIC: Final = "public"
"""The policy that lets everybody in: no table may have this name."""

MAX_PATHS: Final = 100
"""Entries of ``access_paths``: each request of the hostname is compared with them."""

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"})
"""Methods that an exception may be limited to; HEAD is GET."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,=:@-]+/?)*")
_EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")

Names = Annotated[tuple[str, ...], Meta(description="a list of names", examples=[["anna", "ben"]])]
Emails = Annotated[
    tuple[str, ...],
    Meta(description="a list of e-mail addresses", examples=[["anna@example.org"]]),
]
Domains = Annotated[
    tuple[str, ...], Meta(description="a list of domains", examples=[["example.org"]])
]
Ways = Annotated[
    tuple[Literal["password", "passkey", "oidc", "basic", "token", "link"], ...],
    Meta(
        description='a list of "password", "passkey", "oidc", "basic", "token" and "link"',
        examples=[["passkey", "token"]],
    ),
]


class AccessConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One policy. Who is in one of the lists is let in; with no list, nobody but tokens and links.

    ``"*"`` in ``users`` is every user of this edge, and in ``emails`` everybody whom one of
    ``providers`` vouches for.
    """

    users: Names = ()  #: of this edge
    groups: Names = ()  #: of this edge's users, or as a provider names them
    emails: Emails = ()  #: as a provider has verified them
    domains: Domains = ()  #: what such an address ends with
    providers: Names = ()  #: the only ones that are asked; empty: all of [oidc]
    methods: Ways = ("password", "passkey", "oidc", "token", "link")
    session: Seconds = 2_592_000.0  #: from a login to the next one
    oauth: bool = False  #: programs may ask for access tokens (docs/howto/mcp.md)


def check_access(policies: Mapping[str, AccessConfig], *, file: str) -> None:
    """Check what types cannot say of ``[access]``: names, addresses and domains.

    Args:
        policies: By name.
        file: The file's name, for errors.

    Raises:
        EdgeConfigError: One of them is none.
    """
    for name, policy in policies.items():
        path = f"access.{shown(name)}"
        if name == PUBLIC:
            why = "is the name of what is open for everybody"
            raise EdgeConfigError(path, why, "give it another name", file=file)
        if not _NAME.fullmatch(name):
            why = "expected 1 to 32 of a-z 0-9 -, beginning and ending with a letter or digit"
            raise EdgeConfigError(path, why, "write for example [access.family]", file=file)
        for text in policy.emails:
            if text != "*" and not _EMAIL.fullmatch(text):
                why = f"expected an e-mail address or *, got {shown(text)}"
                fix = 'write for example "anna@example.org"'
                raise EdgeConfigError(f"{path}.emails", why, fix, file=file)
        for text in policy.domains:
            if not _DOMAIN.fullmatch(text):
                why = f"expected a domain in lower case, got {shown(text)}"
                raise EdgeConfigError(f"{path}.domains", why, 'write "example.org"', file=file)


def check_doors(
    hostnames: Mapping[str, HostnameConfig], policies: Collection[str], *, file: str
) -> None:
    """Check ``access`` and ``access_paths`` of each hostname.

    Args:
        hostnames: By name.
        policies: The names that ``[access]`` has.
        file: The file's name, for errors.

    Raises:
        EdgeConfigError: A policy is not there, or a path is none.
    """
    for hostname, settings in hostnames.items():
        path = f"hostnames.{shown(hostname)}"
        if settings.access is not None:
            _check_policy(settings.access, policies, f"{path}.access", file)
        if len(settings.access_paths) > MAX_PATHS:
            why = f"has {len(settings.access_paths)} entries, more than {MAX_PATHS}"
            raise EdgeConfigError(f"{path}.access_paths", why, "name shorter paths", file=file)
        for text, policy in settings.access_paths.items():
            _check_policy(policy, policies, f"{path}.access_paths", file)
            if split_path(text) is None:
                why = f"expected a path, or a method and a path, got {shown(text)}"
                fix = 'write for example "/admin" = "operators" or "POST /hooks" = "public"'
                raise EdgeConfigError(f"{path}.access_paths", why, fix, file=file)


def split_path(text: str) -> tuple[str, str] | None:
    """Take ``POST /hooks`` or ``/hooks`` apart: method (empty: any) and path; None: it is neither.

    The path is one of plain characters, without dots for its own or the folder above.
    """
    method, blank, path = text.rpartition(" ")
    if blank and method not in METHODS:
        return None
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        return None
    return method, path


def _check_policy(name: str, policies: Collection[str], setting: str, file: str) -> None:
    if name != PUBLIC and name not in policies:
        why = f"names {shown(name)}, and there is no [access.{name}]"
        raise EdgeConfigError(setting, why, f'add [access.{name}], or write "public"', file=file)
