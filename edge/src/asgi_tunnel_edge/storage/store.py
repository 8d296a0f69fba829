"""The store as the command line uses it: synchronous, one transaction for each change.

Large because it holds one class, which says why.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from asgi_tunnel_edge.ban import (
    APP,
    MAX_APP_BANS,
    MAX_BANS,
    MAX_SCANNER_BANS,
    BanRecord,
    ScannerBan,
    token_of,
)
from asgi_tunnel_edge.errors import (
    BanNotFoundError,
    HostnameNotFoundError,
    HostnameTakenError,
    NameTakenError,
    TokenNotFoundError,
    TokenRevokedError,
    TooManyBansError,
)
from asgi_tunnel_edge.network import overlap
from asgi_tunnel_edge.quotas import QUOTA_NAMES, TokenQuotas, format_quota
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord, check_hostname_count

from .access import restore_access
from .access_rows import find_user
from .database import (
    GENERATION,
    HEAD_REVISION,
    Database,
    raise_number,
    read_number,
)
from .maintenance import maintenance_row
from .models import Audit, Ban, Hostname, Maintenance, Meta, ScannerBanRow, Token
from .reading import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.orm import Session

    from asgi_tunnel_edge.maintenance import MaintenanceRecord

__all__ = ["HEAD_REVISION", "Store"]

_MAX_NAMED: Final = 5  # bans that one sentence names


class Store(Database):
    """The tokens, hostnames, bans and audit log; several processes may use them.

    Every method raises StorageError when the database is missing, locked, broken or of another
    version.

    Large because each change is one method with what it raises, and one transaction.
    """

    def create_token(self, record: TokenRecord) -> None:
        """Keep a new token.

        Raises:
            NameTakenError: A token that is not revoked has the name.
            HostnameTakenError: A token that is not revoked has one of the hostnames.
            TooManyHostnamesError: It would have more than fit.
            AccountError: Its owner is no user of this edge.
        """
        check_hostname_count(record.name, record.hostnames)
        with self._errors(), self._write() as session:
            if record.owner:
                find_user(session, record.owner)
            by_name = sa.select(Token).where(Token.name == record.name, Token.revoked_at.is_(None))
            if (same := session.scalars(by_name).first()) is not None:
                raise NameTakenError(record.name, same.id)
            _check_free(session, record.hostnames)
            session.add(
                Token(
                    id=record.id,
                    name=record.name,
                    secret_sha256=record.secret_sha256,
                    created_at=record.created_at,
                    expires_at=record.expires_at,
                    owner=record.owner,
                    hostnames=_hostnames(record, record.hostnames),
                    **_columns(record.quotas),
                )
            )
            detail = f"name={record.name} hostnames={','.join(record.hostnames)}"
            if record.end_to_end:
                detail += f" end_to_end={','.join(record.end_to_end)}"
            if record.owner:
                detail += f" owner={record.owner}"
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

    def give_token(self, wanted: str, owner: str, *, now: float | None = None) -> TokenRecord:
        """Change whose a token is.

        Args:
            wanted: An id, or the name of the token that has it now, or had it last.
            owner: A user of this edge; empty: nobody's but the operators'.
            now: Seconds since 1970; the clock's, when left out.

        Returns:
            The token as it is after that.

        Raises:
            TokenNotFoundError: It is unknown.
            TokenRevokedError: It is revoked.
            AccountError: There is no such user.
        """
        at = int(time.time() if now is None else now)
        with self._errors(), self._write() as session:
            token = _find(session, wanted)
            if token.revoked_at is not None:
                raise TokenRevokedError(token.name, token.id)
            if owner:
                find_user(session, owner)
            token.owner = owner
            _changed(session, "token.owner", token.id, f"name={token.name} owner={owner}", now=at)
            return _record(token)

    def rotate_token(
        self, wanted: str, secret_sha256: str, *, overlap: int, now: float | None = None
    ) -> TokenRecord:
        """Give a token another secret; the one that it has is taken for a while longer.

        An older one that is still taken ends at once: no token has more than two.

        Args:
            wanted: An id, or the name of the token that has it now, or had it last.
            secret_sha256: Of the new secret.
            overlap: Seconds for which the old one is taken too; 0: it ends at once.
            now: Seconds since 1970; the clock's, when left out.

        Returns:
            The token as it is after that.

        Raises:
            TokenNotFoundError: It is unknown.
            TokenRevokedError: It is revoked.
        """
        at = int(time.time() if now is None else now)
        with self._errors(), self._write() as session:
            token = _find(session, wanted)
            if token.revoked_at is not None:
                raise TokenRevokedError(token.name, token.id)
            token.old_secret_sha256, token.old_until = token.secret_sha256, at + overlap
            token.secret_sha256 = secret_sha256
            detail = f"name={token.name} old_until={token.old_until}"
            _changed(session, "token.rotate", token.id, detail, now=at)
            return _record(token)

    def last_used(self) -> dict[str, int]:
        """When each token was used last, by its id; seconds since 1970, to the minute."""
        columns = sa.select(Token.id, Token.last_used_at).where(Token.last_used_at.is_not(None))
        with self._errors(), self._read() as session:
            return {token_id: at for token_id, at in session.execute(columns) if at is not None}

    def add_hostnames(
        self,
        wanted: str,
        hostnames: Sequence[str],
        *,
        end_to_end: bool = False,
        now: float | None = None,
    ) -> TokenRecord:
        """Give a token more hostnames, all or none.

        Args:
            wanted: An id, or the name of the token that has it now, or had it last.
            hostnames: Normal names and wildcards, each once.
            end_to_end: Their TLS is spoken by the app.
            now: Seconds since 1970; the clock's, when left out.

        Returns:
            The token as it is after that.

        Raises:
            TokenNotFoundError: It is unknown.
            TokenRevokedError: It is revoked.
            HostnameTakenError: A token that is not revoked, perhaps this one, has one of them.
            TooManyHostnamesError: It would have more than fit.
        """
        at = int(time.time() if now is None else now)
        with self._errors(), self._write() as session:
            token = _with_room(session, wanted, hostnames)
            token.hostnames += [Hostname(hostname=one, end_to_end=end_to_end) for one in hostnames]
            detail = f"name={token.name} hostnames={','.join(hostnames)}"
            if end_to_end:
                detail += f" end_to_end={','.join(hostnames)}"
            _changed(session, "host.add", token.id, detail, now=at)
            return _record(token)

    def check_hostnames(self, wanted: str, hostnames: Sequence[str]) -> None:
        """See whether :meth:`add_hostnames` would work now; it raises the same."""
        with self._errors(), self._read() as session:
            _with_room(session, wanted, hostnames)

    def remove_hostnames(
        self, hostnames: Sequence[str], *, now: float | None = None
    ) -> list[tuple[str, str]]:
        """Take hostnames from their tokens, all or none; other tokens may have them then.

        Args:
            hostnames: Normal names and wildcards.
            now: Seconds since 1970; the clock's, when left out.

        Returns:
            Each hostname, once, and the NAME of the token that had it.

        Raises:
            HostnameNotFoundError: No token has one of them; then none is taken.
        """
        at = int(time.time() if now is None else now)
        removed = []
        with self._errors(), self._write() as session:
            for name in dict.fromkeys(hostnames):
                row = session.get(Hostname, name)
                if row is None:
                    raise HostnameNotFoundError(name)
                token = row.token
                token.hostnames.remove(row)
                removed.append((name, token.name))
                detail = f"name={token.name} hostnames={name}"
                _changed(session, "host.rm", token.id, detail, now=at)
        return removed

    def begin_maintenance(self, records: Sequence[MaintenanceRecord]) -> None:
        """Close hostnames for visitors, all or none; in place of what was said of them before.

        Raises:
            HostnameNotFoundError: No token has one of them.
        """
        with self._errors(), self._write() as session:
            for record in records:
                if session.get(Hostname, record.hostname) is None:
                    raise HostnameNotFoundError(record.hostname)
                session.merge(maintenance_row(record))
                detail = f"until={record.until} allow={','.join(record.allow)}"
                _changed(session, "maintenance.on", record.hostname, detail, now=record.since)

    def end_maintenance(self, hostnames: Sequence[str], *, now: float | None = None) -> list[str]:
        """Open hostnames for visitors again, all or none.

        Args:
            hostnames: Normal names and wildcards.
            now: Seconds since 1970; the clock's, when left out.

        Returns:
            Those that were closed, each once.

        Raises:
            HostnameNotFoundError: No token has one of them.
        """
        at = int(time.time() if now is None else now)
        opened = []
        with self._errors(), self._write() as session:
            for name in dict.fromkeys(hostnames):
                if session.get(Hostname, name) is None:
                    raise HostnameNotFoundError(name)
                row = session.get(Maintenance, name)
                if row is not None:
                    session.delete(row)
                    opened.append(name)
                    _changed(session, "maintenance.off", name, "", now=at)
        return opened

    def maintenance(self) -> list[MaintenanceRecord]:
        """All hostnames that are closed for visitors, sorted."""
        return list(self.snapshot().maintenance)

    def find_token(self, wanted: str) -> TokenRecord:
        """Return a token by its id or name, as :meth:`limit_token` finds it.

        Raises:
            TokenNotFoundError: It is unknown.
        """
        with self._errors(), self._read() as session:
            return _record(_find(session, wanted))

    def read(self) -> tuple[int, list[TokenRecord]]:
        """The generation and all tokens, oldest first, both of the same moment."""
        snapshot = self.snapshot()
        return snapshot.generation, list(snapshot.tokens.values())

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
                        old_secret_sha256=record.old_secret_sha256 or None,
                        old_until=record.old_until,
                        owner=record.owner,
                        hostnames=_hostnames(record, names),
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
            session.add_all(maintenance_row(record) for record in snapshot.maintenance)
            restore_access(session, snapshot.access)
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

    def remove_bans(
        self,
        addresses: Sequence[str],
        *,
        token_ids: Collection[str] | None = None,
        now: float | None = None,
    ) -> None:
        """Take bans back, all or none: of the operator, of the scanner guard and of apps.

        Args:
            addresses: As they were banned, in their one spelling.
            token_ids: Only bans from the hostnames of these; None: all bans of an address.
            now: Seconds since 1970; the clock's, when left out.

        Raises:
            BanNotFoundError: One of them is not banned; then none is taken back.
        """
        at = int(time.time() if now is None else now)
        with self._errors(), self._write() as session:
            session.execute(sa.delete(Ban).where(Ban.expires_at <= at))
            session.execute(sa.delete(ScannerBanRow).where(ScannerBanRow.expires_at <= at))
            for address in dict.fromkeys(addresses):
                found = _bans_of(session, address, token_ids)
                if not found:
                    raise BanNotFoundError(address, _covering(session, address, token_ids))
                for one in found:
                    session.delete(one)
                _changed(session, "ban.rm", address, "", now=at)

    def add_scanner_bans(self, bans: Sequence[ScannerBan], *, now: float | None = None) -> None:
        """Keep bans of the scanner guard and of apps, each in place of one with the same key.

        Those that are over are forgotten, and of more than ``MAX_SCANNER_BANS`` the first, and of
        as many of apps; one that is over takes back the one in whose place it comes. The
        audit log has no line for them: strangers would decide how long it gets.

        Args:
            bans: What guard and apps have decided.
            now: Seconds since 1970; the clock's, when left out.
        """
        at = int(time.time() if now is None else now)
        row = ScannerBanRow
        with self._errors(), self._write() as session:
            session.execute(sa.delete(row).where(row.expires_at <= at))
            for ban in bans:
                if ban.is_over(at):
                    mine = (row.address == ban.address) & (row.owner == ban.owner)
                    session.execute(sa.delete(row).where(mine))
                    continue
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
            is_app = row.owner.startswith(APP)
            for kind, most in ((~is_app, MAX_SCANNER_BANS), (is_app, MAX_APP_BANS)):
                count = session.scalar(sa.select(sa.func.count()).select_from(row).where(kind)) or 0
                if count > most:
                    first = sa.select(row).where(kind).order_by(row.created_at, row.address)
                    for one in session.scalars(first.limit(count - most)):
                        session.delete(one)
            _raise_generation(session)

    def bans(self) -> list[BanRecord]:
        """All bans, oldest first; some may be over."""
        return list(self.snapshot().bans)

    def scanner_bans(self) -> list[ScannerBan]:
        """All bans of the scanner guard, oldest first; some may be over."""
        return list(self.snapshot().scanner_bans)

    def snapshot(self) -> Snapshot:
        """Everything that a running edge follows, as of one moment."""
        with self._errors(), self._dialect.moment() as select:
            return read_snapshot(select)

    def generation(self) -> int:
        """A number that grows with each change."""
        with self._errors(), self._read() as session:
            return _generation(session)

    def audit(self) -> list[tuple[int, str, str, str]]:
        """All changes, oldest first: (seconds since 1970, action, subject, detail)."""
        with self._errors(), self._read() as session:
            rows = session.scalars(sa.select(Audit).order_by(Audit.id))
            return [(row.at, row.action, row.subject, row.detail) for row in rows]


def _generation(session: Session) -> int:
    return read_number(session, GENERATION)


def _raise_generation(session: Session) -> None:
    raise_number(session, GENERATION)


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


def _bans_of(
    session: Session, address: str, token_ids: Collection[str] | None
) -> list[Ban | ScannerBanRow]:
    """Return the bans of an address: all, or those that are some tokens' own."""
    by_address = sa.select(ScannerBanRow).where(ScannerBanRow.address == address)
    narrow = list(session.scalars(by_address))
    if token_ids is not None:
        return [one for one in narrow if (token_of(one.owner) or one.owner) in token_ids]
    ban = session.get(Ban, address)
    return [*narrow, *([] if ban is None else [ban])]


