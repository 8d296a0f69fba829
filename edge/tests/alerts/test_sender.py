"""How alerts reach a webhook, by real requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from edge.tests.alerts.webhook import Hook, status, webhook

from asgi_tunnel_edge.alerts import sender
from asgi_tunnel_edge.alerts.message import Alert
from asgi_tunnel_edge.alerts.sender import AlertSender, Webhook
from asgi_tunnel_edge.errors import AlertError


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(sender, "FIRST_WAIT", 0.001)


def alert(number: int = 1) -> Alert:
    """An alert of this number."""
    return Alert(event="test", state="firing", subject=str(number), since=0.0, message="m")


def target(hook: Hook) -> Webhook:
    """Where it is."""
    return Webhook(url=hook.url, secret="s", edge="example.org")


@asynccontextmanager
async def sending(hook: Hook) -> AsyncIterator[AlertSender]:
    """A sender that runs."""
    one = AlertSender(target(hook), wall=lambda: 1000.0)
    one.start()
    try:
        yield one
    finally:
        await one.stop()


def subjects(hook: Hook) -> list[list[int]]:
    """What each request is about."""
    return [[int(one["subject"]) for one in got.content["alerts"]] for got in hook.got]


async def test_it_arrives() -> None:
    """One POST of JSON, signed, with the whole URL."""
    async with webhook() as hook, sending(hook) as one:
        one.put([alert(1), alert(2)])
        got = await hook.next()
    assert subjects(hook) == [[1, 2]]
    assert got.fields["content-type"] == "application/json"
    assert got.fields["webhook-timestamp"] == "1000"
    assert got.fields["webhook-signature"].startswith("v1,")
    assert got.content["edge"] == "example.org"


@pytest.mark.parametrize("failure", [status(500), status(429, "Retry-After: 0"), b"nonsense", b""])
async def test_it_is_tried_again(failure: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """With the same id, so that a receiver can tell; the URL is in no log."""
    caplog.set_level(logging.INFO)
    async with webhook(failure, failure) as hook, sending(hook) as one:
        one.put([alert()])
        ids = {(await hook.next()).fields["webhook-id"] for _ in range(3)}
    assert len(ids) == 1
    assert len(hook.got) == 3
    ours = [record.getMessage() for record in caplog.records if "asgi" in record.name]
    assert len(ours) == 2
    assert all("the webhook at 127.0.0.1 " in line for line in ours)
    assert "secret" not in "".join(ours)


@pytest.mark.parametrize("number", [301, 302, 307, 400, 401, 404, 410])
async def test_it_is_given_up(number: int, caplog: pytest.LogCaptureFixture) -> None:
    """What will fail again is not repeated, and a redirect leads nowhere; the next one is sent."""
    async with webhook() as elsewhere:
        where = f"Location: {elsewhere.url}"
        async with webhook(status(number, where)) as hook, sending(hook) as one:
            one.put([alert(1)])
            await hook.next()
            one.put([alert(2)])
            await hook.next()
        assert not elsewhere.got
    assert subjects(hook) == [[1], [2]]
    assert f"1 alerts are given up: the webhook at 127.0.0.1 responded with {number}" in caplog.text


async def test_a_webhook_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its time, and then the next try."""
    monkeypatch.setattr(sender, "TIMEOUT", 0.2)
    async with webhook(None) as hook, sending(hook) as one:
        one.put([alert()])
        await hook.next()
        await hook.next()


async def test_it_ends_some_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be sent for long is history."""
    monkeypatch.setattr(sender, "GIVE_UP", 0.0)
    async with webhook(status(500)) as hook, sending(hook) as one:
        one.put([alert()])
        await hook.next()
        one.put([alert(2)])
        await hook.next()
    assert "given up" in caplog.text


async def test_many_are_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded; the newest stay, and the next request says how many are missing."""
    monkeypatch.setattr(sender, "MAX_WAITING", 250)
    async with webhook() as hook, sending(hook) as one:
        one.put([alert(number) for number in range(300)])
        for _ in range(3):
            await hook.next()
    assert subjects(hook) == [list(range(50, 150)), list(range(150, 250)), list(range(250, 300))]
    assert [got.content["left_out"] for got in hook.got] == [50, 0, 0]


async def test_the_end_does_not_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits gets a moment; what is lost by it is said."""
    monkeypatch.setattr(sender, "STOP_TIMEOUT", 0.05)
    async with webhook(None) as hook:
        one = AlertSender(target(hook))
        one.start()
        one.put([alert()])
        await hook.next()
        began = time.monotonic()
        await one.stop()
        assert time.monotonic() - began < 5
        await one.stop()
    assert "1 alerts were not sent before the end" in caplog.text


async def test_the_end_sends_what_waits() -> None:
    """As far as the webhook takes it."""
    async with webhook() as hook:
        async with sending(hook) as one:
            one.put([alert()])
            await asyncio.sleep(0)
        assert subjects(hook) == [[1]]


async def test_once() -> None:
    """For the command: sent once, and why it failed."""
    async with webhook(status(204), status(503)) as hook:
        one = AlertSender(target(hook))
        assert await one.send([alert()]) == 204
        with pytest.raises(AlertError, match="responded with 503"):
            await one.send([alert()])
    with pytest.raises(AlertError, match="could not be reached"):
        await one.send([alert()])


def test_it_is_not_shown() -> None:
    """The URL and the secret are in no traceback."""
    one = Webhook(url="https://hooks.example.net/T0/key", secret="s3cret", edge="example.org")
    assert repr(one) == "Webhook(host='hooks.example.net', edge='example.org')"
