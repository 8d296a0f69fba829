"""Questions to an inspector over a session: what comes back, and what every failure says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgi_tunnel.asgi.origin import Idle, Origin
from asgi_tunnel.asgi.types import StreamHandler, StreamLink
from asgi_tunnel.protocol.codes import GoawayCode, ResetCode
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.head import LINE_MARK, take_lines
from asgi_tunnel.session import Session
from asgi_tunnel_edge.endpoints.local_app import LocalUpstream
from asgi_tunnel_edge.inspection import Inquiry, InspectionError, Inspectors, client

App = Callable[[Any, Any, Any], Awaitable[None]]
LIVE = Inquiry(target="/live", by="anna")


class AppSide(Origin):
    """Gives requests with the line to an inspector, as an app's side does; none: refuses them."""

    def __init__(self, inspector: App | None) -> None:
        super().__init__(inspector or refuse_all)
        self.has_inspector = inspector is not None
        self.asked: list[Any] = []

    def serve(self, link: StreamLink, event: StreamOpened) -> StreamHandler:
        """Note who asks."""
        assert event.head.fields[-1][0].startswith(LINE_MARK)
        lines = take_lines(event.head.fields)
        assert lines.inspect is not None
        self.asked.append(json.loads(lines.inspect))
        if not self.has_inspector:
            link.reset_stream(event.stream_id, ResetCode.REFUSED, "no inspector")
            return Idle()
        return self.call_app(link, event)


async def refuse_all(scope: Any, receive: Any, send: Any) -> None:
    """No inspector calls an app."""
    raise AssertionError(scope)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Say what was asked."""
    message = await receive()
    said = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "body": message["body"].decode(),
    }
    fields = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 201, "headers": fields})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


class Stage:
    """A session to an app's side in this process."""

    def __init__(self, inspector: App | None, *, takes_inspect: bool = True) -> None:
        self.app_side = AppSide(inspector)
        self.upstream = LocalUpstream(self.app_side.serve)
        self.upstream.start()
        session = self.upstream.route.choose()
        assert session is not None
        self.session: Session = session
        self.session.takes_inspect = takes_inspect
        self.inspectors = Inspectors(lambda: b"r1")

    async def ask(self, target: str = "/state", **values: Any) -> client.InspectorReply:
        """Ask as anna."""
        return await self.inspectors.ask(self.session, Inquiry(target=target, by="anna", **values))


async def test_a_question_and_its_reply() -> None:
    """Method, path, query and body arrive; so does who asks, and what they may."""
    stage = Stage(echo)
    reply = await stage.ask("/x?a=1", method="POST", body=b"{}", may_write=True)
    assert (reply.status, reply.type) == (201, "application/json")
    assert reply.json() == {"method": "POST", "path": "/x", "query": "a=1", "body": "{}"}
    assert stage.app_side.asked == [{"by": "anna", "may_write": True}]
    assert stage.session.in_flight == 0


async def test_a_reply_of_several_windows() -> None:
    """The window is given back as it is read."""
    data = bytes(range(256)) * 8192

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(4):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    assert (await Stage(large).ask()).body == data * 4


async def test_an_app_without_an_inspector() -> None:
    """Its side has not named the capability, and is never asked; or it has just switched it off."""
    silent = Stage(echo, takes_inspect=False)
    with pytest.raises(InspectionError, match="no inspector") as error:
        await silent.ask()
    assert (error.value.reason, silent.app_side.asked) == ("off", [])
    with pytest.raises(InspectionError, match="no inspector") as error:
        await Stage(None).ask()
    assert error.value.reason == "off"


async def test_an_app_that_is_away_or_goes() -> None:
    """Each is said at once; nobody waits for a timeout."""
    asked = asyncio.Event()

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    stage = Stage(silent)
    question = asyncio.create_task(stage.ask())
    await asked.wait()
    stage.session.terminate(GoawayCode.SHUTDOWN, "over")
    with pytest.raises(InspectionError, match="lost meanwhile"):
        await question
    with pytest.raises(InspectionError, match="not connected") as error:
        await stage.ask()
    assert error.value.reason == "away"


@pytest.mark.plain
async def test_an_inspector_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that nobody waits any more."""
    monkeypatch.setattr(client, "TIMEOUT", 0.1)
    gone = asyncio.Event()

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    stage = Stage(silent)
    with pytest.raises(InspectionError, match=r"did not reply in 0\.1 s"):
        await stage.ask()
    await gone.wait()
    assert stage.session.in_flight == 0


@pytest.mark.plain
async def test_a_reply_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the bound is kept."""
    monkeypatch.setattr(client, "MAX_REPLY", 1000)

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 600, "more_body": True})

    stage = Stage(endless)
    with pytest.raises(InspectionError, match="more than 1000 bytes"):
        await stage.ask()
    await stage.app_side.finish(0)


async def test_a_reply_that_is_no_object() -> None:
    """An app's side may say anything."""

    async def odd(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"[" * 100_000})

    reply = await Stage(odd).ask()
    with pytest.raises(InspectionError, match="no object"):
        reply.json()


async def test_too_many_questions() -> None:
    """The next one is refused, and served again when one of them is over."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    stage = Stage(silent)
    questions = [asyncio.create_task(stage.ask()) for _ in range(client.MAX_ASKED)]
    await asyncio.sleep(0)  # each is sent
    assert stage.session.in_flight == client.MAX_ASKED
    with pytest.raises(InspectionError, match="wait for their replies") as error:
        await stage.ask()
    assert error.value.reason == "busy"
    for one in questions:
        one.cancel()
    await asyncio.gather(*questions, return_exceptions=True)
    assert stage.session.in_flight == 0


async def test_following_and_leaving() -> None:
    """What is sent is read as it comes; who leaves is noticed at the other end."""
    gone = asyncio.Event()

    async def live(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for number in range(2):
            data = b"data: %d\n\n" % number
            await send({"type": "http.response.body", "body": data, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    stage = Stage(live)
    found = b""
    async with stage.inspectors.follow(stage.session, LIVE) as pieces:
        async for piece in pieces:
            found += piece
            if b"data: 1" in found:
                break
    assert found == b"data: 0\n\ndata: 1\n\n"
    await gone.wait()


@pytest.mark.plain
async def test_too_many_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is refused, and let in when one has left."""
    monkeypatch.setattr(client, "MAX_FOLLOWED", 1)

    async def live(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    stage = Stage(live)
    async with stage.inspectors.follow(stage.session, LIVE):
        with pytest.raises(InspectionError, match="1 pages follow"):
            async with stage.inspectors.follow(stage.session, LIVE):
                pass
    async with stage.inspectors.follow(stage.session, LIVE) as pieces:
        assert await anext(pieces) == b"hello"


async def test_what_cannot_be_followed() -> None:
    """A reply of another status is an error, and not a stream."""
    stage = Stage(echo)
    with pytest.raises(InspectionError, match="replied with 201"):
        async with stage.inspectors.follow(stage.session, LIVE):
            pass
