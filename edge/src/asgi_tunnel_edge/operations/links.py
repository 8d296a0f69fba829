"""Share links: one path for whoever has its address."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

from msgspec import Meta, Struct

from asgi_tunnel_edge.access.doors import ACCESS_PATH, MAX_RETURN
from asgi_tunnel_edge.access.paths import plain_path
from asgi_tunnel_edge.accounts import LinkRecord
from asgi_tunnel_edge.address import door_url
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import new_secret, parse_duration, secret_digest

from .doors import DoorMap
from .texts import utc_second

if TYPE_CHECKING:
    from asgi_tunnel_edge.accounts import ServiceTokenRecord
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = [
    "CreatedLink",
    "LinkView",
    "NewLink",
    "create_link",
    "expiry",
    "link_state",
    "link_view",
    "list_links",
    "revoke_link",
    "split_target",
    "state_of",
]

MAX_NOTE: Final = 100
"""Characters: a name, and what it is for."""

MAX_USES: Final = 1_000_000
"""Browsers that one link is for; more are everybody."""

_PATH: Final = f"{ACCESS_PATH}link/"
_KEPT: Final = "/%~!$&'()*+,=:@-._"  # of a path, as it stands in an address


class NewLink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link to make."""

    target: str  #: HOST/PATH, or an address from a browser
    expires: str = "7d"  #: from now, or "never"
    uses: Annotated[int, Meta(ge=1, le=MAX_USES)] | None = None  #: browsers; None: any number
    note: str = ""  #: for whom it is


class CreatedLink(Struct, frozen=True, kw_only=True):
    """A link that was made: its address is known now, and never again."""

    record: LinkRecord
    url: str


class LinkView(Struct, frozen=True, kw_only=True):
    """What a program is told of a link; its address is not kept."""

    id: str
    hostname: str
    path: str
    note: str
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None
    max_uses: int | None
    uses: int
    state: str  #: ``active``, ``expired``, ``revoked`` or ``used``


def create_link(config: EdgeConfig, new: NewLink) -> CreatedLink:
    """Make a link.

    Raises:
        EdgeConfigError: Target, time or note are none, or nothing is shut there.
        AccountError: There are too many.
    """
    hostname, path = split_target(new.target)
    _check_door(DoorMap.load(config), hostname, path)
    if len(new.note) > MAX_NOTE or not new.note.isprintable():
        why = f"expected one line of at most {MAX_NOTE} characters"
        raise EdgeConfigError("--note", why, 'write for example "for aunt Zoe"')
    now = int(time.time())
    secret = new_secret()
    record = LinkRecord(
        id=f"lnk_{secrets.token_hex(8)}",
        secret_sha256=secret_digest(secret),
        hostname=hostname,
        path=path,
        created_at=now,
        expires_at=None if new.expires == "never" else expiry(new.expires, now),
        max_uses=new.uses,
        note=new.note,
    )
    AccessStore(config.database).create_link(record)
    url = f"{door_url(config, hostname)}{_PATH}{secret}"
    return CreatedLink(record=record, url=url)


def list_links(config: EdgeConfig) -> list[LinkRecord]:
    """Return all links, oldest first."""
    return AccessStore(config.database).links()


def revoke_link(config: EdgeConfig, link_id: str) -> LinkRecord:
    """Take a link back; whoever has opened it is out within a second.

    Raises:
        AccountError: There is none that holds.
    """
    return AccessStore(config.database).revoke_link(link_id)


def link_view(record: LinkRecord, now: float) -> LinkView:
    """Return what a program is told of a link."""
    return LinkView(
        id=record.id,
        hostname=record.hostname,
        path=record.path,
        note=record.note,
        created_at=utc_second(record.created_at),
        expires_at=utc_second(record.expires_at),
        revoked_at=utc_second(record.revoked_at),
        max_uses=record.max_uses,
        uses=record.uses,
        state=link_state(record, now),
    )


def state_of(record: ServiceTokenRecord | LinkRecord, now: float) -> str:
    """``active``, ``expired`` or ``revoked``."""
    if record.revoked_at is not None:
        return "revoked"
    return "expired" if record.expires_at is not None and now >= record.expires_at else "active"


def link_state(record: LinkRecord, now: float) -> str:
    """The same of a link; ``used`` when no other browser may open it."""
    state = state_of(record, now)
    is_used = record.max_uses is not None and record.uses >= record.max_uses
    return "used" if state == "active" and is_used else state


def expiry(text: str | None, now: int) -> int | None:
    """When something ends that is given ``--expires``, in seconds since 1970; None: never.

    Raises:
        EdgeConfigError: It is no time.
    """
    return None if text is None else now + parse_duration(text, setting="--expires")


def split_target(text: str) -> tuple[str, str]:
    """Take HOST/PATH, or an address from a browser, apart.

    Raises:
        EdgeConfigError: Its path can be read in more than one way, or is too long.
    """
    host, _, rest = text.removeprefix("https://").removeprefix("http://").partition("/")
    path = quote(f"/{rest}", safe=_KEPT)
    plain = plain_path(path.encode())
    if plain is None or len(path) > MAX_RETURN or "?" in rest:
        why = f"the path in {shown(text)} can be read in more than one way, or has a query"
        raise EdgeConfigError("HOST/PATH", why, "write for example photos.example.org/album/7")
    return normalise_hostname(host), path


def _check_door(doors: DoorMap, hostname: str, path: str) -> None:
    """See that a link opens something.

    Raises:
        EdgeConfigError: Nothing is shut there, or links are not taken.
    """
    door = doors.door(hostname)
    policies = () if door is None else door.policies_of(b"GET", path.encode())
    if not policies:
        why = f"{hostname}{path} is open to everybody"
        raise EdgeConfigError("HOST/PATH", why, "give people its address: no link is needed")
    for policy in policies:
        if "link" not in policy.methods:
            why = f"[access.{policy.name}], which stands at {hostname}{path}, takes no links"
            raise EdgeConfigError("HOST/PATH", why, 'add "link" to its methods')
