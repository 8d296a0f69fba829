"""Users, passkeys, invitations and logins in the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.accounts import SessionRecord, UserRecord
from asgi_tunnel_edge.errors import AccountError
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.users import MAX_PASSKEYS

if TYPE_CHECKING:
    from asgi_tunnel_edge.storage.dialect import Location

HOST = "photos.example.org"
NOW = int(time.time())


@pytest.fixture
def store(location: Location) -> AccessStore:
    """With anna and ben."""
    Store(location).migrate()
    one = AccessStore(location)
    for name in ("anna", "ben"):
        one.create_user(UserRecord(name=name, created_at=NOW), password="hashed")
        session = SessionRecord(
            id=f"of-{name}",
            subject=f"user:{name}",
            name=name,
            hostname=HOST,
            method="password",
            created_at=NOW,
            expires_at=NOW + 86400,
        )
        one.add_session(session)
    return one


def add(store: AccessStore, key: str, user: str = "anna", hostname: str = HOST) -> None:
    """Keep a passkey."""
    store.add_passkey(user, key, b"cose", hostname=hostname, sign_count=0, label="A key")


def test_a_count_grows(store: AccessStore) -> None:
    """Or is always 0, where a device does not count; it never goes back or stays."""
    add(store, "a")
    taken = [store.use_passkey("a", count) for count in (0, 0, 1, 1, 0, 5, 4, 6)]
    assert taken == [True, True, True, False, False, True, False, True]
    assert store.passkey("a", HOST) == ("anna", b"cose", 6)
    assert not store.use_passkey("b", 1)


def test_a_passkey_is_found_at_its_hostname_only(store: AccessStore) -> None:
    """As its user's, and by nobody else's hand removed."""
    add(store, "a")
    assert store.passkey("a", "files.example.org") is None
    assert store.remove_passkey("ben", "a") is None
    removed = store.remove_passkey("anna", "a")
    assert removed is not None
    assert removed.epoch == NOW + 1
    assert store.passkey("a", HOST) is None


def test_a_passkey_is_kept_once(store: AccessStore) -> None:
    """Whoever's it is; and a user has a bounded number at one hostname."""
    add(store, "0")
    with pytest.raises(AccountError, match="known already"):
        add(store, "0", "ben")
    for index in range(1, MAX_PASSKEYS):
        add(store, str(index))
    with pytest.raises(AccountError, match="remove one first"):
        add(store, "one more")
    add(store, "elsewhere", hostname="files.example.org")
    with pytest.raises(AccountError, match="no user"):
        add(store, "x", "nobody")


@pytest.mark.parametrize("change", ["password", "disabled", "passkey"])
def test_what_ends_a_users_sessions_ends_them_in_the_list(store: AccessStore, change: str) -> None:
    """And those of nobody else."""
    add(store, "a")
    if change == "password":
        store.change_user("anna", password="another")
    elif change == "disabled":
        store.change_user("anna", disabled=True)
    else:
        store.remove_passkey("anna", "a")
    assert store.sessions(subject="user:anna") == []
    assert [one.id for one in store.sessions()] == ["of-ben"]
    records = Store(store.location).snapshot().access
    assert records.ended == ("of-anna",)
    assert [user.epoch for user in records.users] == [NOW + 1, NOW]


def test_a_new_address_or_group_ends_no_session(store: AccessStore) -> None:
    """The user is the same."""
    store.change_user("anna", email="anna@example.org", groups=("family",))
    assert len(store.sessions(subject="user:anna")) == 1
