"""The store in PostgreSQL: a server that cannot be used, and edges that share one."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from edge.tests.storage.conftest import record
from edge.tests.storage.test_oauth import grant
from edge.tests.storage.test_watcher import look, names

from asgi_tunnel_edge.accounts import LinkRecord, UserRecord
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage import SnapshotWatcher, Store, location, postgresql
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.audit import AuditStore
from asgi_tunnel_edge.storage.oauth import GrantStore
from asgi_tunnel_edge.storage.watcher import SnapshotReader
from asgi_tunnel_edge.tokens import Refusal

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

    from asgi_tunnel_edge.tokens import Snapshot


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """A database with the token `shop`."""
    url = postgres.create()
    store = Store(url)
    store.migrate()
    store.create_token(record("shop"))
    return url


def test_a_label_has_no_password() -> None:
    """Sentences, logs and status name user, hosts and database."""
    url = (
        "postgresql://edge:sec%40ret@a.test:5432,b.test/tunnel?password=secret&sslmode=verify-full"
    )
    assert Store(url).label == "postgresql://edge@a.test:5432,b.test/tunnel"


def test_a_server_that_is_away(url: str, postgres: PostgresServer) -> None:
    """One sentence, without waiting, and what to look at."""
    postgres.stop()
    with pytest.raises(StorageError, match=r"cannot be reached .*; see that PostgreSQL runs"):
        Store(url).create_token(record("blog"))
    with pytest.raises(StorageError, match="cannot be reached"):
        Store(url).snapshot()
    with pytest.raises(StorageError, match="cannot be reached"):
        Store(url).migrate()
    postgres.start()
    assert [one.name for one in Store(url).read()[1]] == ["shop"]


def test_a_database_that_is_not_there(postgres: PostgresServer) -> None:
    """What the server says is part of the sentence."""
    with pytest.raises(StorageError, match='database "nowhere" does not exist'):
        Store(postgres.url("nowhere")).read()


def test_a_database_without_tables(postgres: PostgresServer) -> None:
    """It is never taken for an edge without tokens."""
    store = Store(postgres.create())
    assert store.revision() is None
    with pytest.raises(
        StorageError, match=r"has no tables; fill it .*`asgi-tunnel-edge store move`"
    ):
        store.read()


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    postgresql._driver.cache_clear()
    store = Store("postgresql://a.test/edge")
    for action in (store.read, store.generation, store.revision, store.migrate):
        with pytest.raises(StorageError, match=r"pip install 'asgi-tunnel-edge\[postgresql\]'"):
            action()


def test_a_standby(url: str) -> None:
    """A server that takes no writes is said as that."""
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        alter = psycopg.sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
        connection.execute(alter.format(psycopg.sql.Identifier(name)))
    # What a write begins with says nothing about it, so the server decides.
    with pytest.raises(StorageError, match="takes no writes; name the primary"):
        Store(url).create_token(record("blog"))
    assert [one.name for one in Store(url).read()[1]] == ["shop"]


def test_a_write_waits_for_another_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And then says that it did in vain; readers go on."""
    monkeypatch.setattr(postgresql, "BUSY_TIMEOUT", 0.05)
    store = Store(url)
    with store._write() as session:
        session.connection()
        with pytest.raises(StorageError, match="locked by another process; try again"):
            Store(url).create_token(record("blog"))
    assert store.read()[0] == 1


