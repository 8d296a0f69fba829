"""Rows of the tables about access as records, and back; and what their changes have in common.

A row has a column for each field of its record, under the same name: a new field is written in one
place. Called by ``users``, ``logins``, ``passes`` and ``access``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

from asgi_tunnel_edge.accounts import LinkRecord, ServiceTokenRecord, SessionRecord, UserRecord
from asgi_tunnel_edge.errors import AccountError

from .database import GENERATION, raise_number
from .models import AccessLink, AccessServiceToken, AccessSession, AccessUser, Audit

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = [
    "ACCESS_EPOCH",
    "changed",
    "check_room",
    "find_user",
    "link_of",
    "link_row",
    "login_of",
    "service_token_of",
    "service_token_row",
    "sign_out",
    "user_of",
]

ACCESS_EPOCH: Final = "access_epoch"
"""Row of ``meta``: grows when everybody is signed out."""

MAX_ROWS: Final = 10_000
"""Users, service tokens and links, each: a door keeps all of them in memory, 1 KiB each."""

_Record = TypeVar("_Record", bound=msgspec.Struct)


def user_of(row: AccessUser) -> UserRecord:
    """Return a user, without what only a login needs."""
    return _record(row, UserRecord, groups=tuple(row.groups.split()))


def login_of(row: AccessSession) -> SessionRecord:
    """Return a login."""
    return _record(row, SessionRecord)


def service_token_of(row: AccessServiceToken) -> ServiceTokenRecord:
    """Return a service token."""
    return _record(row, ServiceTokenRecord, policies=tuple(row.policies.split()))


def service_token_row(record: ServiceTokenRecord) -> AccessServiceToken:
    """Return the row of a service token."""
    return AccessServiceToken(**_values(record, policies=" ".join(record.policies)))


def link_of(row: AccessLink) -> LinkRecord:
    """Return a share link."""
    return _record(row, LinkRecord)


def link_row(record: LinkRecord) -> AccessLink:
    """Return the row of a share link."""
    return AccessLink(**_values(record))


def find_user(session: Session, name: str) -> AccessUser:
    """Return the row of a user.

    Raises:
        AccountError: There is none.
    """
    row = session.get(AccessUser, name)
    if row is None:
        fix = "list them with `asgi-tunnel-edge user list`"
        raise AccountError(name, "is no user of this edge", fix, is_missing=True)
    return row


def sign_out(session: Session, user: AccessUser) -> None:
    """End all sessions of a user: those that are listed, and any other one."""
    user.epoch += 1
    mine = sa.update(AccessSession).where(AccessSession.subject == f"user:{user.name}")
    session.execute(mine.values(revoked_at=int(time.time())))


def check_room(
    session: Session, model: type[AccessUser | AccessServiceToken | AccessLink], name: str
) -> None:
    """See that a table takes one more row.

    Raises:
        AccountError: It has ``MAX_ROWS``.
    """
    count = session.scalar(sa.select(sa.func.count()).select_from(model)) or 0
    if count >= MAX_ROWS:
        raise AccountError(name, f"would be one more than {MAX_ROWS}", "remove some first")


def changed(session: Session, action: str, subject: str, detail: str) -> None:
    """Note a change and raise the generation, in the change's own transaction."""
    now = int(time.time())
    session.add(Audit(at=now, action=action, subject=subject[:255], detail=detail))
    raise_number(session, GENERATION)


def _record(row: object, struct: type[_Record], **given: object) -> _Record:
    """A row as a record: its columns, and what is given in their place."""
    names = [name for name in struct.__struct_fields__ if name not in given]
    return struct(**{name: getattr(row, name) for name in names}, **given)


def _values(record: msgspec.Struct, **given: object) -> dict[str, Any]:
    """The columns of a record, with what is given in their place."""
    return {**msgspec.structs.asdict(record), **given}
