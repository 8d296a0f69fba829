"""The tables of users and of what they log in with: passwords, passkeys, invitations.

Part of :class:`.access.AccessStore`, through which it is used.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from asgi_tunnel_edge.errors import AccountError

from .access_rows import changed, check_room, find_user, sign_out, user_of
from .database import Database
from .models import AccessInvitation, AccessPasskey, AccessSession, AccessUser, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from asgi_tunnel_edge.accounts import UserRecord

__all__ = ["UserStore"]

MAX_PASSKEYS: Final = 20
"""Of one user and hostname: phones, computers and keys of one person."""

MAX_INVITATION: Final = 7 * 86400
"""Seconds that an invitation lives at most: it lies in a message, and whoever finds it is its
user."""

_MAX_NAMED: Final = 5  # tokens that one sentence names


class UserStore(Database):
    """Users, invitations and passkeys; every method raises StorageError."""

    def create_user(self, record: UserRecord, *, password: str | None = None) -> None:
        """Keep a new user.

        Args:
            record: Who it is.
            password: Hashed; None: no password.

        Raises:
            AccountError: There is one of the name, or there are too many.
        """
        with self._errors(), self._write() as session:
            if session.get(AccessUser, record.name) is not None:
                raise AccountError(
                    record.name, "is a user already", "choose another name, or change this one"
                )
            check_room(session, AccessUser, record.name)
            session.add(
                AccessUser(
                    name=record.name,
                    email=record.email,
                    groups=" ".join(record.groups),
                    password=password,
                    created_at=record.created_at,
                    disabled_at=record.disabled_at,
                    # Not 0: a user of the same name may have been here before, with sessions.
                    epoch=record.created_at,
                )
            )
            changed(session, "user.create", record.name, f"groups={','.join(record.groups)}")

    def users(self) -> list[tuple[UserRecord, bool, int]]:
        """All users, sorted; each with whether there is a password, and the number of passkeys."""
        with self._errors(), self._read() as session:
            rows = session.scalars(sa.select(AccessUser).order_by(AccessUser.name))
            count = sa.select(AccessPasskey.user, sa.func.count()).group_by(AccessPasskey.user)
            keys = {user: number for user, number in session.execute(count)}  # noqa: C416 - rows
            return [(user_of(row), row.password is not None, keys.get(row.name, 0)) for row in rows]

    def password_of(self, name: str) -> str:
        """Return the hashed password of a user; empty: there is none, or no such user."""
        if "\0" in name:  # of a visitor: PostgreSQL would refuse it, and the try would not count
            return ""
        with self._errors(), self._read() as session:
            row = session.get(AccessUser, name)
            if row is None or row.disabled_at is not None:
                return ""
            return row.password or ""

    def change_user(
        self,
        name: str,
        *,
        password: str | None = None,
        email: str | None = None,
        groups: Sequence[str] | None = None,
        disabled: bool | None = None,
    ) -> UserRecord:
        """Change what is given, and nothing else; a new password ends the user's sessions.

        Raises:
            AccountError: There is no such user.
        """
        with self._errors(), self._write() as session:
            row = find_user(session, name)
            said = []
            if password is not None:
                row.password = password
                sign_out(session, row)
                said.append("password")
            if email is not None:
                row.email = email
                said.append("email")
            if groups is not None:
                row.groups = " ".join(groups)
                said.append(f"groups={','.join(groups)}")
            if disabled is not None:
                row.disabled_at = int(time.time()) if disabled else None
                sign_out(session, row)
                said.append("disabled" if disabled else "enabled")
            changed(session, "user.change", name, " ".join(said))
            return user_of(row)

    def remove_user(self, name: str) -> None:
        """Forget a user, the passkeys and the logins.

        Raises:
            AccountError: There is no such user, or the user owns tokens that are not revoked.
        """
        with self._errors(), self._write() as session:
            row = find_user(session, name)
            _check_owns_nothing(session, name)
            session.execute(sa.delete(AccessPasskey).where(AccessPasskey.user == name))
            session.execute(sa.delete(AccessInvitation).where(AccessInvitation.user == name))
            # Their ids stay: a user of the same name may come back.
            ended = sa.update(AccessSession).where(AccessSession.subject == f"user:{name}")
            session.execute(ended.values(revoked_at=int(time.time())))
            session.delete(row)
            changed(session, "user.rm", name, "")

    def invite(self, name: str, secret_sha256: str, *, expires_at: int) -> None:
        """Keep an invitation, in place of those that the user has.

        Args:
            name: Of the user.
            secret_sha256: Hex, of its secret.
            expires_at: Seconds since 1970; ``MAX_INVITATION`` from now, where that is earlier.

        Raises:
            AccountError: There is no such user.
        """
        with self._errors(), self._write() as session:
            find_user(session, name)
            session.execute(sa.delete(AccessInvitation).where(AccessInvitation.user == name))
            now = int(time.time())
            expires_at = min(expires_at, now + MAX_INVITATION)
            session.add(
                AccessInvitation(
                    secret_sha256=secret_sha256, user=name, created_at=now, expires_at=expires_at
                )
            )
            changed(session, "user.invite", name, f"expires={expires_at}")

    def invited(self, secret_sha256: str, *, now: float) -> str | None:
        """Return the user of an invitation that can still be used; None: there is none."""
        with self._errors(), self._read() as session:
            row = session.get(AccessInvitation, secret_sha256)
            if row is None or row.used_at is not None or now >= row.expires_at:
                return None
            return row.user

    def use_invitation(self, secret_sha256: str, *, now: float) -> str | None:
        """Use an invitation up; return its user, or None as :meth:`invited`."""
        with self._errors(), self._write() as session:
            row = session.get(AccessInvitation, secret_sha256)
            if row is None or row.used_at is not None or now >= row.expires_at:
                return None
            row.used_at = int(now)
            changed(session, "user.invited", row.user, "")
            return row.user

    def add_passkey(
        self,
        user: str,
        credential_id: str,
        public_key: bytes,
        *,
        hostname: str,
        sign_count: int,
        label: str,
    ) -> None:
        """Keep a passkey.

        Args:
            user: Whose it is.
            credential_id: In base64url.
            public_key: In COSE.
            hostname: Where it was made: it works there only.
            sign_count: Of the authenticator; 0: it does not count.
            label: For people.

        Raises:
            AccountError: There is no such user, the user has too many, or it is known already.
        """
        with self._errors(), self._write() as session:
            find_user(session, user)
            if session.get(AccessPasskey, credential_id) is not None:
                raise AccountError(user, "has a passkey that is known already", "make another one")
            mine = sa.select(sa.func.count()).where(
                AccessPasskey.user == user, AccessPasskey.hostname == hostname
            )
            if (session.scalar(mine) or 0) >= MAX_PASSKEYS:
                why = f"has {MAX_PASSKEYS} passkeys for {hostname}"
                raise AccountError(user, why, "remove one first")
            session.add(
                AccessPasskey(
                    id=credential_id,
                    user=user,
                    hostname=hostname,
                    public_key=public_key,
                    sign_count=sign_count,
                    label=label[:100],
                    created_at=int(time.time()),
                )
            )
            changed(session, "passkey.add", user, f"hostname={hostname}")

    def passkey(self, credential_id: str, hostname: str) -> tuple[str, bytes, int] | None:
        """Return user, public key and sign count of a passkey; None: it is not known here."""
        with self._errors(), self._read() as session:
            row = session.get(AccessPasskey, credential_id)
            if row is None or row.hostname != hostname:
                return None
            return row.user, row.public_key, row.sign_count

    def passkeys(self, user: str) -> list[tuple[str, str, str, int, int | None]]:
        """All passkeys of a user: id, hostname, label, made at, last used at; oldest first."""
        with self._errors(), self._read() as session:
            wanted = sa.select(AccessPasskey).where(AccessPasskey.user == user)
            rows = session.scalars(wanted.order_by(AccessPasskey.created_at, AccessPasskey.id))
            return [
                (row.id, row.hostname, row.label, row.created_at, row.last_used_at) for row in rows
            ]

    def use_passkey(self, credential_id: str, sign_count: int) -> bool:
        """Note that a passkey was used. The snapshot does not hold it.

        Returns:
            False: it is gone, or its count has not grown since the last use: somebody has a copy
            of the key, or sends an old login again. (WebAuthn section 6.1.1)
        """
        with self._errors(), self._write() as session:
            row = session.get(AccessPasskey, credential_id)
            if row is None or ((sign_count or row.sign_count) and sign_count <= row.sign_count):
                return False
            row.sign_count, row.last_used_at = sign_count, int(time.time())
            return True

    def remove_passkey(self, user: str, credential_id: str) -> UserRecord | None:
        """Forget a passkey, and end its user's sessions.

        Returns:
            The user as from now on; None: the user has no such passkey.
        """
        with self._errors(), self._write() as session:
            row = session.get(AccessPasskey, credential_id)
            if row is None or row.user != user:
                return None
            session.delete(row)
            owner = find_user(session, user)
            sign_out(session, owner)
            changed(session, "passkey.rm", user, f"hostname={row.hostname}")
            return user_of(owner)


def _check_owns_nothing(session: Session, name: str) -> None:
    owned = sa.select(Token.name).where(Token.owner == name, Token.revoked_at.is_(None))
    names = list(session.scalars(owned.order_by(Token.name).limit(_MAX_NAMED + 1)))
    if names:
        some = ", ".join(names[:_MAX_NAMED]) + (" and more" if len(names) > _MAX_NAMED else "")
        what = "token" if len(names) == 1 else "tokens"
        fix = "give them to another with `asgi-tunnel-edge token change`, or revoke them"
        raise AccountError(name, f"owns the {what} {some}", fix)