def test_a_writer_that_hangs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen edge in the middle of a change does not stop the others for ever."""
    store = postgresql.PostgreSQL(url)
    with monkeypatch.context() as patch:
        patch.setattr(postgresql, "IDLE_TIMEOUT", 1.0)
        frozen = store.connect()
        store.begin(frozen, writes=True)
    frozen.execute("DELETE FROM hostnames")
    Store(url).create_token(record("blog"))
    assert [one.name for one in Store(url).read()[1]] == ["shop", "blog"]
    with pytest.raises(psycopg.Error):
        frozen.execute("COMMIT")
    assert Store(url).read()[1][0].hostnames == ("shop.test",)
    frozen.close()


@pytest.mark.makes_tables
def test_two_that_make_the_tables_at_once(postgres: PostgresServer) -> None:
    """Two edges of a new version that start together: one migrates, the other finds it done."""
    url = postgres.create()
    failed: list[BaseException] = []

    def migrate() -> None:
        try:
            Store(url).migrate()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert Store(url).read() == (0, [])


@pytest.mark.makes_tables
def test_order_is_that_of_bytes(postgres: PostgresServer) -> None:
    """As in SQLite, whatever the server's locale: `-` comes before letters, `Z` before `a`."""
    store = Store(postgres.create())
    store.migrate()
    hostnames = ("a-b.test", "a.test", "ab.test")
    store.create_token(record("shop", *hostnames))
    with store._read() as session:
        asked = sa.text("SELECT hostname FROM hostnames ORDER BY hostname")
        assert tuple(session.scalars(asked)) == hostnames
    audit = AuditStore(store.location)
    assert [row.subject for row in audit.newest(query="HOSTNAMES=A-B")] == ["tok_shop"]