def _covering(session: Session, address: str, token_ids: Collection[str] | None) -> list[str]:
    """Return some bans of the operator that hold an address; who may not see them gets none."""
    if token_ids is not None:
        return []
    others = session.scalars(sa.select(Ban.address).order_by(Ban.address))
    return [one for one in others if overlap(one, address)][:_MAX_NAMED]


def _with_room(session: Session, wanted: str, hostnames: Sequence[str]) -> Token:
    """Return a token that can have these hostnames, too."""
    token = _find(session, wanted)
    if token.revoked_at is not None:
        raise TokenRevokedError(token.name, token.id)
    _check_free(session, hostnames)
    names = [*(one.hostname for one in token.hostnames), *hostnames]
    check_hostname_count(token.name, names)
    return token


def _check_free(session: Session, hostnames: Sequence[str]) -> None:
    taken = sa.select(Hostname).where(Hostname.hostname.in_(hostnames))
    for hostname in session.scalars(taken.order_by(Hostname.hostname)):
        raise HostnameTakenError(hostname.hostname, hostname.token.name)


def _columns(quotas: TokenQuotas) -> dict[str, int | None]:
    return {name: getattr(quotas, name) for name in QUOTA_NAMES}


def _hostnames(record: TokenRecord, names: Sequence[str]) -> list[Hostname]:
    return [Hostname(hostname=name, end_to_end=name in record.end_to_end) for name in names]


def _record(token: Token) -> TokenRecord:
    return TokenRecord(
        id=token.id,
        name=token.name,
        secret_sha256=token.secret_sha256,
        hostnames=tuple(sorted(hostname.hostname for hostname in token.hostnames)),
        end_to_end=tuple(sorted(one.hostname for one in token.hostnames if one.end_to_end)),
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        old_secret_sha256=token.old_secret_sha256 or "",
        old_until=token.old_until,
        owner=token.owner,
        quotas=TokenQuotas(**{name: getattr(token, name) for name in QUOTA_NAMES}),
    )
