from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import sqlalchemy as sa

from asgi_tunnel_edge.certificates.acme.records import (
    KEEP,
    AccountRecord,
    AcmeState,
    CertificateRecord,
    FailureRecord,
    OrderRecord,
)
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage.acme import AcmeStore
from asgi_tunnel_edge.storage.models import AcmeAccount, AcmeCertificate, AcmeOrder

if TYPE_CHECKING:
    from asgi_tunnel_edge.storage.dialect import Location

REAL = "https://ca.test/directory"
STAGING = "https://staging.ca.test/directory"
NAMES = ("*.a.test", "a.test")

ACCOUNT = AccountRecord(url="https://ca.test/acct/1", key_pem=b"account secret", created_at=1)
ORDER = OrderRecord(
    names=NAMES, url="https://ca.test/o/1", key_pem=b"order secret", profile=None, created_at=2
)
CERTIFICATE = CertificateRecord(
    names=NAMES,
    chain_pem=b"chain",
    key_pem=b"cert secret",
    not_before=10,
    not_after=1000,
    ari_id="a.b",
    profile="shortlived",
    serial="80",
    issuer="CN=CA",
    created_at=10,
    renew_at=600,
    ari_at=20,
)
FAILURE = FailureRecord(
    names=NAMES,
    kind="caa",
    count=2,
    failed_at=5,
    retry_at=50,
    reported_at=5,
    sentence="the CA said no",
)


@pytest.fixture
def store(location: Location, tmp_path: Path) -> AcmeStore:
    """An empty store."""
    one = AcmeStore(location, tmp_path / "secrets.key")
    one.migrate()
    return one


def test_everything_survives(store: AcmeStore, tmp_path: Path) -> None:
    """What is kept is read by the next process, the same in each field."""
    store.save_account(REAL, ACCOUNT)
    store.save_certificate(REAL, CERTIFICATE)
    store.save_order(REAL, NAMES, ORDER)
    store.save_failure(REAL, FAILURE)
    other = AcmeStore(store.location, tmp_path / "secrets.key")
    assert other.load(REAL) == AcmeState(
        account=ACCOUNT,
        certificates={NAMES: CERTIFICATE},
        orders={NAMES: ORDER},
        failures={NAMES: FAILURE},
    )
    assert other.directories() == [REAL]


def test_directories_apart(store: AcmeStore) -> None:
    """What came from a staging directory says nothing about the real one."""
    store.save_account(STAGING, ACCOUNT)
    store.save_certificate(STAGING, CERTIFICATE)
    store.save_failure(STAGING, FAILURE)
    store.note_attempt(STAGING, at=5, failed=True)
    assert store.acquire_lease(STAGING, "one", now=0, until=100)
    assert store.load(REAL) == AcmeState()
    assert store.count_attempts(REAL, since=0) == (0, 0)
    assert store.acquire_lease(REAL, "two", now=0, until=100)


def test_keys_are_encrypted(store: AcmeStore) -> None:
    """No table holds a private key that can be read."""
    store.save_account(REAL, ACCOUNT)
    store.save_certificate(REAL, CERTIFICATE)
    store.save_order(REAL, NAMES, ORDER)
    for table in (AcmeAccount, AcmeCertificate, AcmeOrder):
        with store._read() as session:
            keys = list(session.scalars(sa.select(table.key)))
        assert len(keys) == 1
        assert b"secret" not in keys[0]


def test_certificate_ends_its_order_and_failures(store: AcmeStore) -> None:
    """All of it in one step: a crash in between cannot order twice."""
    store.save_order(REAL, NAMES, ORDER)
    store.save_failure(REAL, FAILURE)
    store.save_certificate(REAL, CERTIFICATE)
    state = store.load(REAL)
    assert (state.orders, state.failures) == ({}, {})


def test_what_is_long_over_goes(store: AcmeStore) -> None:
    """A certificate that expired a month ago goes with the next one that is kept."""
    store.save_certificate(REAL, CERTIFICATE)
    later = msgspec.structs.replace(
        CERTIFICATE, names=("b.test",), not_after=10**10, created_at=1001 + KEEP
    )
    store.save_certificate(REAL, later)
    assert set(store.load(REAL).certificates) == {("b.test",)}


def test_renewal_on_request(store: AcmeStore) -> None:
    """Who asks for a renewal is heard, also by an issuer that schedules one meanwhile."""
    assert not store.request_renewal(REAL, NAMES)
    store.save_certificate(REAL, CERTIFICATE)
    store.save_failure(REAL, FAILURE)
    assert store.request_renewal(REAL, NAMES)
    store.schedule(REAL, NAMES, renew_at=700, ari_at=30)
    state = store.load(REAL)
    assert state.certificates[NAMES].renew_at == 0
    assert state.failures[NAMES].retry_at == 0


def test_schedule(store: AcmeStore) -> None:
    """The chosen moment is kept, so that a restart does not choose again."""
    store.save_certificate(REAL, CERTIFICATE)
    store.schedule(REAL, NAMES, renew_at=700, ari_at=30)
    kept = store.load(REAL).certificates[NAMES]
    assert (kept.renew_at, kept.ari_at) == (700, 30)


def test_attempts(store: AcmeStore) -> None:
    """Orders and failures of the last hour are counted; a day later they are forgotten."""
    for at in (100, 200, 300):
        store.note_attempt(REAL, at=at, failed=False)
    store.note_attempt(REAL, at=300, failed=True)
    assert store.count_attempts(REAL, since=200) == (2, 1)
    store.note_attempt(REAL, at=100_000, failed=False)
    assert store.count_attempts(REAL, since=0) == (1, 0)


def test_lease(store: AcmeStore) -> None:
    """One holder at a time; it renews, gives back, or loses it with time."""
    assert store.acquire_lease(REAL, "one", now=0, until=60)
    assert not store.acquire_lease(REAL, "two", now=30, until=90)
    assert store.acquire_lease(REAL, "one", now=50, until=110)
    assert not store.acquire_lease(REAL, "two", now=70, until=130)
    store.release_lease(REAL, "two")  # not its own
    assert not store.acquire_lease(REAL, "two", now=80, until=140)
    store.release_lease(REAL, "one")
    assert store.acquire_lease(REAL, "two", now=80, until=140)
    assert store.acquire_lease(REAL, "one", now=141, until=200)


def test_key_file_lost(store: AcmeStore, tmp_path: Path) -> None:
    """A lost key file is not replaced by a new one that opens nothing."""
    store.save_account(REAL, ACCOUNT)
    (tmp_path / "secrets.key").unlink()
    other = AcmeStore(store.location, tmp_path / "secrets.key")
    with pytest.raises(StorageError, match="put back the one that belongs to the database"):
        other.load(REAL)
    with pytest.raises(StorageError, match="put back the one that belongs to the database"):
        other.save_certificate(REAL, CERTIFICATE)
    assert not (tmp_path / "secrets.key").exists()
    other.forget_all()
    other.save_certificate(REAL, CERTIFICATE)
    assert other.load(REAL).certificates == {NAMES: CERTIFICATE}
