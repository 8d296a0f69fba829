from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from edge.tests.storage.conftest import make_revision, record
from msgspec.structs import replace

from asgi_tunnel_edge.errors import (
    HostnameTakenError,
    NameTakenError,
    StorageError,
    TokenNotFoundError,
    TokenRevokedError,
)
from asgi_tunnel_edge.quotas import TokenQuotas
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage import store as module
from asgi_tunnel_edge.storage.models import Base
from asgi_tunnel_edge.tokens import secret_digest

if TYPE_CHECKING:
    from edge.tests.storage.conftest import Place

    from asgi_tunnel_edge.storage.dialect import Location


@pytest.fixture
def store(location: Location) -> Store:
    """A fresh store."""
    store = Store(location)
    store.migrate()
    return store


def dump(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Everything in a store."""
    with store._read() as session:
        return {
            table.name: [tuple(row) for row in session.execute(sa.select(table))]
            for table in Base.metadata.sorted_tables
        }


@pytest.mark.makes_tables
def test_migrations_make_the_models(store: Store) -> None:
    """The tables that migrations make are those of the models, and the newest is known."""

    def is_ours(thing: object, name: str | None, *_: object) -> bool:
        return name != "rowid"  # which SQLite has by itself

    with store._engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_ours}
        )
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == module.HEAD_REVISION
    config = Config()
    config.set_main_option("script_location", "asgi_tunnel_edge.storage:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [module.HEAD_REVISION]


def test_migrating_again_changes_nothing(store: Store) -> None:
    """A second migration finds nothing to do and keeps what is there."""
    store.create_token(record("shop"))
    before = dump(store)
    store.migrate()
    assert dump(store) == before


@pytest.mark.makes_tables
def test_failed_migration_leaves_nothing(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that fails half-way is undone, tables included."""

    def fail(*_: object, **__: object) -> None:
        raise StorageError("disk full")

    store = Store(location)
    monkeypatch.setattr("alembic.op.bulk_insert", fail)
    with pytest.raises(StorageError, match="disk full"):
        store.migrate()
    assert sa.inspect(store._engine).get_table_names() == []
    monkeypatch.undo()
    store.migrate()
    assert store.generation() == 0


def test_database_of_a_newer_version(store: Store) -> None:
    """An older program does not touch a newer database, and says which side to upgrade."""
    with store._write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="made by a newer version"):
        store.migrate()


def test_create_and_read(store: Store) -> None:
    """A token comes back as it was kept; secrets are not in the file."""
    one, two = record("one", "b.test", "*.a.test"), record("two", expires_at=9000)
    store.create_token(one)
    store.create_token(two)
    generation, records = store.read()
    assert generation == store.generation() == 2
    assert records[0].hostnames == ("*.a.test", "b.test")
    assert records[1] == two
    assert store.audit() == [
        (1000, "token.create", "tok_one", "name=one hostnames=b.test,*.a.test"),
        (1000, "token.create", "tok_two", "name=two hostnames=two.test"),
    ]


def test_hostname_belongs_to_one_token(store: Store) -> None:
    """T29: a hostname of another token is refused with that token's name; nothing is kept."""
    store.create_token(record("shop", "a.test", "b.test"))
    before = dump(store)
    with pytest.raises(HostnameTakenError) as caught:
        store.create_token(record("other", "c.test", "b.test"))
    assert (caught.value.hostname, caught.value.owner) == ("b.test", "shop")
    assert dump(store) == before


def test_wildcard_and_exact_name_are_two_hostnames(store: Store) -> None:
    """T29: a wildcard of one token does not keep another from a name below it."""
    store.create_token(record("wild", "*.a.test"))
    store.create_token(record("exact", "x.a.test"))


def test_name_belongs_to_one_token(store: Store) -> None:
    """A name that is in use is refused with the id of its token."""
    store.create_token(record("shop"))
    with pytest.raises(NameTakenError) as caught:
        store.create_token(record("shop", "b.test", token_id="tok_2"))
    assert caught.value.owner == "tok_shop"


def test_expired_token_keeps_its_hostnames(store: Store) -> None:
    """T29: offline or expired, a hostname stays reserved until somebody revokes the token."""
    store.create_token(record("shop", expires_at=1))
    with pytest.raises(HostnameTakenError):
        store.create_token(record("other", "shop.test"))


def test_revoking_releases(store: Store) -> None:
    """A revoked token stays known, and a new one may take its name and hostnames."""
    store.create_token(record("shop"))
    (before,) = store.revoke_tokens(["shop"], now=2000)
    assert before.hostnames == ("shop.test",)
    _, (after,) = store.read()
    assert (after.revoked_at, after.hostnames) == (2000, ())
    store.create_token(record("shop", token_id="tok_new"))
    assert store.audit()[1] == (
        2000,
        "token.revoke",
        "tok_shop",
        "name=shop released=shop.test",
    )


