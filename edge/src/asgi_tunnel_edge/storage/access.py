"""The tables of who may pass a door; what a snapshot holds of them is read by ``reading``.

``AccessStore`` is used by the command line, and by a running edge in a thread: a login writes one
row. Large because it is the contract of six small tables that change together.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from asgi_tunnel_edge.accounts import (
    AccessRecords,
    LinkRecord,
    ServiceTokenRecord,
    SessionRecord,
    UserRecord,
)
from asgi_tunnel_edge.errors import AccountError

from .database import GENERATION, Database, raise_number
from .models import (
    AccessInvitation,
    AccessLink,
    AccessPasskey,
    AccessServiceToken,
    AccessSession,
    AccessUser,
    Audit,
    Meta,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ACCESS_EPOCH", "AccessStore", "restore_access"]

ACCESS_EPOCH: Final = "access_epoch"
"""Row of ``meta``: grows when everybody is signed out."""

MAX_ROWS: Final = 10_000
"""Users, service tokens and links, each: a door keeps all of them in memory, 1 KiB each."""

MAX_SESSION_ROWS: Final = 50_000
"""Logins that are listed; the oldest one is forgotten for a new one, and its session goes on."""

MAX_PASSKEYS: Final = 20
"""Of one user and hostname: phones, computers and keys of one person."""

MAX_INVITATION: Final = 7 * 86400
"""Seconds that an invitation lives at most: it lies in a message, and whoever finds it is its
user."""


class AccessStore(Database):
    """Users, passkeys, logins, service tokens and links; every method raises StorageError.

    Large because a removed user takes rows of four tables along: one class knows all of them.
    """

    # -- users -------------------------------------------------------------------------------

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
            _check_room(session, AccessUser, record.name)
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
            _changed(session, "user.create", record.name, f"groups={','.join(record.groups)}")

    def users(self) -> list[tuple[UserRecord, bool, int]]:
        """All users, sorted; each with whether there is a password, and the number of passkeys."""
        with self._errors(), Session(self._engine) as session, session.begin():
            rows = session.scalars(sa.select(AccessUser).order_by(AccessUser.name))
            count = sa.select(AccessPasskey.user, sa.func.count()).group_by(AccessPasskey.user)
            keys = {user: number for user, number in session.execute(count)}  # noqa: C416 - rows
            return [(_user(row), row.password is not None, keys.get(row.name, 0)) for row in rows]

    def password_of(self, name: str) -> str:
        """Return the hashed password of a user; empty: there is none, or no such user."""
        with self._errors(), Session(self._engine) as session, session.begin():
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
            row = _find_user(session, name)
            said = []
            if password is not None:
                row.password = password
                _sign_out(session, row)
                said.append("password")
            if email is not None:
                row.email = email
                said.append("email")
            if groups is not None:
                row.groups = " ".join(groups)
                said.append(f"groups={','.join(groups)}")
            if disabled is not None:
                row.disabled_at = int(time.time()) if disabled else None
                _sign_out(session, row)
                said.append("disabled" if disabled else "enabled")
            _changed(session, "user.change", name, " ".join(said))
            return _user(row)

    def remove_user(self, name: str) -> None:
        """Forget a user, the passkeys and the logins.

        Raises:
            AccountError: There is no such user.
        """
        with self._errors(), self._write() as session:
            row = _find_user(session, name)
            session.execute(sa.delete(AccessPasskey).where(AccessPasskey.user == name))
            session.execute(sa.delete(AccessInvitation).where(AccessInvitation.user == name))
            # Their ids stay: a user of the same name may come back.
            ended = sa.update(AccessSession).where(AccessSession.subject == f"user:{name}")
            session.execute(ended.values(revoked_at=int(time.time())))
            session.delete(row)
            _changed(session, "user.rm", name, "")

    # -- invitations and passkeys ------------------------------------------------------------

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
            _find_user(session, name)
            session.execute(sa.delete(AccessInvitation).where(AccessInvitation.user == name))
            now = int(time.time())
            expires_at = min(expires_at, now + MAX_INVITATION)
            session.add(
                AccessInvitation(
                    secret_sha256=secret_sha256, user=name, created_at=now, expires_at=expires_at
                )
            )
            _changed(session, "user.invite", name, f"expires={expires_at}")

    def invited(self, secret_sha256: str, *, now: float) -> str | None:
        """Return the user of an invitation that can still be used; None: there is none."""
        with self._errors(), Session(self._engine) as session, session.begin():
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
            _changed(session, "user.invited", row.user, "")
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
            _find_user(session, user)
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
            _changed(session, "passkey.add", user, f"hostname={hostname}")

    def passkey(self, credential_id: str, hostname: str) -> tuple[str, bytes, int] | None:
        """Return user, public key and sign count of a passkey; None: it is not known here."""
        with self._errors(), Session(self._engine) as session, session.begin():
            row = session.get(AccessPasskey, credential_id)
            if row is None or row.hostname != hostname:
                return None
            return row.user, row.public_key, row.sign_count

    def passkeys(self, user: str) -> list[tuple[str, str, str, int, int | None]]:
        """All passkeys of a user: id, hostname, label, made at, last used at; oldest first."""
        with self._errors(), Session(self._engine) as session, session.begin():
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
            owner = _find_user(session, user)
            _sign_out(session, owner)
            _changed(session, "passkey.rm", user, f"hostname={row.hostname}")
            return _user(owner)

    # -- logins ------------------------------------------------------------------------------

    def add_session(self, record: SessionRecord) -> None:
        """Note a login; those that are over are forgotten."""
        with self._errors(), self._write() as session:
            now = record.created_at
            session.execute(sa.delete(AccessSession).where(AccessSession.expires_at <= now))
            count = session.scalar(sa.select(sa.func.count()).select_from(AccessSession)) or 0
            if count >= MAX_SESSION_ROWS:
                first = sa.select(AccessSession).order_by(AccessSession.created_at).limit(1)
                oldest = session.scalars(first.where(AccessSession.revoked_at.is_(None))).first()
                if oldest is not None:
                    session.delete(oldest)
            session.add(
                AccessSession(
                    id=record.id,
                    subject=record.subject[:512],
                    name=record.name[:255],
                    hostname=record.hostname,
                    method=record.method,
                    created_at=record.created_at,
                    expires_at=record.expires_at,
                    address=record.address,
                    agent=record.agent[:200],
                )
            )

    def sessions(
        self, *, now: float | None = None, subject: str | None = None
    ) -> list[SessionRecord]:
        """All logins that hold, or those of one subject; oldest first."""
        at = time.time() if now is None else now
        with self._errors(), Session(self._engine) as session, session.begin():
            wanted = sa.select(AccessSession).where(
                AccessSession.expires_at > at, AccessSession.revoked_at.is_(None)
            )
            if subject is not None:
                wanted = wanted.where(AccessSession.subject == subject[:512])
            rows = session.scalars(wanted.order_by(AccessSession.created_at, AccessSession.id))
            return [_session(row) for row in rows]

    def end_sessions(self, wanted: Sequence[str]) -> list[SessionRecord]:
        """End logins by their ids; return those that held."""
        with self._errors(), self._write() as session:
            ended = []
            for one in dict.fromkeys(wanted):
                row = session.get(AccessSession, one)
                if row is not None and row.revoked_at is None:
                    row.revoked_at = int(time.time())
                    ended.append(_session(row))
            if ended:
                _changed(session, "session.end", ended[0].subject, f"count={len(ended)}")
            return ended

    def end_sessions_by(self, subject: str) -> None:
        """End all logins of one subject: of a user, all at once, those that are not listed too."""
        kind, _, name = subject.partition(":")
        with self._errors(), self._write() as session:
            user = session.get(AccessUser, name) if kind == "user" else None
            if user is not None:
                user.epoch += 1
            known = sa.update(AccessSession).where(AccessSession.subject == subject[:512])
            session.execute(known.values(revoked_at=int(time.time())))
            _changed(session, "session.end", subject, "all")

    def end_sessions_of(self, user: str) -> None:
        """End all logins of a user, on all hostnames.

        Raises:
            AccountError: There is no such user.
        """
        with self._errors(), self._write() as session:
            _find_user(session, user)
        self.end_sessions_by(f"user:{user}")

    def end_all_sessions(self) -> None:
        """End every login."""
        with self._errors(), self._write() as session:
            raise_number(session, ACCESS_EPOCH)
            session.execute(sa.delete(AccessSession))
            _changed(session, "session.end", "-", "everybody")

    # -- service tokens ----------------------------------------------------------------------

    def create_service_token(self, record: ServiceTokenRecord) -> None:
        """Keep a new service token.

        Raises:
            AccountError: One that holds has the name, or there are too many.
        """
        with self._errors(), self._write() as session:
            same = sa.select(AccessServiceToken).where(
                AccessServiceToken.name == record.name, AccessServiceToken.revoked_at.is_(None)
            )
            if session.scalars(same).first() is not None:
                why = "is a service token already"
                raise AccountError(record.name, why, "choose another name, or revoke that one")
            _check_room(session, AccessServiceToken, record.name)
            session.add(_service_token_row(record))
            _changed(session, "service-token.create", record.id, f"name={record.name}")

    def service_tokens(self) -> list[ServiceTokenRecord]:
        """All service tokens, oldest first."""
        with self._errors(), Session(self._engine) as session, session.begin():
            return _service_tokens(session)

    def revoke_service_token(self, wanted: str) -> ServiceTokenRecord:
        """Take a service token back, by its id or name.

        Raises:
            AccountError: There is none that holds.
        """
        with self._errors(), self._write() as session:
            known = sa.select(AccessServiceToken).where(
                sa.or_(AccessServiceToken.id == wanted, AccessServiceToken.name == wanted),
                AccessServiceToken.revoked_at.is_(None),
            )
            row = session.scalars(known).first()
            if row is None:
                fix = "list them with `asgi-tunnel-edge service-token list`"
                raise AccountError(wanted, "is no service token that holds", fix)
            row.revoked_at = int(time.time())
            _changed(session, "service-token.revoke", row.id, f"name={row.name}")
            return _service_token(row)

    # -- links -------------------------------------------------------------------------------

    def create_link(self, record: LinkRecord) -> None:
        """Keep a new share link.

        Raises:
            AccountError: There are too many.
        """
        with self._errors(), self._write() as session:
            over = sa.delete(AccessLink).where(AccessLink.expires_at <= record.created_at)
            session.execute(over)
            _check_room(session, AccessLink, record.id)
            session.add(_link_row(record))
            detail = f"hostname={record.hostname} path={record.path}"
            _changed(session, "link.create", record.id, detail)

    def links(self) -> list[LinkRecord]:
        """All share links, oldest first."""
        with self._errors(), Session(self._engine) as session, session.begin():
            return _links(session)

    def use_link(self, secret_sha256: str, hostname: str, *, now: float) -> LinkRecord | None:
        """Count one more browser that opens a link; None: it is over, used up or not known."""
        with self._errors(), self._write() as session:
            known = sa.select(AccessLink).where(
                AccessLink.secret_sha256 == secret_sha256, AccessLink.hostname == hostname
            )
            row = session.scalars(known).first()
            if row is None or row.revoked_at is not None:
                return None
            if row.expires_at is not None and now >= row.expires_at:
                return None
            if row.max_uses is not None and row.uses >= row.max_uses:
                return None
            row.uses += 1
            return _link(row)

    def revoke_link(self, wanted: str) -> LinkRecord:
        """Take a share link back; who has opened it is out, too.

        Raises:
            AccountError: There is none that holds.
        """
        with self._errors(), self._write() as session:
            row = session.get(AccessLink, wanted)
            if row is None or row.revoked_at is not None:
                fix = "list them with `asgi-tunnel-edge link list`"
                raise AccountError(wanted, "is no share link that holds", fix)
            row.revoked_at = int(time.time())
            _changed(session, "link.revoke", row.id, "")
            return _link(row)


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
    session.add_all(_service_token_row(one) for one in records.service_tokens)
    session.add_all(_link_row(one) for one in records.links)
    # Which logins were ended is not known one by one any more: all are.
    session.merge(Meta(key=ACCESS_EPOCH, value=records.epoch + 1))


def _find_user(session: Session, name: str) -> AccessUser:
    row = session.get(AccessUser, name)
    if row is None:
        fix = "list them with `asgi-tunnel-edge user list`"
        raise AccountError(name, "is no user of this edge", fix)
    return row


def _sign_out(session: Session, user: AccessUser) -> None:
    """End all sessions of a user: those that are listed, and any other one."""
    user.epoch += 1
    mine = sa.update(AccessSession).where(AccessSession.subject == f"user:{user.name}")
    session.execute(mine.values(revoked_at=int(time.time())))


def _check_room(
    session: Session, model: type[AccessUser | AccessServiceToken | AccessLink], name: str
) -> None:
    count = session.scalar(sa.select(sa.func.count()).select_from(model)) or 0
    if count >= MAX_ROWS:
        raise AccountError(name, f"would be one more than {MAX_ROWS}", "remove some first")


def _user(row: AccessUser) -> UserRecord:
    return UserRecord(
        name=row.name,
        email=row.email,
        groups=tuple(row.groups.split()),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        epoch=row.epoch,
    )


def _service_tokens(session: Session) -> list[ServiceTokenRecord]:
    rows = session.scalars(
        sa.select(AccessServiceToken).order_by(AccessServiceToken.created_at, AccessServiceToken.id)
    )
    return [_service_token(row) for row in rows]


def _service_token(row: AccessServiceToken) -> ServiceTokenRecord:
    return ServiceTokenRecord(
        id=row.id,
        name=row.name,
        secret_sha256=row.secret_sha256,
        policies=tuple(row.policies.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _service_token_row(record: ServiceTokenRecord) -> AccessServiceToken:
    return AccessServiceToken(
        id=record.id,
        name=record.name,
        secret_sha256=record.secret_sha256,
        policies=" ".join(record.policies),
        created_at=record.created_at,
        expires_at=record.expires_at,
    )


def _link_row(record: LinkRecord) -> AccessLink:
    return AccessLink(
        id=record.id,
        secret_sha256=record.secret_sha256,
        hostname=record.hostname,
        path=record.path,
        created_at=record.created_at,
        expires_at=record.expires_at,
        max_uses=record.max_uses,
        uses=record.uses,
        note=record.note,
    )


def _links(session: Session) -> list[LinkRecord]:
    rows = session.scalars(sa.select(AccessLink).order_by(AccessLink.created_at, AccessLink.id))
    return [_link(row) for row in rows]


def _link(row: AccessLink) -> LinkRecord:
    return LinkRecord(
        id=row.id,
        secret_sha256=row.secret_sha256,
        hostname=row.hostname,
        path=row.path,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        max_uses=row.max_uses,
        uses=row.uses,
        note=row.note,
    )


def _session(row: AccessSession) -> SessionRecord:
    return SessionRecord(
        id=row.id,
        subject=row.subject,
        name=row.name,
        hostname=row.hostname,
        method=row.method,
        created_at=row.created_at,
        expires_at=row.expires_at,
        address=row.address,
        agent=row.agent,
        revoked_at=row.revoked_at,
    )


def _changed(session: Session, action: str, subject: str, detail: str) -> None:
    """Note a change and raise the generation, in the change's own transaction."""
    now = int(time.time())
    session.add(Audit(at=now, action=action, subject=subject[:255], detail=detail))
    raise_number(session, GENERATION)
