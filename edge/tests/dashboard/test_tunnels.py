"""A tunnel's sessions, and what people do to them from its page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.tests.dashboard.house import BLOG_ID, House, house

from asgi_tunnel_edge.dashboard.pages.tunnels import SHOWN
from asgi_tunnel_edge.dashboard.tunnels import tunnels_of
from asgi_tunnel_edge.questions.matching import public_id
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.audit import AuditStore
from asgi_tunnel_edge.tokens import TokenRecord


def test_sessions_are_joined_to_their_token() -> None:
    """In the order of the tokens; what is not known is not made up."""
    tokens = [
        TokenRecord(id=one, name=one, secret_sha256="", hostnames=(), created_at=0)
        for one in ("tok_1", "tok_2")
    ]
    session = {"token_id": "tok_2", "in_flight": 2, "since": 5, "agent": "a", "round_trip": None}
    sessions = [
        {**session, "state": "waiting"},
        {**session, "state": "attached", "round_trip": 0.2, "agent": "b", "since": 4},
        {**session, "token_id": "tok_3", "state": "attached"},
    ]
    away, here = tunnels_of(tokens, sessions)
    assert (away.is_online, away.in_flight, away.round_trip, away.since) == (False, 0, None, None)
    assert (here.is_online, here.in_flight, here.round_trip, here.since) == (True, 4, 0.2, 4)
    assert here.agents == ["a", "b"]
    assert not tunnels_of(tokens, sessions[:1])[1].is_online


async def until_others(one: House, old: set[object]) -> None:
    """Wait until the app has sessions that are none of these."""
    async with asyncio.timeout(20):
        while True:
            entries = one.edge.directory.entries
            if entries and not old & set(entries):
                return
            await asyncio.sleep(0.02)


async def test_sessions_are_ended_and_noted(tmp_path: Path) -> None:
    """All of a tunnel: the app comes back, and the audit log says who did it."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        old: set[object] = set(one.edge.directory.entries)
        response = await anna.post("/tunnels/shop/kick")
        assert response.status_code == 303
        assert response.headers["location"] == f"/tunnels/{one.live.token.id}?done=tunnel-kick"
        await until_others(one, old)
        row = AuditStore(one.path).newest()[0]
        assert (row.by, row.action, row.subject) == ("user:anna", "tunnel.kick", one.live.token.id)
        assert "tunnel.kick" in (await anna.get("/audit")).text
        assert "user:anna" in (await anna.get("/audit?q=kick")).text
        assert "user:anna" not in (await anna.get("/audit?q=nothing-like-it")).text


async def test_one_session_is_drained(tmp_path: Path) -> None:
    """The one that is named, and no other."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        async with asyncio.timeout(20):
            while len(one.edge.directory.entries) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        first, second = one.edge.directory.entries[:2]
        response = await anna.post("/tunnels/shop/drain", {"session": public_id(first)})
        assert response.status_code == 303
        assert not second.is_draining
        assert "session=" + public_id(first) in AuditStore(one.path).newest()[0].detail


async def test_nothing_is_done_that_cannot_be_noted(tmp_path: Path) -> None:
    """A store that cannot be written ends no session."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        before = list(one.edge.directory.entries)
        one.path.rename(one.path.with_suffix(".away"))
        response = await anna.post("/tunnels/shop/kick")
        one.path.with_suffix(".away").rename(one.path)
        assert response.status_code == 503
        assert "This cannot be done" in response.text
        assert one.edge.directory.entries == before


async def test_a_picture_of_the_address(tmp_path: Path) -> None:
    """For a phone; it runs nothing and loads nothing."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        response = await anna.get("/tunnels/shop/qr.svg")
        assert response.headers["content-type"] == "image/svg+xml"
        assert response.text.startswith("<svg xmlns=")
        assert "script" not in response.text
        assert "private" in response.headers["cache-control"]
        assert (await anna.get(f"/tunnels/{BLOG_ID}/qr.svg")).status_code == 200


async def test_numbers_of_a_tunnel_are_columns(tmp_path: Path) -> None:
    """All of equal length, also where nothing was; an unknown span is the shortest."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        for span, points in (("hour", 60), ("day", 144), ("week", 168), ("months", 120), ("x", 60)):
            found = (await anna.get(f"/tunnels/shop/numbers?span={span}")).json()
            assert {len(column) for column in found.values()} == {points}
            assert found["at"] == sorted(found["at"])


async def test_a_long_list_is_cut_and_searched(tmp_path: Path) -> None:
    """What is made anew for each who watches is bounded; a word finds the rest."""
    async with house(tmp_path, None) as one:
        store = Store(one.path)
        for number in range(SHOWN + 10):
            name = f"app{number:03}"
            record = TokenRecord(
                id=f"tok_{number:016x}",
                name=name,
                secret_sha256="0" * 64,
                hostnames=(f"{name}.example.test",),
                created_at=1,
            )
            store.create_token(record)
        await one.follow()
        anna = await one.somebody("anna")
        text = (await anna.get("/tunnels")).text
        assert text.count("<tr><td>") == SHOWN
        assert "And 12 more" in text
        assert "app209" not in text
        text = (await anna.get("/tunnels?q=app209")).text
        assert text.count("<tr><td>") == 1
        assert "more: find" not in text
