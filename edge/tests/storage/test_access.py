"""Users, invitations, passkeys, logins, service tokens and links in the database and a snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from asgi_tunnel_edge.accounts import (
    AccessRecords,
    LinkRecord,
    ServiceTokenRecord,
    SessionRecord,
    UserRecord,
)
from asgi_tunnel_edge.errors import AccountError, StorageError
from asgi_tunnel_edge.storage import (
    Store,
    access_rows,
    load_snapshot_file,
    logins,
    save_snapshot_file,
)
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.users import MAX_PASSKEYS

if TYPE_CHECKING:
    from edge.tests.storage.conftest import Place

    from asgi_tunnel_edge.storage.dialect import Location

ANNA = UserRecord(name="anna", email="a@a.test", groups=("x", "y"), created_at=7, epoch=7)
TOKEN = ServiceTokenRecord(id="svc_1", name="phone", secret_sha256="d", policies=("family", "all"))
LINK = LinkRecord(id="lnk_1", secret_sha256="e", hostname="a.test", path="/x", max_uses=2)
FAR = 4_000_000_000


def login(login_id: str = "s1", subject: str = "user:anna", *, at: int = 10) -> SessionRecord:
    """A login."""
    return SessionRecord(
        id=login_id,
        subject=subject,
        name="anna",
        hostname="a.test",
        method="password",
        created_at=at,
        expires_at=FAR,
    )


@pytest.fixture
def path(location: Location) -> Location:
    """A new database."""
    Store(location).migrate()
    return location


@pytest.fixture
def store(path: Location) -> AccessStore:
    """Its tables, with one user."""
    one = AccessStore(path)
    one.create_user(ANNA, password="hash")
    return one


def records(path: Location) -> AccessRecords:
    """What a running edge follows."""
    return Store(path).snapshot().access


def test_users(store: AccessStore, path: Location) -> None:
    """What is given changes, and nothing else; what ends sessions raises the epoch."""
    assert records(path).users == (ANNA,)
    assert store.users() == [(ANNA, True, 0)]
    assert store.password_of("anna") == "hash"
    assert store.password_of("ben") == ""
    assert store.password_of("an\0na") == ""
    changed = store.change_user("anna", email="", groups=["z"])
    assert (changed.email, changed.groups, changed.epoch) == ("", ("z",), 7)
    assert store.change_user("anna", password="new").epoch == 8
    disabled = store.change_user("anna", disabled=True)
    assert disabled.disabled_at is not None
    assert disabled.epoch == 9
    assert store.password_of("anna") == ""
    assert store.change_user("anna", disabled=False).disabled_at is None
    assert store.password_of("anna") == "new"


def test_a_user_of_a_name_that_was_there_before(store: AccessStore, path: Location) -> None:
    """Gets none of the sessions, keys and invitations of the one before."""
    store.add_session(login())
    store.invite("anna", "i", expires_at=FAR)
    store.add_passkey("anna", "k", b"p", hostname="a.test", sign_count=0, label="")
    store.remove_user("anna")
    assert records(path).users == ()
    assert records(path).ended == ("s1",)
    store.create_user(UserRecord(name="anna", created_at=8))
    assert records(path).users[0].epoch != ANNA.epoch
    assert store.passkeys("anna") == []
    assert store.invited("i", now=0) is None
    assert store.sessions() == []


def test_invitations(store: AccessStore) -> None:
    """Each works once and in its time; a new one takes the place of the one before."""
    store.invite("anna", "one", expires_at=FAR)
    store.invite("anna", "two", expires_at=int(time.time()) + 60)
    assert store.invited("one", now=time.time()) is None
    assert store.invited("two", now=time.time()) == "anna"
    assert store.invited("two", now=time.time() + 61) is None
    assert store.use_invitation("two", now=time.time() + 61) is None
    assert store.use_invitation("two", now=time.time()) == "anna"
    assert store.use_invitation("two", now=time.time()) is None


def test_passkeys(store: AccessStore) -> None:
    """Each is for one hostname; a user has a number of them at most, and may take one away."""
    for number in range(MAX_PASSKEYS):
        key = f"k{number}"
        store.add_passkey("anna", key, b"p", hostname="a.test", sign_count=0, label="x" * 200)
    with pytest.raises(AccountError, match=r"has 20 passkeys for a\.test; remove one first"):
        store.add_passkey("anna", "k", b"p", hostname="a.test", sign_count=0, label="")
    store.add_passkey("anna", "other", b"p", hostname="b.test", sign_count=0, label="")
    assert store.passkey("k1", "a.test") == ("anna", b"p", 0)
    assert store.passkey("k1", "b.test") is None
    store.use_passkey("k1", 5)
    assert store.passkey("k1", "a.test") == ("anna", b"p", 5)
    assert store.users()[0][2] == MAX_PASSKEYS + 1
    assert len(store.passkeys("anna")[0][2]) == 100
    epoch = store.users()[0][0].epoch
    assert store.remove_passkey("anna", "k1")
    assert not store.remove_passkey("anna", "k1")
    assert not store.remove_passkey("ben", "k2")
    assert store.users()[0][0].epoch == epoch + 1


def test_logins(store: AccessStore, path: Location) -> None:
    """Listed while they hold; ended one by one, for one user, or for everybody."""
    for number in range(3):
        store.add_session(login(f"s{number}", at=10 + number))
    store.add_session(login("link", "link:lnk_1", at=20))
    assert [one.id for one in store.sessions()] == ["s0", "s1", "s2", "link"]
    assert store.sessions(now=FAR) == []
    assert [one.id for one in store.end_sessions(["s1", "s1", "none"])] == ["s1"]
    assert store.end_sessions(["s1"]) == []
    assert records(path).ended == ("s1",)
    store.end_sessions_of("anna")
    assert [one.id for one in store.sessions()] == ["link"]
    assert records(path).users[0].epoch == ANNA.epoch + 1
    store.end_sessions_by("link:lnk_1")
    assert store.sessions() == []
    store.end_all_sessions()
    assert records(path).epoch == 1
    assert records(path).ended == ()


def test_logins_that_are_over_are_forgotten(
    store: AccessStore, path: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next one; and the oldest of too many, whose session goes on."""
    store.add_session(msgspec.structs.replace(login("old"), expires_at=50))
    store.end_sessions(["old"])
    store.add_session(login("new", at=60))
    assert [one.id for one in store.sessions(now=0)] == ["new"]
    monkeypatch.setattr(logins, "MAX_SESSION_ROWS", 2)
    store.add_session(login("newer", at=70))
    store.add_session(login("newest", at=80))
    assert [one.id for one in store.sessions()] == ["newer", "newest"]
    assert records(path).ended == ()