def test_limits_of_a_token(store: Store) -> None:
    """They are kept with it, changed one by one, and each change is in the audit log."""
    quotas = TokenQuotas(max_tunnels=3, max_memory=2**20)
    store.create_token(replace(record("shop"), quotas=quotas))
    assert store.find_token("shop").quotas == quotas
    changes = {"max_tunnels": None, "max_frames": 100}
    changed = store.limit_token("tok_shop", changes, now=2000)
    assert changed.quotas == TokenQuotas(max_memory=2**20, max_frames=100)
    assert store.read() == (2, [changed])
    detail = "name=shop max_tunnels=default max_frames=100"
    assert store.audit()[1] == (2000, "token.limit", "tok_shop", detail)
    assert store.limit_token("shop", {}) == changed
    assert store.generation() == 2
    store.revoke_tokens(["shop"])
    with pytest.raises(TokenRevokedError):
        store.limit_token("shop", changes)


def test_database_of_an_older_version(store: Store) -> None:
    """A command that comes before the edge was started once says what to do."""
    with store._write() as session:
        session.execute(sa.text("ALTER TABLE tokens DROP COLUMN max_frames"))
    with pytest.raises(StorageError, match=r"older version; .*`asgi-tunnel-edge run`"):
        store.read()


def test_revoking_by_name_means_the_live_token(store: Store) -> None:
    """Of several tokens that had a name, the one that has it now is meant."""
    store.create_token(record("shop"))
    store.revoke_tokens(["tok_shop"])
    store.create_token(record("shop", token_id="tok_new"))
    assert [token.id for token in store.revoke_tokens(["shop", "tok_new"])] == ["tok_new"]


def test_revoking_is_all_or_none(store: Store) -> None:
    """When one of several tokens is unknown, none is revoked."""
    store.create_token(record("shop"))
    before = dump(store)
    with pytest.raises(TokenNotFoundError, match="nobody"):
        store.revoke_tokens(["shop", "nobody"])
    assert dump(store) == before


def test_revoking_twice_changes_nothing(store: Store) -> None:
    """The second revocation is no change: the time of the first stays."""
    store.create_token(record("shop"))
    store.revoke_tokens(["shop"], now=2000)
    before = dump(store)
    (again,) = store.revoke_tokens(["shop"], now=3000)
    assert again.revoked_at == 2000
    assert dump(store) == before


def test_two_at_once(store: Store) -> None:
    """Of two processes that want one hostname at the same moment, one gets it."""
    barrier = threading.Barrier(2)
    results: list[str] = []

    def create(name: str) -> None:
        mine = Store(store.location)
        barrier.wait()
        try:
            mine.create_token(record(name, "wanted.test"))
            results.append("mine")
        except HostnameTakenError:
            results.append("taken")

    threads = [threading.Thread(target=create, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["mine", "taken"]


def test_end_to_end_hostnames_are_kept(store: Store, place: Place) -> None:
    """Each with its hostname, in the audit log, and in a database that is made anew."""
    store.create_token(replace(record("home", "a.test", "b.test"), end_to_end=("b.test",)))
    _, (kept,) = store.read()
    assert kept.end_to_end == ("b.test",)
    assert any("end_to_end=b.test" in line[3] for line in store.audit())
    other = Store(place())
    other.migrate()
    other.restore(store.snapshot())
    assert other.read()[1] == [kept]
    store.revoke_tokens(["home"])
    assert store.read()[1][0].end_to_end == ()


def test_a_secret_gives_way_to_another(store: Store) -> None:
    """Both are known until the overlap is over; a second rotation forgets the oldest."""
    store.create_token(record("shop"))
    first, second = secret_digest("second"), secret_digest("third")
    rotated = store.rotate_token("shop", first, overlap=3600, now=2000)
    assert (rotated.id, rotated.hostnames) == ("tok_shop", ("shop.test",))
    assert (rotated.secret_sha256, rotated.old_secret_sha256) == (first, secret_digest("shop"))
    assert rotated.old_until == 5600
    again = store.rotate_token("tok_shop", second, overlap=0, now=2001)
    assert (again.old_secret_sha256, again.old_until) == (first, 2001)
    assert store.read() == (3, [again])
    assert store.audit()[-1] == (2001, "token.rotate", "tok_shop", "name=shop old_until=2001")
    store.revoke_tokens(["shop"])
    with pytest.raises(TokenRevokedError):
        store.rotate_token("shop", first, overlap=0)


def test_the_old_secret_is_in_a_database_that_is_made_anew(store: Store, place: Place) -> None:
    """As the new one is, and as long."""
    store.create_token(record("shop"))
    kept = store.rotate_token("shop", secret_digest("second"), overlap=60)
    other = Store(place())
    other.migrate()
    other.restore(store.snapshot())
    assert other.read()[1] == [kept]


def test_tokens_of_an_older_version_are_kept(location: Location) -> None:
    """A database of revision 0007 gets the columns for rotations, and loses nothing."""
    store = Store(location)
    make_revision(
        store,
        "0007",
        "INSERT INTO tokens (id, name, secret_sha256, created_at) VALUES ('tok_old', 'old', '', 1)",
        "INSERT INTO hostnames VALUES ('old.test', 'tok_old', false)",
    )
    assert store.revision() == "0007"
    with pytest.raises(StorageError, match="older version"):
        store.read()
    store.migrate()
    assert store.revision() == module.HEAD_REVISION
    kept = replace(record("old"), secret_sha256="", created_at=1)
    assert store.read() == (0, [kept])
    assert store.last_used() == {}
