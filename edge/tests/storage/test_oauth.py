"""Grants in the store: codes and refresh tokens are good once, and there is room for so many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.storage import Store, oauth
from asgi_tunnel_edge.storage.oauth import GrantRecord, GrantStore, Misuse

if TYPE_CHECKING:
    from asgi_tunnel_edge.storage.dialect import Location

NOW = 1_800_000_000


@pytest.fixture
def store(location: Location) -> GrantStore:
    """An empty one."""
    Store(location).migrate()
    return GrantStore(location)


def grant(name: str, *, subject: str = "user:anna", at: int = NOW, days: int = 30) -> GrantRecord:
    """A grant whose code has the hash ``code-NAME``."""
    return GrantRecord(
        id=name,
        client_id="c1",
        client_name="Assistant",
        subject=subject,
        hostname="shop.example.test",
        path="/mcp",
        claims=b"signed",
        redirect="http://127.0.0.1/cb",
        challenge="x",
        code_sha256=f"code-{name}",
        code_expires_at=at + 60,
        created_at=at,
        expires_at=at + days * 86400,
    )


def test_a_code_once_and_in_time(store: GrantStore) -> None:
    """The second use, and a late one, forget the grant."""
    store.add(grant("one"))
    assert store.redeem("code-one", "r1", now=NOW + 59) == (grant("one"), None)
    assert store.redeem("code-one", "r2", now=NOW + 59) == (grant("one"), Misuse.REPEATED)
    assert store.redeem("code-one", "r2", now=NOW + 59) == (None, Misuse.UNKNOWN)
    store.add(grant("two"))
    assert store.redeem("code-two", "r1", now=NOW + 60) == (None, Misuse.UNKNOWN)
    assert store.remove("two") is None


def test_refresh_tokens_rotate(store: GrantStore) -> None:
    """Each is good once; one that comes again ends all of them."""
    store.add(grant("one"))
    unused = store.rotate("one", "r1", "r2", client_id="c1", now=NOW)
    assert unused == (None, Misuse.UNKNOWN)
    store.redeem("code-one", "r1", now=NOW)
    assert store.rotate("one", "r1", "r2", client_id="other", now=NOW) == (None, Misuse.UNKNOWN)
    assert store.rotate("one", "r1", "r2", client_id="c1", now=NOW) == (grant("one"), None)
    late = NOW + 30 * 86400
    assert store.rotate("one", "r2", "r3", client_id="c1", now=late) == (None, Misuse.UNKNOWN)
    assert store.rotate("one", "r1", "r3", client_id="c1", now=NOW)[1] is Misuse.REPEATED
    assert store.rotate("one", "r2", "r3", client_id="c1", now=NOW) == (None, Misuse.UNKNOWN)


def test_a_grant_is_given_back_by_its_token(store: GrantStore) -> None:
    """Not by a token of another one."""
    store.add(grant("one"))
    store.redeem("code-one", "r1", now=NOW)
    assert store.remove("one", refresh_sha256="r9") is None
    assert store.remove("one", refresh_sha256="r1") == grant("one")


def test_there_is_room_for_so_many(store: GrantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of a visitor, or of all, goes; so does what is over, and codes nobody used."""
    monkeypatch.setattr(oauth, "MAX_GRANTS_PER_SUBJECT", 2)
    monkeypatch.setattr(oauth, "MAX_GRANTS", 3)
    for number, subject in enumerate(("a", "a", "a")):
        name = f"a{number}"
        ended = store.add(grant(name, subject=subject, at=NOW + number))
        assert ended == (["a0"] if number == 2 else [])
        store.redeem(f"code-{name}", "r", now=NOW + number)
    assert store.add(grant("b0", subject="b", at=NOW + 3)) == []
    store.redeem("code-b0", "r", now=NOW + 3)
    assert store.add(grant("c0", subject="c", at=NOW + 4)) == ["a1"]
    # Nobody has used the code of c0 by now; its place is free, and nothing ends for it.
    assert store.add(grant("d0", subject="d", at=NOW + 100)) == []
    assert store.remove("c0") is None