def test_service_tokens(store: AccessStore, path: Location) -> None:
    """A name is free again after a revocation; a snapshot has those that hold."""
    store.create_service_token(TOKEN)
    with pytest.raises(AccountError, match='"phone" is a service token already'):
        store.create_service_token(msgspec.structs.replace(TOKEN, id="svc_2"))
    assert records(path).service_tokens == (TOKEN,)
    assert store.revoke_service_token("phone").revoked_at is not None
    assert records(path).service_tokens == ()
    store.create_service_token(msgspec.structs.replace(TOKEN, id="svc_2"))
    assert [one.id for one in store.service_tokens()] == ["svc_1", "svc_2"]
    store.revoke_service_token("svc_2")


def test_links(store: AccessStore, path: Location) -> None:
    """Counted by browsers that open them, at their hostname, in their time."""
    store.create_link(LINK)
    assert records(path).links == (LINK,)
    assert store.use_link("e", "b.test", now=0) is None
    assert store.use_link("x", "a.test", now=0) is None
    first = store.use_link("e", "a.test", now=0)
    assert first is not None
    assert first.uses == 1
    assert store.use_link("e", "a.test", now=0) is not None
    assert store.use_link("e", "a.test", now=0) is None
    timed = msgspec.structs.replace(
        LINK, id="lnk_2", secret_sha256="f", expires_at=100, max_uses=None
    )
    store.create_link(timed)
    assert store.use_link("f", "a.test", now=99) is not None
    assert store.use_link("f", "a.test", now=100) is None
    store.revoke_link("lnk_1")
    assert store.use_link("e", "a.test", now=0) is None
    assert [one.id for one in records(path).links] == ["lnk_2"]
    store.create_link(msgspec.structs.replace(LINK, id="lnk_3", secret_sha256="g", created_at=200))
    assert [one.id for one in store.links()] == ["lnk_1", "lnk_3"]  # one was over


