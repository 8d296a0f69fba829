"""Whole stores in another database: all rows, compared, or none; and copies in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from edge.tests.storage.conftest import record

from asgi_tunnel_edge.accounts import SessionRecord, UserRecord
from asgi_tunnel_edge.ban import BanRecord
from asgi_tunnel_edge.certificates.acme.records import AccountRecord
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage import store as module
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.acme import AcmeStore
from asgi_tunnel_edge.storage.audit import AuditStore
from asgi_tunnel_edge.storage.cluster import ClusterStore
from asgi_tunnel_edge.storage.models import Base
from asgi_tunnel_edge.storage.moving import CHUNK, MoveStore

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

    from asgi_tunnel_edge.storage.dialect import Location


def fill(location: Location, folder: Path) -> None:
    """A store with something in most tables."""
    store, access = Store(location), AccessStore(location)
    store.migrate()
    # The order of those of one second is seen; names that would sort in another one.
    for name in ("zoo", "shop", "Blog", "a-b", "ab"):
        store.create_token(record(name, f"{name.lower()}.test", f"*.{name.lower()}.test"))
    store.revoke_tokens(["shop"], now=2000)
    store.add_ban(BanRecord(address="203.0.113.7", created_at=7, reason="löud"))
    access.create_user(UserRecord(name="anna", created_at=4_000_000_000), password="hash")
    access.add_passkey(
        "anna", "credential", b"\x00\xff", hostname="a.test", sign_count=2**40, label="phone"
    )
    access.add_session(
        SessionRecord(
            id="s1",
            subject="user:anna",
            name="anna",
            hostname="a.test",
            method="password",
            created_at=5,
            expires_at=2**40,
        )
    )
    acme = AcmeStore(location, folder / "secrets.key")
    acme.save_account("https://ca.test", AccountRecord(url=None, key_pem=b"pem", created_at=3))
    acme.note_attempt("https://ca.test", at=5, failed=False)
    ClusterStore(location).keep_secret("ca", b"\x00\x01")


@pytest.mark.parametrize(
    "kinds", [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "postgresql")]
)
def test_all_rows_arrive(kinds: tuple[str, str], postgres: PostgresServer, tmp_path: Path) -> None:
    """In both directions: every table, the order of tokens, and what is encrypted."""
    places: list[Location] = [
        postgres.create() if kind == "postgresql" else tmp_path / f"{number}.sqlite3"
        for number, kind in enumerate(kinds)
    ]
    source, target = places
    fill(source, tmp_path)
    counts = MoveStore(source).move_to(MoveStore(target))
    assert set(counts) == set(Base.metadata.tables)
    assert counts["tokens"] == 5
    assert counts["hostnames"] == 8
    assert Store(target).snapshot() == Store(source).snapshot()
    assert list(Store(target).snapshot().tokens) == [
        f"tok_{name}" for name in ("zoo", "shop", "Blog", "a-b", "ab")
    ]
    assert Store(target).audit() == Store(source).audit()
    assert AccessStore(target).passkey("credential", "a.test") == ("anna", b"\x00\xff", 2**40)
    key = tmp_path / "secrets.key"
    directory = "https://ca.test"
    assert AcmeStore(target, key).load(directory) == AcmeStore(source, key).load(directory)
    assert ClusterStore(target).secret("ca") == b"\x00\x01"
    # What the database gives numbers goes on behind those that came.
    AuditStore(target).note("test", "later")
    newest = AuditStore(target).newest(limit=2)
    assert newest[0].id == newest[1].id + 1
    AcmeStore(target, key).note_attempt(directory, at=6, failed=False)
    assert AcmeStore(target, key).count_attempts(directory, since=0) == (2, 0)
    Store(target).create_token(record("last"))
    assert list(Store(target).snapshot().tokens)[-1] == "tok_last"


def test_a_target_with_rows_is_refused(postgres: PostgresServer, tmp_path: Path) -> None:
    """Nothing is overwritten, and the sentence says what is there."""
    source, url = tmp_path / "edge.sqlite3", postgres.create()
    fill(source, tmp_path)
    Store(url).migrate()
    Store(url).add_ban(BanRecord(address="192.0.2.1", created_at=1))
    with pytest.raises(StorageError, match=r"is not empty \(it has rows in audit, bans, meta\)"):
        MoveStore(source).move_to(MoveStore(url))
    assert Store(url).read()[1] == []


def test_a_row_that_does_not_fit_stops_all(postgres: PostgresServer, tmp_path: Path) -> None:
    """SQLite takes longer text than its column says; nothing arrives then, and it is said."""
    source, url = tmp_path / "edge.sqlite3", postgres.create()
    fill(source, tmp_path)
    store = Store(source)
    with store._write() as session:
        session.execute(sa.text("UPDATE bans SET reason = :long"), {"long": "x" * 201})
    with pytest.raises(StorageError, match="value too long"):
        MoveStore(source).move_to(MoveStore(url))
    assert Store(url).read() == (0, [])
    with store._write() as session:
        session.execute(sa.text("UPDATE bans SET reason = 'x'"))
    assert MoveStore(source).move_to(MoveStore(url))["bans"] == 1


def test_many_rows(postgres: PostgresServer, tmp_path: Path) -> None:
    """More than are in memory at one time."""
    source, url = tmp_path / "edge.sqlite3", postgres.create()
    fill(source, tmp_path)
    store = Store(source)
    rows = [{"id": number} for number in range(100, 100 + 2 * CHUNK + 7)]
    insert = "INSERT INTO audit (id, at, action, subject, detail) VALUES (:id, 0, 'a', 'b', '')"
    with store._write() as session:
        session.execute(sa.text(insert), rows)
    MoveStore(source).move_to(MoveStore(url))
    assert Store(url).audit() == store.audit()


def test_a_source_of_another_version(postgres: PostgresServer, tmp_path: Path) -> None:
    """What this version does not know is not moved by halves."""
    source = tmp_path / "edge.sqlite3"
    fill(source, tmp_path)
    with Store(source)._write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '0013'"))
    with pytest.raises(StorageError, match="is of revision 0013, not"):
        MoveStore(source).move_to(MoveStore(postgres.create()))


def test_a_copy_is_of_one_moment(location: Location, tmp_path: Path) -> None:
    """One file, mode 0600, with what was committed; it can be opened as a database."""
    store = Store(location)
    store.migrate()
    store.create_token(record("shop"))
    folder = tmp_path / "copies"
    folder.mkdir()
    copy = folder / "copy"
    assert MoveStore(location).copy_to(copy) == module.HEAD_REVISION
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in folder.iterdir()] == ["copy"]
    assert Store(copy).read() == store.read()
    assert Store(copy).find_damage() == ""