def test_a_start_without_the_server(
    url: str, postgres: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last snapshot is in force, and said once; the server is used when it is back."""
    caplog.set_level(logging.INFO, "asgi_tunnel_edge.storage")
    file = tmp_path / "snapshot.json"
    first = SnapshotReader(url, file)
    saved = first.load()
    postgres.kill()
    assert [first.poll() for _ in range(3)] == [None] * 3
    assert first.is_failing
    first.close()
    again = SnapshotReader(url, file)
    assert again.load() == saved
    assert [again.poll() for _ in range(3)] == [None] * 3
    assert caplog.text.count("going on without it") == 2  # of each reader one line
    assert "started with the snapshot" in caplog.text
    postgres.start()
    assert again.poll() is None  # nothing has changed
    assert not again.is_failing
    assert "can be read again" in caplog.text
    Store(url).create_token(record("blog"))
    assert names(look(again)) == {"shop", "blog"}
    again.close()


async def test_each_edge_hears_of_a_change(url: str, tmp_path: Path) -> None:
    """A revocation that one process makes is in force at three edges within a second."""
    heard: asyncio.Queue[int] = asyncio.Queue()

    def on_change(number: int, snapshot: Snapshot) -> None:
        if isinstance(snapshot.authenticate("tok_shop", "shop"), Refusal):
            heard.put_nowait(number)

    watchers = [
        SnapshotWatcher(
            url,
            tmp_path / f"{number}.json",
            lambda snapshot, number=number: on_change(number, snapshot),  # type: ignore[misc]
        )
        for number in range(3)
    ]
    for one in watchers:
        await one.start()
    began = time.monotonic()
    await asyncio.to_thread(Store(url).revoke_tokens, ["shop"])
    async with asyncio.timeout(10):
        assert {await heard.get() for _ in watchers} == {0, 1, 2}
    assert time.monotonic() - began < 3  # on a loaded machine; 0.3 s on an idle one
    for one in watchers:
        await one.stop()


def test_a_change_that_nobody_told_of_is_seen(url: str, tmp_path: Path) -> None:
    """The server is asked beside that: a notification that is lost delays, and loses nothing."""
    reader = SnapshotReader(url, tmp_path / "snapshot.json")
    reader.load()
    store = Store(url)
    with store._write() as session:
        session.execute(sa.text("DROP TRIGGER asgi_tunnel_changed ON meta"))
    store.create_token(record("blog"))
    looks = 1
    while (found := reader.poll()) is None:
        looks += 1
        assert looks <= postgresql._POLL_EVERY
    assert names(found) == {"shop", "blog"}
    reader.close()


def test_a_login_is_no_change(url: str, tmp_path: Path) -> None:
    """Nor is the use of a token: edges do not read everything again for them."""
    reader = SnapshotReader(url, tmp_path / "snapshot.json")
    reader.load()
    other = SnapshotReader(url, tmp_path / "other.json")
    other.load()
    other.save_uses({"tok_shop"}, 3000)
    other.close()
    AuditStore(url).note("test", "nothing")
    assert Store(url).last_used() == {"tok_shop": 3000}
    seen = reader._seen
    assert [reader.poll() for _ in range(3)] == [None] * 3
    assert reader._seen == seen
    reader.close()


def test_a_server_that_does_not_answer(
    url: str, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds a look for a bounded time, and the edge says meanwhile that the look fails."""
    monkeypatch.setattr(postgresql, "ANSWER_TIMEOUT", 1.0)
    monkeypatch.setattr(postgresql, "_POLL_EVERY", 1)
    monkeypatch.setattr("asgi_tunnel_edge.storage.watcher._PATIENCE", 0.1)
    reader = SnapshotReader(url, tmp_path / "snapshot.json")
    reader.load()
    frozen = postgres.freeze()
    try:
        looking = threading.Thread(target=reader.poll)
        looking.start()
        end = time.monotonic() + 10
        while not reader.is_failing:
            assert time.monotonic() < end
            time.sleep(0.001)
        assert looking.is_alive()
        looking.join(30)
        assert not looking.is_alive()
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert reader.poll() is None
    assert [reader.is_failing] == [False]
    reader.close()


@pytest.mark.parametrize("what", ["link", "invitation", "code"])
def test_what_is_for_one_use_is_used_once(url: str, what: str) -> None:
    """Of eight edges that get it at the same moment, one takes it."""
    access, now = AccessStore(url), int(time.time())
    access.create_user(UserRecord(name="anna", created_at=1))
    access.create_link(
        LinkRecord(id="l", secret_sha256="s", hostname="a.test", path="/", max_uses=1)
    )
    access.invite("anna", "s", expires_at=now + 1000)
    GrantStore(url).add(grant("s", at=now))
    barrier, results = threading.Barrier(8), list[object]()

    def use() -> None:
        barrier.wait()
        if what == "link":
            results.append(AccessStore(url).use_link("s", "a.test", now=now))
        elif what == "invitation":
            results.append(AccessStore(url).use_invitation("s", now=now))
        else:
            found, misuse = GrantStore(url).redeem("code-s", "refresh", now=now)
            results.append(found if misuse is None else None)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert sum(one is not None for one in results) == 1


@pytest.mark.makes_tables
def test_a_migration_may_take_its_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million rows it needs longer than any other statement may."""
    monkeypatch.setattr(postgresql, "ANSWER_TIMEOUT", 0.2)
    database = postgresql.PostgreSQL(url)
    connection = database.connect()
    database.take_time(connection)
    connection.execute("SELECT pg_sleep(0.5)")
    connection.close()
    bounded = database.connect()
    with pytest.raises(psycopg.OperationalError):
        bounded.execute("SELECT pg_sleep(0.5)")
    bounded.close()


def test_an_edge_that_has_a_file_loads_no_driver() -> None:
    """What few need costs the others nothing."""
    code = (
        "import sys, pathlib, asgi_tunnel_edge.server, asgi_tunnel_edge.storage.watcher as w;"
        "w.SnapshotReader(pathlib.Path('a'), pathlib.Path('b'));"
        "sys.exit('psycopg' in sys.modules or 'asgi_tunnel_edge.storage.postgresql' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_where_a_store_is_decides(tmp_path: Path) -> None:
    """A path is a file, all else a server's URL."""
    assert location.dialect_of(tmp_path / "a").alchemy == "sqlite://"
    assert location.dialect_of("postgresql://a.test/b").alchemy == "postgresql+psycopg://"


def test_a_password_that_is_missing(url: str) -> None:
    """Who is not let in for it hears where it belongs."""
    for said in (
        'connection to server at "127.0.0.1", port 5432 failed: fe_sendauth: no password supplied',
        'FATAL:  password authentication failed for user "edge"',
    ):
        sentence = postgresql.PostgreSQL(url).sentence(psycopg.OperationalError(said))
        assert "name it by ?passfile=PATH" in sentence
        assert "see that PostgreSQL runs" not in sentence