Call = Callable[[AccessStore], object]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda store: store.create_user(ANNA), '"anna" is a user already'),
        (lambda store: store.change_user("ben", email=""), '"ben" is no user of this edge'),
        (lambda store: store.remove_user("ben"), '"ben" is no user of this edge'),
        (lambda store: store.invite("ben", "x", expires_at=1), '"ben" is no user of this edge'),
        (lambda store: store.end_sessions_of("ben"), '"ben" is no user of this edge'),
        (lambda store: store.revoke_service_token("x"), '"x" is no service token that holds'),
        (lambda store: store.revoke_link("x"), '"x" is no share link that holds'),
    ],
)
def test_what_is_not_there(store: AccessStore, path: Location, call: Call, sentence: str) -> None:
    """One sentence with the way out, and nothing is written."""
    before = Store(path).generation()
    with pytest.raises(AccountError) as error:
        call(store)
    assert sentence in str(error.value)
    assert Store(path).generation() == before


def test_there_are_only_so_many(store: AccessStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind: a running edge has all of them in memory."""
    store.create_service_token(TOKEN)
    store.create_link(LINK)
    monkeypatch.setattr(access_rows, "MAX_ROWS", 1)
    calls: list[Call] = [
        lambda store: store.create_user(UserRecord(name="ben")),
        lambda store: store.create_service_token(
            ServiceTokenRecord(id="svc_2", name="b", secret_sha256="", policies=())
        ),
        lambda store: store.create_link(msgspec.structs.replace(LINK, id="l", secret_sha256="h")),
    ]
    for call in calls:
        with pytest.raises(AccountError, match="would be one more than 1; remove some first"):
            call(store)


CHANGES: list[Call] = [
    lambda store: store.create_user(UserRecord(name="ben")),
    lambda store: store.change_user("anna", email="b@a.test"),
    lambda store: store.create_service_token(TOKEN),
    lambda store: store.revoke_service_token("phone"),
    lambda store: store.create_link(LINK),
    lambda store: store.revoke_link("lnk_1"),
    lambda store: store.end_sessions(["s1"]),
    lambda store: store.end_sessions_of("anna"),
    lambda store: store.end_all_sessions(),
    lambda store: store.remove_user("anna"),
]


def test_each_change_is_seen_and_audited(store: AccessStore, path: Location) -> None:
    """The generation grows, so that a running edge looks; no secret is in the audit log."""
    store.add_session(login())
    whole = Store(path)
    for change in CHANGES:
        before, lines = whole.generation(), len(whole.audit())
        change(store)
        assert whole.generation() > before
        assert len(whole.audit()) == lines + 1
    assert "hash" not in str(whole.audit())


def test_a_login_changes_nothing_that_an_edge_follows(store: AccessStore, path: Location) -> None:
    """Its cookie is signed: other processes need not look at the store for each login."""
    store.create_link(LINK)
    before = Store(path).generation()
    store.add_session(login())
    store.use_passkey("none", 1)
    store.use_link("e", "a.test", now=0)
    assert Store(path).generation() == before


def test_a_snapshot_file_and_a_remade_database(
    store: AccessStore, path: Location, place: Place, tmp_path: Path
) -> None:
    """What a running edge knew comes back without passwords; every session has ended."""
    store.create_service_token(TOKEN)
    store.create_link(LINK)
    store.add_session(login())
    store.end_sessions(["s1"])
    file = tmp_path / "snapshot.json"
    save_snapshot_file(Store(path).snapshot(), file)
    assert "hash" not in file.read_text()
    found = load_snapshot_file(file)
    assert found.access == records(path)
    other = Store(place())
    other.migrate()
    other.restore(found)
    again = AccessStore(other.location)
    assert again.users()[0] == (ANNA, False, 0)
    made = other.snapshot().access
    assert (made.service_tokens, made.links, made.epoch) == ((TOKEN,), (LINK,), 1)


def test_a_broken_database(tmp_path: Path) -> None:
    """Each method says so in its own error."""
    path = tmp_path / "edge.sqlite3"
    path.write_bytes(b"hello" * 1000)
    store: Any = AccessStore(path)
    for call in (
        store.users,
        store.sessions,
        store.service_tokens,
        store.links,
        store.end_all_sessions,
        lambda: store.password_of("anna"),
        lambda: store.add_session(login()),
    ):
        with pytest.raises(StorageError):
            call()
