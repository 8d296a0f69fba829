from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.asgi.memory import Tunnelled, body, rest, start

from asgi_tunnel.asgi.lifespan import Lifespan, LifespanError
from asgi_tunnel.asgi.types import Message

STARTED: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}


class Life:
    """An app with a lifespan that notes what happens.

    Args:
        startup: Sent after the startup message; None to raise.
        shutdown: Sent after the shutdown message; None to raise.
    """

    def __init__(
        self, startup: Message | None = STARTED, shutdown: Message | None = STOPPED
    ) -> None:
        self.startup = startup
        self.shutdown = shutdown
        self.scope: Any = None
        self.log: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer the lifespan, or a request."""
        if scope["type"] != "lifespan":
            self.log.append("request")
            await send(start())
            await send(body(str(scope["state"]["pool"]).encode()))
            return
        self.scope = scope
        scope["state"]["pool"] = 7
        for answer in (self.startup, self.shutdown):
            self.log.append((await receive())["type"])
            if answer is None:
                raise ValueError("broken")
            await send(answer)


async def test_the_app_is_called_once_with_a_lifespan_scope() -> None:
    """A65: one call with ``lifespan``, spec_version 2.0 and an empty state, before any request."""
    app = Life()
    lifespan = Lifespan(app)
    await lifespan.startup()
    assert app.scope["type"] == "lifespan"
    assert app.scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    assert lifespan.state == {"pool": 7}
    visitor = await Tunnelled(app, state=lifespan.state).get()
    assert visitor.body == b"7"
    await lifespan.shutdown()
    assert app.log == ["lifespan.startup", "request", "lifespan.shutdown"]


async def test_startup_waits_for_complete() -> None:
    """A65: ``startup()`` returns when the app has said that it is ready."""
    ready = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await ready.wait()
        await send(STARTED)
        await receive()
        await send(STOPPED)

    lifespan = Lifespan(app)
    starting = asyncio.ensure_future(lifespan.startup())
    await rest()
    assert not starting.done()
    ready.set()
    await starting
    await lifespan.shutdown()


async def raises(scope: Any, receive: Any, send: Any) -> None:
    """Raise at once, as Django and Channels do."""
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")


async def raises_later(scope: Any, receive: Any, send: Any) -> None:
    """Raise after the first message."""
    await receive()
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")


async def returns(scope: Any, receive: Any, send: Any) -> None:
    """Return without a word."""


async def cancels(scope: Any, receive: Any, send: Any) -> None:
    """Raise a CancelledError that nobody asked for."""
    raise asyncio.CancelledError


@pytest.mark.parametrize("app", [raises, raises_later, returns])
async def test_an_app_without_lifespan_is_served(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A66, A17: raising or returning without a word means no lifespan; state is empty."""
    lifespan = Lifespan(app)
    await lifespan.startup()
    await lifespan.shutdown()
    assert lifespan.state == {}
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_a_startup_that_raises_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The app is served without it, and the log has the traceback."""
    lifespan = Lifespan(cancels)
    await lifespan.startup()
    await lifespan.shutdown()
    (record,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert record.exc_info is not None


@pytest.mark.parametrize("app", [raises, returns])
async def test_a_required_lifespan_has_to_be_there(app: Any) -> None:
    """A66: with ``lifespan="on"`` an app without one does not start."""
    with pytest.raises(LifespanError, match="no lifespan"):
        await Lifespan(app, required=True).startup()


async def test_startup_failed_is_an_error() -> None:
    """A67: ``startup.failed`` raises with the app's message."""
    app = Life({"type": "lifespan.startup.failed", "message": "no database"})
    with pytest.raises(LifespanError, match="no database"):
        await Lifespan(app).startup()


async def test_startup_failed_and_raise_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A67: an app that says failed and then raises, as Starlette does, is not reported twice."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})
        raise ValueError("the reason")

    lifespan = Lifespan(app)
    with pytest.raises(LifespanError, match=r"lifespan\.startup\.failed"):
        await lifespan.startup()
    await rest()
    await lifespan.shutdown()
    assert not caplog.records


