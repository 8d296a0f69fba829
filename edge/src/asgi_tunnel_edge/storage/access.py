"""Who may pass a door, as the store has it; what a snapshot holds of them is read by ``reading``.

The tables are in ``users``, ``logins`` and ``passes``: together they are what commands and a
running edge use, in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tunnel_edge.accounts import AccessRecords

from .access_rows import ACCESS_EPOCH, link_row, service_token_row
from .logins import LoginStore
from .models import AccessUser, Meta
from .passes import PassStore
from .users import UserStore

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["AccessStore", "restore_access"]


class AccessStore(UserStore, LoginStore, PassStore):
    """Users, passkeys, logins, service tokens and links; every method raises StorageError."""


def restore_access(session: Session, records: AccessRecords) -> None:
    """Fill new tables with what a running edge knew: without passwords, passkeys and logins."""
    for user in records.users:
        session.add(
            AccessUser(
                name=user.name,
                email=user.email,
                groups=" ".join(user.groups),
                created_at=user.created_at,
                disabled_at=user.disabled_at,
                epoch=user.epoch,
            )
        )
    session.add_all(service_token_row(one) for one in records.service_tokens)
    session.add_all(link_row(one) for one in records.links)
    # Which logins were ended is not known one by one any more: all are.
    session.merge(Meta(key=ACCESS_EPOCH, value=records.epoch + 1))
