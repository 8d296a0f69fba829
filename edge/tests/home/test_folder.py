"""The folder of an app's certificates: what survives, who may read it, and who orders."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from asgi_tunnel_edge.certificates.acme.records import (
    AccountRecord,
    AcmeState,
    CertificateRecord,
    FailureRecord,
    OrderRecord,
)
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.home import folder as home_folder
from asgi_tunnel_edge.home.folder import RESTART_RETRY, FolderStorage

CA = "https://ca.test/directory"
OTHER = "https://ca.test/staging"
NAMES = ("home.example.test",)
ACCOUNT = AccountRecord(url="https://ca.test/acct/1", key_pem=b"account secret", created_at=1)
ORDER = OrderRecord(
    names=NAMES, url="https://ca.test/o/1", key_pem=b"order secret", profile=None, created_at=2
)
CERTIFICATE = CertificateRecord(
    names=NAMES,
    chain_pem=b"chain",
    key_pem=b"secret",
    not_before=10,
    not_after=1000,
    ari_id="a.b",
    profile=None,
    serial="80",
    issuer="CN=CA",
    created_at=10,
    renew_at=600,
    ari_at=20,
)
FAILURE = FailureRecord(
    names=NAMES,
    kind="dns",
    count=2,
    failed_at=5,
    retry_at=50,
    reported_at=5,
    sentence="the CA said no",
)


def test_everything_survives(tmp_path: Path) -> None:
    """What is kept is read by the next process; what is of another CA is apart from it."""
    one = FolderStorage(tmp_path / "own")
    one.save_account(CA, ACCOUNT)
    one.save_certificate(CA, CERTIFICATE)
    one.save_order(CA, NAMES, ORDER)
    one.save_failure(CA, FAILURE)
    one.note_attempt(CA, at=5, failed=False)
    one.note_attempt(CA, at=6, failed=True)
    next_one = FolderStorage(tmp_path / "own")
    assert next_one.load(CA) == AcmeState(
        account=ACCOUNT,
        certificates={NAMES: CERTIFICATE},
        orders={NAMES: ORDER},
        failures={NAMES: FAILURE},
    )
    assert next_one.account_url == ACCOUNT.url
    assert next_one.count_attempts(CA, since=0) == (1, 1)
    assert next_one.load(OTHER) == AcmeState()
    next_one.schedule(CA, NAMES, renew_at=700, ari_at=30)
    next_one.save_certificate(CA, one.load(CA).certificates[NAMES])
    state = one.load(CA)
    assert (state.certificates[NAMES].renew_at, state.orders, state.failures) == (700, {}, {})


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """The folder and each file in it, whatever the umask says."""
    one = FolderStorage(tmp_path / "own")
    one.save_account(CA, ACCOUNT)
    assert one.acquire_lease(CA, "", now=0, until=0)
    one.release_lease(CA, "")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "own").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700


def test_changes_of_many_at_once(tmp_path: Path) -> None:
    """None is lost: each reads what the one before has written."""
    one, other = FolderStorage(tmp_path), FolderStorage(tmp_path)

    def change(storage: FolderStorage) -> None:
        for _ in range(20):
            storage.note_attempt(CA, at=5, failed=False)

    threads = [threading.Thread(target=change, args=(storage,)) for storage in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.count_attempts(CA, since=0) == (40, 0)


def test_one_orders_at_a_time(tmp_path: Path) -> None:
    """The lease is for one; another gets it when it is given back."""
    one, other = FolderStorage(tmp_path), FolderStorage(tmp_path)
    assert one.acquire_lease(CA, "one", now=0, until=60)
    assert one.acquire_lease(CA, "one", now=20, until=80)
    assert not other.acquire_lease(CA, "other", now=1000, until=1060)
    one.release_lease(CA, "one")
    assert other.acquire_lease(CA, "other", now=0, until=60)
    assert not one.acquire_lease(CA, "one", now=0, until=60)
    other.release_lease(CA, "other")


def test_a_process_that_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others do not wait for it for ever, and say what it is."""
    monkeypatch.setattr(home_folder, "LOCK_TIMEOUT", 0.05)
    with (
        FolderStorage(tmp_path)._locked(CA),
        pytest.raises(StorageError, match=r"locked .*ASGI_TUNNEL_CERTIFICATES"),
    ):
        FolderStorage(tmp_path).save_account(CA, ACCOUNT)


def test_a_start_tries_soon_again(tmp_path: Path) -> None:
    """Not sooner than a CA takes it, nor than its rate limit says."""
    one = FolderStorage(tmp_path)
    late = replace(FAILURE, failed_at=1000, retry_at=20_000)
    limited = replace(late, names=("other.test",), kind="rateLimited")
    one.save_failure(CA, late)
    one.save_failure(CA, limited)
    found = one.prepare(CA).failures
    assert found[NAMES].retry_at == 1000 + RESTART_RETRY
    assert found[limited.names] == limited


def test_what_cannot_be_used(tmp_path: Path) -> None:
    """A file in the place of the folder, and a file with something else in it: a sentence each."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be used .*set ASGI_TUNNEL_CERTIFICATES"):
        FolderStorage(tmp_path / "file").prepare(CA)
    one = FolderStorage(tmp_path / "own")
    one.save_account(CA, ACCOUNT)
    (path,) = (tmp_path / "own").glob("*.json")
    path.write_text(path.read_text()[:40])
    with pytest.raises(StorageError, match="take the file away"):
        one.prepare(CA)
