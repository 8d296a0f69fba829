"""The audit log: in whose name, bounded, and a page at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from asgi_tunnel_edge.accounts import UserRecord
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.acting import MAX_ACTOR, acting, actor
from asgi_tunnel_edge.storage.audit import MAX_AUDIT, PAGE, AuditStore

if TYPE_CHECKING:
    from asgi_tunnel_edge.storage.dialect import Location


@pytest.fixture
def audit(location: Location) -> AuditStore:
    """An empty one."""
    store = AuditStore(location)
    store.migrate()
    return store


async def test_a_change_is_noted_in_the_name_of_who_makes_it(audit: AuditStore) -> None:
    """Whichever store writes it, in a thread too; without a name it is the command line."""
    access = AccessStore(audit.location)
    access.create_user(UserRecord(name="anna", created_at=1))
    with acting("user:anna"):
        await asyncio.to_thread(access.create_user, UserRecord(name="ben", created_at=1))
        audit.note("tunnel.kick", "tok_1", "session=all")
    access.create_user(UserRecord(name="cleo", created_at=1))
    rows = [(row.by, row.action, row.subject) for row in audit.newest()]
    assert rows == [
        ("", "user.create", "cleo"),
        ("user:anna", "tunnel.kick", "tok_1"),
        ("user:anna", "user.create", "ben"),
        ("", "user.create", "anna"),
    ]
    assert [row.subject for row in audit.newest(query="ann")] == ["tok_1", "ben", "anna"]
    assert audit.newest(query="%") == []


async def test_names_do_not_mix() -> None:
    """Two requests at once each have their own."""

    async def act(name: str) -> list[str]:
        seen = []
        for _ in range(5):
            with acting(name):
                await asyncio.sleep(0)
                seen.append(actor())
        return seen

    found = await asyncio.gather(act("a"), act("b"))
    assert list(found) == [["a"] * 5, ["b"] * 5]
    assert actor() == ""
    with acting("x" * 1000):
        assert len(actor()) == MAX_ACTOR


def test_pages_of_it_follow_each_other(audit: AuditStore) -> None:
    """Each row once, newest first."""
    for number in range(PAGE + 20):
        audit.note("test", str(number))
    first = audit.newest(limit=10_000)
    assert len(first) == PAGE
    second = audit.newest(before=first[-1].id)
    assert len(second) == 20
    assert [int(row.subject) for row in [*first, *second]] == list(range(PAGE + 19, -1, -1))


def test_noting_is_no_change_of_the_store(audit: AuditStore) -> None:
    """A running edge need not read everything anew."""
    before = Store(audit.location).generation()
    audit.note("test", "a" * 1000, "detail")
    assert Store(audit.location).generation() == before
    assert len(audit.newest()[0].subject) == 255


def test_it_is_bounded_whoever_writes(audit: AuditStore) -> None:
    """The oldest rows go by themselves."""
    rows = [{"id": number} for number in range(1, MAX_AUDIT + 301)]
    insert = sa.text(
        "INSERT INTO audit (id, at, action, subject, detail) VALUES (:id, 0, 'a', 'b', '')"
    )
    with audit._write() as session:
        session.execute(insert, rows)
    with audit._read() as session:
        found = session.execute(sa.text("SELECT count(*), min(id) FROM audit")).one()
    assert tuple(found) == (MAX_AUDIT, 301)
