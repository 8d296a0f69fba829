"""The store as the command line uses it: synchronous, one transaction for each change."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from asgi_tunnel_edge.ban import MAX_BANS, MAX_SCANNER_BANS, BanRecord, ScannerBan
from asgi_tunnel_edge.errors import (
    BanNotFoundError,
    HostnameTakenError,
    NameTakenError,
    StorageError,
    TokenNotFoundError,
    TokenRevokedError,
    TooManyBansError,
)
from asgi_tunnel_edge.files import PRIVATE
from asgi_tunnel_edge.network import overlap
from asgi_tunnel_edge.quotas import QUOTA_NAMES, TokenQuotas, format_quota
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

from .models import Audit, Ban, Hostname, Meta, ScannerBanRow, Token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["HEAD_REVISION", "Store"]

#: The newest migration. A test compares it with the folder.
HEAD_REVISION: Final = "0004"

#: Seconds to wait for another process's write; a write here takes milliseconds.
_BUSY_TIMEOUT: Final = 5.0
_MAX_NAMED: Final = 5  # bans that one sentence names
_WRITE: Final = {"sqlite_begin": "IMMEDIATE"}

#: Of two that were made in one second, the one that was kept first.
_OLDEST_FIRST: Final[tuple[Any, ...]] = (
    Token.created_at,
    sa.literal_column("tokens.rowid"),
)


class Store:
    """The tokens, hostnames, bans and audit log in one SQLite file; several processes may use it.

    Nothing is opened between calls, so that there is nothing to close. Every method raises
    StorageError when the database is missing, locked, broken or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A creator rather than a URL: `mode=rw` never makes an empty database by mistake.
        self._engine = sa.create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        sa.event.listen(self._engine, "begin", _begin)

    def migrate(self) -> None:
        """Make the database, or bring it to this version's tables; all or nothing.

        Of two processes that do this at once, one does it and the other finds it done.
        """
        with self._errors():
            # SQLite's own files beside the database take the mode of the database.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
            if self._revision() == HEAD_REVISION:
                return  # without the 0.2 s that importing alembic takes
            self._upgrade()

    def create_token(self, record: TokenRecord) -> None:
        """Keep a new token.

        Raises:
            NameTakenError: A token that is not revoked has the name.
            HostnameTakenError: A token that is not revoked has one of the hostnames.
        """
        with self._errors(), self._write() as session:
            by_name = sa.select(Token).where(Token.name == record.name, Token.revoked_at.is_(None))
            if (same := session.scalars(by_name).first()) is not None:
                raise NameTakenError(record.name, same.id)
            taken = sa.select(Hostname).where(Hostname.hostname.in_(record.hostnames))
            for hostname in session.scalars(taken.order_by(Hostname.hostname)):
                raise HostnameTakenError(hostname.hostname, hostname.token.name)
            session.add(
                Token(
                    id=record.id,
                    name=record.name,
                    secret_sha256=record.secret_sha256,
                    created_at=record.created_at,
                    expires_at=record.expires_at,
                    hostnames=[Hostname(hostname=hostname) for hostname in record.hostnames],
                    **_columns(record.quotas),
                )
            )
            detail = f"name={record.name} hostnames={','.join(record.hostnames)}"
            _changed(session, "token.create", record.id, detail, now=record.created_at)

    def revoke_tokens(
        self, wanted: Sequence[str], *, now: float | None = None
    ) -> list[TokenRecord]:
        """Take tokens back, all or none, and release their hostnames to new tokens.

        A token that is revoked already stays as it is.

        Args:
            wanted: Ids or names. A name means the token that has it now, or had it last.
            now: Seconds since 1970; the clock's, when left out.

        Returns:
            The tokens as they were before, each once, in the order they were wanted.

        Raises:
            TokenNotFoundError: One of them is unknown; then none is revoked.
        """
        at = int(time.time() if now is None else now)
        with self._errors(), self._write() as session:
            tokens = {token.id: token for token in (_find(session, name) for name in wanted)}
            before = [_record(token) for token in tokens.values()]
            for token, record in zip(tokens.values(), before, strict=True):
                if token.revoked_at is None:
                    token.revoked_at = at
                    token.hostnames.clear()
                    detail = f"name={record.name} released={','.join(record.hostnames)}"
                    _changed(session, "token.revoke", token.id, detail, now=at)
            return before

    def limit_token(
        self, wanted: str, changes: Mapping[str, int | None], *, now: float | None = None
    ) -> TokenRecord:
        """Change what one token may take.

        Args:
            wanted: An id, or the name of the token that has it now, or had it last.
            changes: By name of the quota; None: as for every other token. Others stay as they are.
            now: Seconds since 1970; the clock's, when left out.

        Returns:
            The token as it is after that.

        Raises:
            TokenNotFoundError: It is unknown.
            TokenRevokedError: It is revoked: nothing can be limited any more.
        """
        at = int(time.time() if now is None else now)
        with self._errors(), self._write() as session:
            token = _find(session, wanted)
            if token.revoked_at is not None:
                raise TokenRevokedError(token.name, token.id)
            for name, value in changes.items():
                setattr(token, name, value)
            if changes:
                said = " ".join(
                    f"{name}={'default' if value is None else format_quota(name, value)}"
                    for name, value in changes.items()
                )
                _changed(session, "token.limit", token.id, f"name={token.name} {said}", now=at)
            return _record(token)

    def find_token(self, wanted: str) -> TokenRecord:
        """Return a token by its id or name, as :meth:`limit_token` finds it.

        Raises:
            TokenNotFoundError: It is unknown.
        """
        with self._errors(), Session(self._engine) as session, session.begin():
            return _record(_find(session, wanted))

    def read(self) -> tuple[int, list[TokenRecord]]:
        """The generation and all tokens, oldest first, both of the same moment."""
        with self._errors(), Session(self._engine) as session, session.begin():
            tokens = session.scalars(sa.select(Token).order_by(*_OLDEST_FIRST))
            return _generation(session), [_record(token) for token in tokens]

    def restore(self, snapshot: Snapshot) -> None:
        """Fill a new database with what a running edge knew last; its history is not in it."""
        with self._errors(), self._write() as session:
            for record in snapshot.tokens.values():
                names = () if record.revoked else record.hostnames
                session.add(
                    Token(
                        id=record.id,
                        name=record.name,
                        secret_sha256=record.secret_sha256,
                        created_at=record.created_at,
                        expires_at=record.expires_at,
                        revoked_at=record.revoked_at,
                        hostnames=[Hostname(hostname=hostname) for hostname in names],
                        **_columns(record.quotas),
                    )
                )
                session.flush()  # one by one: their order is kept
            for ban in snapshot.bans:
                session.add(
                    Ban(
                        address=ban.address,
                        created_at=ban.created_at,
                        expires_at=ban.expires_at,
                        reason=ban.reason,
                    )
                )
            known = sa.update(Meta).where(Meta.key == "generation")
            session.execute(known.values(value=snapshot.generation))
            detail = f"tokens={len(snapshot.tokens)} bans={len(snapshot.bans)}"
            _changed(session, "database.restore", "-", detail, now=int(time.time()))

    def add_ban(self, ban: BanRecord) -> None:
        """Keep a ban, in place of one of the same address; bans that are over are forgotten.

        Raises:
            TooManyBansError: There are ``MAX_BANS`` others.
        """
        with self._errors(), self._write() as session:
            now = ban.created_at
            session.execute(sa.delete(Ban).where(Ban.expires_at <= now))
            others = sa.select(sa.func.count()).where(Ban.address != ban.address)
            if (session.scalar(others) or 0) >= MAX_BANS:
                raise TooManyBansError(MAX_BANS)
            session.merge(
                Ban(
                    address=ban.address,
                    created_at=ban.created_at,
                    expires_at=ban.expires_at,
                    reason=ban.reason,
                )
            )
            _changed(session, "ban.add", ban.address, f"expires={ban.expires_at}", now=now)

    def remove_bans(self, addresses: Sequence[str], *, now: float | None = None) -> None:
        """Take bans back, all or none: of the operator and of the scanner guard, for all owners.

        Args:
            addresses: As they were banned, in their one spelling.
            now: Seconds since 1970; the clock's, when left out.

        Raises:
            BanNotFoundError: One of them is not banned; then none is taken back.
        """
        at = int(time.time() if now is None else now)
        with self._errors(), self._write() as session:
            session.execute(sa.delete(Ban).where(Ban.expires_at <= at))
            session.execute(sa.delete(ScannerBanRow).where(ScannerBanRow.expires_at <= at))
            for address in dict.fromkeys(addresses):
                ban = session.get(Ban, address)
                by_address = sa.select(ScannerBanRow).where(ScannerBanRow.address == address)
                found = [*session.scalars(by_address), *([] if ban is None else [ban])]
                if not found:
                    others = session.scalars(sa.select(Ban.address).order_by(Ban.address))
                    covering = [one for one in others if overlap(one, address)]
                    raise BanNotFoundError(address, covering[:_MAX_NAMED])
                for one in found:
                    session.delete(one)
                _changed(session, "ban.rm", address, "", now=at)

    def add_scanner_bans(self, bans: Sequence[ScannerBan], *, now: float | None = None) -> None:
        """Keep bans of the scanner guard, each in place of one of the same address and owner.

        Those that are over are forgotten, and of more than ``MAX_SCANNER_BANS`` the first. The
        audit log has no line for them: strangers would decide how long it gets.

        Args:
            bans: What the guard has decided.
            now: Seconds since 1970; the clock's, when left out.
        """
        at = int(time.time() if now is None else now)
        row = ScannerBanRow
        with self._errors(), self._write() as session:
            session.execute(sa.delete(row).where(row.expires_at <= at))
            for ban in bans:
                session.merge(
                    row(
                        address=ban.address,
                        owner=ban.owner,
                        created_at=ban.created_at,
                        expires_at=ban.expires_at,
                        reason=ban.reason,
                    )
                )
            session.flush()
            count = session.scalar(sa.select(sa.func.count()).select_from(row)) or 0
            if count > MAX_SCANNER_BANS:
                first = sa.select(row).order_by(row.created_at, row.address)
                for one in session.scalars(first.limit(count - MAX_SCANNER_BANS)):
                    session.delete(one)
            _raise_generation(session)

    def bans(self) -> list[BanRecord]:
        """All bans, oldest first; some may be over."""
        with self._errors(), Session(self._engine) as session, session.begin():
            return _bans(session)

    def scanner_bans(self) -> list[ScannerBan]:
        """All bans of the scanner guard, oldest first; some may be over."""
        with self._errors(), Session(self._engine) as session, session.begin():
            return _scanner_bans(session)

    def read_all(self) -> tuple[int, list[TokenRecord], list[BanRecord], list[ScannerBan]]:
        """What :meth:`read` gives, and all bans of both kinds, of the same moment."""
        with self._errors(), Session(self._engine) as session, session.begin():
            tokens = session.scalars(sa.select(Token).order_by(*_OLDEST_FIRST))
            records = [_record(token) for token in tokens]
            return _generation(session), records, _bans(session), _scanner_bans(session)

    def generation(self) -> int:
        """A number that grows with each change."""
        with self._errors(), Session(self._engine) as session, session.begin():
            return _generation(session)

    def audit(self) -> list[tuple[int, str, str, str]]:
        """All changes, oldest first: (seconds since 1970, action, subject, detail)."""
        with self._errors(), Session(self._engine) as session, session.begin():
            rows = session.scalars(sa.select(Audit).order_by(Audit.id))
            return [(row.at, row.action, row.subject, row.detail) for row in rows]

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT * 1000)}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _write(self) -> Iterator[Session]:
        engine = self._engine.execution_options(**_WRITE)
        with Session(engine) as session, session.begin():
            yield session

    def _revision(self) -> str | None:
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return None if revision is None else str(revision)

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", "asgi_tunnel_edge.storage:migrations")
        config.set_main_option("path_separator", "os")
        with self._engine.execution_options(**_WRITE).begin() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                sentence = (
                    f"the database {self.path} was made by a newer version of asgi-tunnel-edge; "
                    "upgrade this one"
                )
                raise StorageError(sentence) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """One sentence for each way in which a database fails."""
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise StorageError(self._sentence(error)) from error
        except OSError as error:
            sentence = (
                f"the database {self.path} cannot be opened ({error.strerror}); "
                "run this as the user that owns the directory"
            )
            raise StorageError(sentence) from error

    def _sentence(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        said = str(cause)
        if not self.path.exists():
            return (
                f"there is no database {self.path}; put a copy back, or make a new one with "
                "`asgi-tunnel-edge remake database`, which says what is lost"
            )
        if "locked" in said or "busy" in said:
            return f"the database {self.path} is locked by another process; try again"
        if "no such column" in said:
            return (
                f"the database {self.path} is of an older version; start the edge once with "
                "`asgi-tunnel-edge run`, which brings it up to date"
            )
        if "not a database" in said or "malformed" in said or "no such table" in said:
            return (
                f"the database {self.path} is broken ({said}); put a copy back, or make a new one "
                "with `asgi-tunnel-edge remake database`, which says what is lost"
            )
        return f"the database {self.path} cannot be used ({said}); check its disk and permissions"


def _begin(connection: sa.Connection) -> None:
    """Begin the transaction that the driver, in its old form, would begin too late.

    A write takes the lock at once: what it checks stays true until it commits. In a deferred
    transaction the later upgrade to a write fails when somebody else wrote in between.
    """
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")


def _generation(session: Session) -> int:
    return session.scalar(sa.select(Meta.value).where(Meta.key == "generation")) or 0


def _bans(session: Session) -> list[BanRecord]:
    # Columns instead of objects: there may be thousands, and they are only copied.
    columns = sa.select(Ban.address, Ban.created_at, Ban.expires_at, Ban.reason)
    rows = session.execute(columns.order_by(Ban.created_at, Ban.address))
    return [
        BanRecord(address=address, created_at=created, expires_at=expires, reason=reason)
        for address, created, expires, reason in rows
    ]


def _scanner_bans(session: Session) -> list[ScannerBan]:
    row = ScannerBanRow
    columns = sa.select(row.address, row.owner, row.created_at, row.expires_at, row.reason)
    rows = session.execute(columns.order_by(row.created_at, row.address, row.owner))
    return [
        ScannerBan(
            address=address, owner=owner, created_at=created, expires_at=expires, reason=reason
        )
        for address, owner, created, expires, reason in rows
    ]


def _raise_generation(session: Session) -> None:
    session.execute(sa.update(Meta).where(Meta.key == "generation").values(value=Meta.value + 1))


def _changed(session: Session, action: str, subject: str, detail: str, *, now: int) -> None:
    """Note a change and raise the generation, in the change's own transaction."""
    session.add(Audit(at=now, action=action, subject=subject, detail=detail))
    _raise_generation(session)


def _find(session: Session, wanted: str) -> Token:
    token = session.get(Token, wanted)
    if token is None:
        by_name = sa.select(Token).where(Token.name == wanted)
        newest = by_name.order_by(Token.revoked_at.is_(None).desc(), Token.revoked_at.desc())
        token = session.scalars(newest).first()
    if token is None:
        raise TokenNotFoundError(wanted)
    return token


def _columns(quotas: TokenQuotas) -> dict[str, int | None]:
    return {name: getattr(quotas, name) for name in QUOTA_NAMES}


def _record(token: Token) -> TokenRecord:
    return TokenRecord(
        id=token.id,
        name=token.name,
        secret_sha256=token.secret_sha256,
        hostnames=tuple(sorted(hostname.hostname for hostname in token.hostnames)),
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        quotas=TokenQuotas(**{name: getattr(token, name) for name in QUOTA_NAMES}),
    )
