"""Where the time of an exchange went, as its response says it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from edge.tests.live import PLAIN, SHOP, live_edge

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.head import ASK_DURATION, DURATION, Fields, ResponseHead
from asgi_tunnel_edge.exchange.timed import TimedHTTPExchange

from .fakes import FakeRoute, FakeUpstream, ListWriter, Log, head_of, request_of

PARTS = re.compile(r'(\w+)(?:;desc="([^"]*)")?;dur=([0-9]+\.[0-9]{2})')


def parts_of(value: str | bytes) -> dict[str, float]:
    """The parts of a field's value, in their order, in milliseconds."""
    text = value if isinstance(value, str) else value.decode()
    found = PARTS.findall(text)
    assert ", ".join(m[0] for m in PARTS.finditer(text)) == text
    return {name: float(duration) for name, _, duration in found}


class Stage:
    """An exchange between two fakes; without an upstream it waits."""

    def __init__(self, upstream: FakeUpstream | None) -> None:
        self.route = FakeRoute(upstream)
        self.writer = ListWriter()
        self.exchange = TimedHTTPExchange(
            self.writer, request_of(), head_of(), self.route.as_route(), (Log(),)
        )
        self.exchange.start()

    def respond(self, *fields: tuple[bytes, bytes], status: int = 200) -> Fields:
        """Let the app respond; return the fields that the writer got."""
        self.exchange.on_head(ResponseHead(status, list(fields)), b"", True)
        return self.writer.fields


@pytest.mark.plain
def test_the_app_is_a_part_of_its_own() -> None:
    """Of what the app's side says the line is taken out, and one of the app's own stays."""
    upstream = FakeUpstream(tells_duration=True)
    stage = Stage(upstream)
    assert upstream.heads[0].fields == [ASK_DURATION]
    own = (b"server-timing", b"db;dur=1")
    assert stage.respond(own, (DURATION, b"0"))[0] == own
    assert len(stage.writer.fields) == 2
    name, value = stage.writer.fields[1]
    assert name == b"server-timing"
    assert list(parts_of(value)) == ["edge", "hold", "tunnel", "app"]


@pytest.mark.plain
def test_an_app_that_cannot_say_it() -> None:
    """Then tunnel is both, and says so; nothing was asked."""
    upstream = FakeUpstream()
    stage = Stage(upstream)
    assert upstream.heads[0].fields == []
    [(_, value)] = stage.respond()
    assert b'tunnel;desc="tunnel and app";dur=' in value
    assert list(parts_of(value)) == ["edge", "hold", "tunnel"]


@pytest.mark.plain
@pytest.mark.parametrize("value", [b"", b"-1", b"1.5", b"9" * 19, b"1e3"])
def test_a_duration_that_is_no_number(value: bytes) -> None:
    """It is left out; the visitor never sees the line."""
    [(_, timing)] = Stage(FakeUpstream(tells_duration=True)).respond((DURATION, value))
    assert "app" not in parts_of(timing)


@pytest.mark.plain
def test_a_duration_that_cannot_be() -> None:
    """An app cannot have taken longer than the whole: no part is below zero."""
    [(_, value)] = Stage(FakeUpstream(tells_duration=True)).respond((DURATION, b"9" * 18))
    parts = parts_of(value)
    assert parts["tunnel"] == 0
    assert parts["app"] < 60_000


@pytest.mark.plain
def test_a_duration_that_was_not_asked_for() -> None:
    """It stays, and no field may have such a name: the writer refuses the response."""
    fields = Stage(FakeUpstream()).respond((DURATION, b"5"))
    assert fields[0][0] == DURATION


@pytest.mark.plain
def test_a_wait_is_the_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts follow each other, and their sum is the whole; a lost try counts as a wait."""
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    stage = Stage(None)
    now[0] += 2.0
    lost = FakeUpstream(tells_duration=True)
    stage.route.wake(lost)
    now[0] += 1.0
    stage.route.ready = found = FakeUpstream()
    stage.exchange.on_reset(ResetCode.SESSION_LOST, "")
    assert (lost.heads[0].fields, found.heads[0].fields) == ([ASK_DURATION], [])
    now[0] += 0.5
    [(_, value)] = stage.respond()
    assert parts_of(value) == {"edge": 0, "hold": 3000, "tunnel": 500}


@pytest.mark.plain
def test_early_hints_have_none() -> None:
    """Only the head of the final response says where the time went."""
    stage = Stage(FakeUpstream())
    stage.respond(status=103)
    assert stage.writer.fields == []


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say which fields came, after a while, or raise."""
    if scope["path"] == "/raise":
        raise ValueError("as asked")
    await asyncio.sleep(0.05)
    fields = [(b"server-timing", b"db;dur=40"), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    names = b" ".join(name for name, _ in scope["headers"])
    await send({"type": "http.response.body", "body": names})


async def test_a_real_edge_and_app(tmp_path: Path) -> None:
    """On one hostname, and only there; no app hears that it was asked."""
    async with live_edge(tmp_path, app, hostnames={SHOP: {"server_timing": True}}) as live:
        answer = await live.get()
        own, ours = answer.values("server-timing")
        assert own == "db;dur=40"
        parts = parts_of(ours)
        assert list(parts) == ["edge", "hold", "tunnel", "app"]
        assert parts["app"] >= 49
        assert b":" not in answer.body
        plain = await live.get(host=PLAIN)
        assert plain.values("server-timing") == ["db;dur=40"]
        broken = await live.get("/raise")
        assert broken.status == 500
        assert "app" in parts_of(broken.values("server-timing")[0])


async def test_everywhere_but_not_on_one_hostname(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting of a hostname comes before that of the edge; an older app's side works too."""
    monkeypatch.setattr("asgi_tunnel.connector.DURATION", "something else")
    off = {PLAIN: {"server_timing": False}}
    async with live_edge(tmp_path, app, tracing={"server_timing": True}, hostnames=off) as live:
        timing = (await live.get()).values("server-timing")[1]
        assert 'tunnel;desc="tunnel and app"' in timing
        assert len((await live.get(host=PLAIN)).values("server-timing")) == 1
