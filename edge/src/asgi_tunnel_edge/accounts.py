"""Who may pass a door, as the store has it: users, service tokens, share links, sign-outs.

What a door makes of them is decided in ``access``; passwords and passkeys, which only a login
needs, stay in the store.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from .errors import EdgeConfigError, shown

__all__ = [
    "SERVICE_TOKEN_PREFIX",
    "AccessRecords",
    "LinkRecord",
    "ServiceTokenRecord",
    "SessionRecord",
    "UserRecord",
    "check_account_name",
    "check_email",
    "check_groups",
]

MAX_GROUPS: Final = 32
"""Groups of one user: they travel to the app with each request."""

MAX_EMAIL: Final = 254
"""Characters, from RFC 5321 section 4.5.3.1.3 less its angle brackets."""

SERVICE_TOKEN_PREFIX: Final = "svc_"  # noqa: S105 - the beginning of a name
"""What their ids begin with, and no name does: as the name of Basic authentication it tells a
service token from a user."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_EMAIL: Final = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+")


class UserRecord(Struct, frozen=True, kw_only=True):
    """One user of this edge. Times are whole seconds since 1970, UTC."""

    name: str
    email: str = ""
    groups: tuple[str, ...] = ()
    created_at: int = 0
    disabled_at: int | None = None  #: no login and no session holds from then on
    epoch: int = 0  #: grows when all the user's sessions are ended


class ServiceTokenRecord(Struct, frozen=True, kw_only=True):
    """One service token: what a program shows in the place of a login."""

    id: str
    name: str
    secret_sha256: str  #: hex
    policies: tuple[str, ...]  #: the ``[access.NAME]`` that it passes
    created_at: int = 0
    expires_at: int | None = None
    revoked_at: int | None = None


class LinkRecord(Struct, frozen=True, kw_only=True):
    """One share link: whoever has it may see what is below one path."""

    id: str
    secret_sha256: str  #: hex
    hostname: str
    path: str  #: as a visitor's browser sends it; all below it is shared
    created_at: int = 0
    expires_at: int | None = None
    revoked_at: int | None = None
    max_uses: int | None = None  #: browsers that may open it; None: any number
    uses: int = 0
    note: str = ""  #: for whom it is


class SessionRecord(Struct, frozen=True, kw_only=True):
    """One login."""

    id: str
    subject: str  #: as :class:`.access.identity.Identity` has it
    name: str
    hostname: str
    method: str
    created_at: int
    expires_at: int
    address: str = ""
    agent: str = ""  #: what the browser calls itself
    revoked_at: int | None = None


class AccessRecords(Struct, frozen=True, kw_only=True):
    """All of it that a door needs, of one moment."""

    users: tuple[UserRecord, ...] = ()
    service_tokens: tuple[ServiceTokenRecord, ...] = ()
    links: tuple[LinkRecord, ...] = ()
    ended: tuple[str, ...] = ()  #: ids of sessions that were signed out before their end
    epoch: int = 0  #: grows when everybody is signed out


def check_account_name(text: str, *, setting: str = "NAME") -> str:
    """Check the name of a user, a group or a service token; return it.

    Raises:
        EdgeConfigError: It has other characters, or is too long.
    """
    if not _NAME.fullmatch(text):
        why = f"expected 1 to 63 of a-z 0-9 . _ -, got {shown(text)}"
        raise EdgeConfigError(setting, why, "begin and end it with a letter or digit, as anna")
    if text.startswith(SERVICE_TOKEN_PREFIX):
        why = f"{SERVICE_TOKEN_PREFIX} begins the ids of service tokens"
        raise EdgeConfigError(setting, why, "write for example anna")
    return text


def check_email(text: str) -> str:
    """Check an e-mail address, as far as that can be told from its text; return it in lower case.

    Raises:
        EdgeConfigError: It is none.
    """
    if len(text) > MAX_EMAIL or not text.isprintable() or not _EMAIL.fullmatch(text):
        why = f"expected an e-mail address, got {shown(text)}"
        raise EdgeConfigError("--email", why, "write for example anna@example.org")
    return text.lower()


def check_groups(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check the groups of one user; return each once, in their order.

    Raises:
        EdgeConfigError: One is no name, or there are too many.
    """
    groups = tuple(dict.fromkeys(check_account_name(one, setting="--group") for one in names))
    if len(groups) > MAX_GROUPS:
        why = f"there are more than {MAX_GROUPS} groups"
        raise EdgeConfigError("--group", why, "one group can stand for several")
    return groups
