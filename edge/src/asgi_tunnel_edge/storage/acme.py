"""What the issuer of certificates keeps: the tables, with private keys encrypted.

Implements ``certificates.acme.records.AcmeStorage``. Imported only where ACME is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from asgi_tunnel_edge.certificates.acme.records import (
    KEEP,
    AccountRecord,
    AcmeState,
    CertificateRecord,
    ExternalAccountRecord,
    FailureRecord,
    OrderRecord,
)

from .database import GENERATION, RENEWALS, Database, raise_number
from .encryption import SecretBox
from .models import (
    AcmeAccount,
    AcmeAttempt,
    AcmeCertificate,
    AcmeExternalAccount,
    AcmeFailure,
    AcmeLease,
    AcmeOrder,
    Audit,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from .dialect import Location

__all__ = ["AcmeStore"]

_Row = TypeVar("_Row", AcmeCertificate, AcmeFailure, AcmeOrder)


class AcmeStore(Database):
    """Accounts, certificates, orders and failures by the URL of the CA's directory.

    Every method blocks for some milliseconds and raises StorageError.

    Args:
        location: ``EdgeConfig.database``.
        key_path: The file with the key for private keys; made with the first secret.
    """

    def __init__(self, location: Location, key_path: Path) -> None:
        super().__init__(location)
        self._secrets = SecretBox(key_path)

    def directories(self) -> list[str]:
        """The CAs of which there are certificates."""
        with self._errors(), self._read() as session:
            found = sa.select(AcmeCertificate.directory).distinct()
            return sorted(session.scalars(found))

    def load(self, directory: str) -> AcmeState:
        """Read everything of a directory."""
        with self._errors(), self._read() as session:
            account = session.get(AcmeAccount, directory)
            external = session.get(AcmeExternalAccount, directory)
            orders = [self._order(row) for row in _rows(session, AcmeOrder, directory)]
            failures = [_failure(row) for row in _rows(session, AcmeFailure, directory)]
            certificates = [
                self._certificate(row) for row in _rows(session, AcmeCertificate, directory)
            ]
            return AcmeState(
                account=None if account is None else self._account(account),
                external=None if external is None else self._external(external),
                certificates={one.names: one for one in certificates},
                orders={one.names: one for one in orders},
                failures={one.names: one for one in failures},
            )

    def save_account(self, directory: str, account: AccountRecord) -> None:
        """Keep the account, in place of the one before."""
        with self._errors(), self._write() as session:
            key = self._seal(session, account.key_pem, _purpose("account", directory))
            row = AcmeAccount(
                directory=directory, url=account.url, key=key, created_at=account.created_at
            )
            session.merge(row)

    def save_external_account(self, directory: str, external: ExternalAccountRecord) -> None:
        """Keep what a CA gave to its customer, and let a running issuer try at once with it."""
        with self._errors(), self._write() as session:
            secret = external.mac_key.encode()
            key = self._seal(session, secret, _purpose("external", directory, external.key_id))
            session.merge(AcmeExternalAccount(directory=directory, key_id=external.key_id, key=key))
            mine = AcmeFailure.directory == directory
            session.execute(sa.update(AcmeFailure).where(mine).values(retry_at=0))
            raise_number(session, RENEWALS)
            raise_number(session, GENERATION)

    def save_order(self, directory: str, names: tuple[str, ...], order: OrderRecord | None) -> None:
        """Keep the order in progress for some names, or forget it."""
        with self._errors(), self._write() as session:
            if order is None:
                _forget(session, AcmeOrder, directory, names)
                return
            purpose = _purpose("order", directory, *names)
            session.merge(
                AcmeOrder(
                    directory=directory,
                    names=_joined(names),
                    url=order.url,
                    key=self._seal(session, order.key_pem, purpose),
                    profile=order.profile,
                    created_at=order.created_at,
                )
            )

    def save_certificate(self, directory: str, certificate: CertificateRecord) -> None:
        """Keep a certificate, in place of the one before.

        In the same step the order is forgotten, and failures for its names, and what is long over.
        """
        names = certificate.names
        with self._errors(), self._write() as session:
            purpose = _purpose("certificate", directory, *names)
            session.merge(
                AcmeCertificate(
                    directory=directory,
                    names=_joined(names),
                    chain=certificate.chain_pem,
                    key=self._seal(session, certificate.key_pem, purpose),
                    not_before=certificate.not_before,
                    not_after=certificate.not_after,
                    ari_id=certificate.ari_id,
                    profile=certificate.profile,
                    serial=certificate.serial,
                    issuer=certificate.issuer,
                    created_at=certificate.created_at,
                    renew_at=certificate.renew_at,
                    ari_at=certificate.ari_at,
                )
            )
            _forget(session, AcmeOrder, directory, names)
            _forget(session, AcmeFailure, directory, names)
            before = certificate.created_at - KEEP
            session.execute(sa.delete(AcmeCertificate).where(AcmeCertificate.not_after < before))
            session.execute(sa.delete(AcmeOrder).where(AcmeOrder.created_at < before))
            session.execute(sa.delete(AcmeFailure).where(AcmeFailure.failed_at < before))
            detail = f"names={','.join(names)} serial={certificate.serial} directory={directory}"
            # Other processes and edges show it within a second: their issuers look.
            raise_number(session, RENEWALS)
            raise_number(session, GENERATION)
            session.add(
                Audit(
                    at=certificate.created_at,
                    action="certificate.issue",
                    subject=names[0],
                    detail=detail,
                )
            )

    def save_failure(self, directory: str, failure: FailureRecord) -> None:
        """Keep a failure, in place of the one before."""
        with self._errors(), self._write() as session:
            session.merge(
                AcmeFailure(
                    directory=directory,
                    names=_joined(failure.names),
                    kind=failure.kind[:64],  # a CA may say anything
                    count=failure.count,
                    failed_at=failure.failed_at,
                    retry_at=failure.retry_at,
                    reported_at=failure.reported_at,
                    sentence=failure.sentence,
                )
            )

    def schedule(
        self, directory: str, names: tuple[str, ...], *, renew_at: int, ari_at: int
    ) -> None:
        """Note when a certificate is renewed; nothing, where there is none."""
        with self._errors(), self._write() as session:
            certificate = session.get(AcmeCertificate, (directory, _joined(names)))
            if certificate is not None:
                certificate.ari_at = ari_at
                if certificate.renew_at != 0:  # somebody asked for a new one: that stays
                    certificate.renew_at = renew_at

    def request_renewal(self, directory: str, names: tuple[str, ...]) -> bool:
        """Let the running issuer look now and renew a certificate, whatever failed before.

        Returns:
            False where there is neither a certificate nor a failure for the names.
        """
        with self._errors(), self._write() as session:
            certificate = session.get(AcmeCertificate, (directory, _joined(names)))
            failure = session.get(AcmeFailure, (directory, _joined(names)))
            if certificate is not None:
                certificate.renew_at = 0
            if failure is not None:
                failure.retry_at = 0
            is_known = certificate is not None or failure is not None
            if is_known:  # a running edge looks at once
                raise_number(session, RENEWALS)
                raise_number(session, GENERATION)
            return is_known

    def forget_all(self) -> None:
        """Forget accounts, certificates and orders of all CAs, as when the key file is lost.

        The next look of an issuer makes a new account and orders everything anew.
        """
        with self._errors(), self._write() as session:
            for table in (
                AcmeAccount,
                AcmeExternalAccount,
                AcmeCertificate,
                AcmeOrder,
                AcmeFailure,
            ):
                session.execute(sa.delete(table))

    def count_attempts(self, directory: str, *, since: int) -> tuple[int, int]:
        """(orders begun, failures) since a time."""
        with self._errors(), self._read() as session:
            counted = (
                sa.select(AcmeAttempt.failed, sa.func.count())
                .where(AcmeAttempt.directory == directory, AcmeAttempt.at >= since)
                .group_by(AcmeAttempt.failed)
            )
            found = {bool(failed): count for failed, count in session.execute(counted)}
            return found.get(False, 0), found.get(True, 0)

    def note_attempt(self, directory: str, *, at: int, failed: bool) -> None:
        """Note that an order was begun, or that one failed; those of other days are forgotten."""
        with self._errors(), self._write() as session:
            session.execute(sa.delete(AcmeAttempt).where(AcmeAttempt.at < at - 24 * 3600))
            session.add(AcmeAttempt(directory=directory, at=at, failed=failed))

    def acquire_lease(self, directory: str, holder: str, *, now: float, until: float) -> bool:
        """Take the lease of a directory or renew it; False: somebody else has it."""
        with self._errors(), self._write() as session:
            lease = session.get(AcmeLease, directory)
            if lease is not None and lease.holder != holder and lease.expires_at > now:
                return False
            session.merge(AcmeLease(directory=directory, holder=holder, expires_at=int(until)))
            return True

    def release_lease(self, directory: str, holder: str) -> None:
        """Give the lease back, if this holder has it."""
        with self._errors(), self._write() as session:
            mine = (AcmeLease.directory == directory, AcmeLease.holder == holder)
            session.execute(sa.delete(AcmeLease).where(*mine))

    def _seal(self, session: Session, secret: bytes, purpose: str) -> bytes:
        # Within a write: no other process makes the file at the same time. One that is lost is
        # not made anew while there are secrets that only it opens.
        if not self._secrets.path.exists() and not any(
            session.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (AcmeAccount, AcmeExternalAccount, AcmeCertificate, AcmeOrder)
        ):
            self._secrets.create()
        return self._secrets.seal(secret, purpose=purpose)

    def _account(self, row: AcmeAccount) -> AccountRecord:
        key = self._secrets.open(row.key, purpose=_purpose("account", row.directory))
        return AccountRecord(url=row.url, key_pem=key, created_at=row.created_at)

    def _external(self, row: AcmeExternalAccount) -> ExternalAccountRecord:
        purpose = _purpose("external", row.directory, row.key_id)
        key = self._secrets.open(row.key, purpose=purpose).decode()
        return ExternalAccountRecord(key_id=row.key_id, mac_key=key)

    def _order(self, row: AcmeOrder) -> OrderRecord:
        names = tuple(row.names.split(" "))
        key = self._secrets.open(row.key, purpose=_purpose("order", row.directory, *names))
        return OrderRecord(
            names=names, url=row.url, key_pem=key, profile=row.profile, created_at=row.created_at
        )

    def _certificate(self, row: AcmeCertificate) -> CertificateRecord:
        names = tuple(row.names.split(" "))
        key = self._secrets.open(row.key, purpose=_purpose("certificate", row.directory, *names))
        return CertificateRecord(
            names=names,
            chain_pem=row.chain,
            key_pem=key,
            not_before=row.not_before,
            not_after=row.not_after,
            ari_id=row.ari_id,
            profile=row.profile,
            serial=row.serial,
            issuer=row.issuer,
            created_at=row.created_at,
            renew_at=row.renew_at,
            ari_at=row.ari_at,
        )


def _rows(session: Session, table: type[_Row], directory: str) -> list[_Row]:
    return list(session.scalars(sa.select(table).where(table.directory == directory)))


def _forget(
    session: Session, table: type[AcmeOrder | AcmeFailure], directory: str, names: tuple[str, ...]
) -> None:
    mine = (table.directory == directory, table.names == _joined(names))
    session.execute(sa.delete(table).where(*mine))


def _failure(row: AcmeFailure) -> FailureRecord:
    return FailureRecord(
        names=tuple(row.names.split(" ")),
        kind=row.kind,
        count=row.count,
        failed_at=row.failed_at,
        retry_at=row.retry_at,
        reported_at=row.reported_at,
        sentence=row.sentence,
    )


def _joined(names: tuple[str, ...]) -> str:
    return " ".join(names)


def _purpose(what: str, directory: str, *names: str) -> str:
    return " ".join((what, directory, *names))