async def test_shutdown_waits_for_the_app() -> None:
    """A68: ``shutdown()`` returns when the app has said complete and returned."""
    go = asyncio.Event()
    is_over = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal is_over
        await receive()
        await send(STARTED)
        await receive()
        await go.wait()
        await send(STOPPED)
        await asyncio.sleep(0)
        is_over = True

    lifespan = Lifespan(app)
    await lifespan.startup()
    stopping = asyncio.ensure_future(lifespan.shutdown())
    await rest()
    assert not stopping.done()
    go.set()
    await stopping
    assert is_over


async def test_shutdown_failed_is_an_error() -> None:
    """A68: ``shutdown.failed`` raises with the app's message."""
    lifespan = Lifespan(Life(shutdown={"type": "lifespan.shutdown.failed", "message": "disk full"}))
    await lifespan.startup()
    with pytest.raises(LifespanError, match="disk full"):
        await lifespan.shutdown()


async def test_an_error_during_shutdown_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """A68: an app that raises instead of a response has shut down; the log has the traceback."""
    lifespan = Lifespan(Life(shutdown=None))
    await lifespan.startup()
    await lifespan.shutdown()
    assert "broken" in caplog.text


async def test_an_app_may_leave_its_lifespan_early() -> None:
    """A68: an app that returns after ``startup.complete`` is shut down without waiting."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(STARTED)

    lifespan = Lifespan(app)
    await lifespan.startup()
    await rest()
    await lifespan.shutdown()


async def test_an_app_that_never_returns_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A68: an app that goes on receiving after its last word is cancelled after a while."""
    monkeypatch.setattr("asgi_tunnel.asgi.lifespan.RETURN_TIMEOUT", 0.01)
    is_cancelled = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal is_cancelled
        try:
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
        finally:
            is_cancelled = True

    lifespan = Lifespan(app)
    await lifespan.startup()
    await lifespan.shutdown()
    await rest()
    assert is_cancelled


@pytest.mark.parametrize("step", ["startup", "shutdown"])
async def test_a_cancelled_step_cancels_the_app(
    step: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A69: who no longer waits for the app cancels it, and its ``finally`` runs."""
    is_cancelled = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal is_cancelled
        await receive()
        try:
            if step == "shutdown":
                await send(STARTED)
                await receive()
            await asyncio.Event().wait()
        finally:
            is_cancelled = True

    lifespan = Lifespan(app)
    if step == "shutdown":
        await lifespan.startup()
    waiting = asyncio.ensure_future(getattr(lifespan, step)())
    await rest()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await rest()
    assert is_cancelled
    assert not caplog.records


@pytest.mark.parametrize(
    "messages",
    [
        [STOPPED],
        [{"type": "lifespan.unknown"}],
        [STARTED, STARTED],
        [STARTED, STOPPED],
        [STARTED, {"type": "lifespan.startup.failed"}],
    ],
)
async def test_wrong_messages_raise_in_the_app(messages: list[Message]) -> None:
    """A70: a message out of order or unknown raises in the app's ``send()``."""
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            try:
                await send(message)
            except RuntimeError as error:
                errors.append(error)

    lifespan = Lifespan(app)
    await lifespan.startup()
    await rest()
    assert len(errors) == 1
    assert str(messages[-1]["type"]) in str(errors[0])


class OutOfLine(BaseException):
    """Of an app, or of a test that fails in it."""


@pytest.mark.parametrize("step", ["startup", "shutdown"])
async def test_what_is_no_exception_ends_it_too(
    step: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the process would wait for ever, and say nothing of why."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if step == "shutdown":
            await send(STARTED)
            await receive()
        raise OutOfLine("neither here nor there")

    lifespan = Lifespan(app)
    async with asyncio.timeout(10):
        await lifespan.startup()
        await lifespan.shutdown()
    assert "OutOfLine: neither here nor there" in caplog.text
