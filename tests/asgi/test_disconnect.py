from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from tests.asgi.memory import ACCEPT, CLOSE, Tunnelled, Visitor, body, rest, start, text, until

from asgi_tunnel.asgi.http import is_disconnect
from asgi_tunnel.errors import ClientDisconnectedError


class Sender:
    """An app that starts a response and sends one body event each time the test says so."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.is_started = False
        self.errors: list[BaseException] = []
        self.sent = 0
        self.is_cancelled = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send two events after ``go``."""
        try:
            await send(start())
            self.is_started = True
            await self.go.wait()
            for _ in range(2):
                await send(body(b"more", more=True))
                self.sent += 1
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        except Exception as error:
            self.errors.append(error)
            raise


async def gone(tunnel: Tunnelled) -> Visitor:
    """A visitor who has left after the start of the response."""
    visitor = await tunnel.ask().started()
    visitor.leave()
    await rest()
    return visitor


async def test_send_after_a_disconnect_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A46: with "2.3" a send after the disconnect returns at once, and nothing is logged."""
    app = Sender()
    tunnel = Tunnelled(app)
    await gone(tunnel)
    app.go.set()
    await tunnel.returned()
    assert (app.sent, app.errors) == (2, [])
    assert not caplog.records


async def test_send_after_a_disconnect_raises_when_asked_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A46: with "2.4" it raises an OSError, which is not logged when it comes out of the app."""
    app = Sender()
    tunnel = Tunnelled(app, spec_version="2.4")
    await gone(tunnel)
    app.go.set()
    await tunnel.returned()
    assert [type(one) for one in app.errors] == [ClientDisconnectedError]
    assert isinstance(app.errors[0], OSError)
    assert not caplog.records


async def test_a_waiting_send_raises_with_2_4() -> None:
    """A46: with "2.4" a send that waits for a slow visitor raises when it leaves."""
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            await send(body(bytes(1_000_000), more=True))
        except OSError as error:
            errors.append(error)

    tunnel = Tunnelled(app, spec_version="2.4")
    visitor = await tunnel.ask(reads=False).started()
    await rest()
    assert not errors
    visitor.leave()
    await tunnel.returned()
    assert [type(one) for one in errors] == [ClientDisconnectedError]


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("version", ["2.3", "2.4"])
async def test_starlette_ends_a_stream(
    caplog: pytest.LogCaptureFixture, version: str, middleware: bool
) -> None:
    """A46: a busy Starlette stream ends in both modes, also behind BaseHTTPMiddleware, silently."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    is_over = asyncio.Event()

    async def numbers() -> Any:
        try:
            while True:
                yield b"data\n"
                await asyncio.sleep(0)
        finally:
            is_over.set()

    async def stream(request: Any) -> Any:
        return StreamingResponse(numbers())

    async def pass_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    stack = [Middleware(BaseHTTPMiddleware, dispatch=pass_on)] if middleware else []
    app = Starlette(routes=[Route("/", stream)], middleware=stack)
    tunnel = Tunnelled(app, spec_version=version)
    visitor = tunnel.ask()
    await until(lambda: visitor.pieces)
    visitor.leave()
    await tunnel.returned()
    gc.collect()  # with "2.4" the generator is left to the collector
    await until(is_over.is_set, "the generator goes on")
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_an_idle_starlette_stream_ends_at_once_with_2_3() -> None:
    """A46: with "2.3" an event stream that has nothing to send hears of the disconnect at once."""
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def idle() -> Any:
        yield b": hello\n\n"
        await asyncio.Event().wait()

    async def stream(request: Any) -> Any:
        return StreamingResponse(idle())

    tunnel = Tunnelled(Starlette(routes=[Route("/", stream)]))
    visitor = tunnel.ask()
    await until(lambda: visitor.pieces)
    visitor.leave()
    await tunnel.returned()


async def test_a_websocket_send_after_the_end_raises() -> None:
    """A47: ``websocket.send`` after the disconnect raises an OSError that tells the code."""
    errors: list[ClientDisconnectedError] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["asgi"]["spec_version"] == "2.5"
        await send(ACCEPT)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        for _ in range(2):
            try:
                await send(text("too late"))
            except ClientDisconnectedError as error:
                errors.append(error)

    tunnel = Tunnelled(app)
    visitor = await tunnel.connect().started()
    visitor.close(4000)
    await tunnel.returned()
    assert [(one.event, one.code) for one in errors] == [("websocket.send", 4000)] * 2


async def test_a_websocket_close_after_the_end_does_nothing() -> None:
    """A47: ``websocket.close`` after the disconnect is silent: cleanup code sends it blindly."""
    codes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        while (message := await receive())["type"] != "websocket.disconnect":
            pass
        await send(CLOSE)
        codes.append(message["code"])

    tunnel = Tunnelled(app)
    visitor = await tunnel.connect().started()
    visitor.close(1001)
    await tunnel.returned()
    assert codes == [1001]


def wrapped(how: str) -> BaseException:
    """Our disconnect error as frameworks hand it on."""
    ours = ClientDisconnectedError()
    outer: BaseException = RuntimeError("outer")
    if how == "cause":
        outer.__cause__ = ours
    elif how == "context":
        outer.__context__ = ours
    elif how == "group":
        outer = BaseExceptionGroup("outer", [ValueError(), ExceptionGroup("inner", [ours])])
    else:  # as Starlette's BaseHTTPMiddleware does
        outer = ExceptionGroup("outer", [ours])
        ours.__context__ = outer
    return outer


@pytest.mark.parametrize("how", ["cause", "context", "group", "cycle"])
async def test_our_own_error_is_not_logged(caplog: pytest.LogCaptureFixture, how: str) -> None:
    """A48: the disconnect error is no error of the app's, however deep and cyclic its wrapping."""
    error = wrapped(how)
    assert is_disconnect(error)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        raise error

    tunnel = Tunnelled(app)
    visitor = await tunnel.connect().started()
    visitor.close(1000)
    await tunnel.returned()
    assert not caplog.records
    error.__context__ = error.__cause__ = None  # pytest's reports cannot walk a cycle


def test_a_cycle_without_our_error_is_the_apps() -> None:
    """A48: the search for our error ends in a cycle that does not hold it."""
    one, two = ValueError(), KeyError()
    one.__context__, two.__context__ = two, one
    assert not is_disconnect(one)
    two.__context__ = None


async def test_anothers_disconnect_is_an_error_here(caplog: pytest.LogCaptureFixture) -> None:
    """A48: a request that fails at a WebSocket which is gone is answered with 500 and logged."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnectedError

    tunnel = Tunnelled(app)
    visitor = await tunnel.get()
    await tunnel.returned()
    assert visitor.status == 500
    assert "ClientDisconnectedError" in caplog.text


@pytest.mark.parametrize("how", ["leave", "cut", "end"])
async def test_a_disconnect_does_not_cancel_the_app(how: str) -> None:
    """A49: work goes on to its end when the visitor leaves or the tunnel is lost."""
    app = Sender()
    tunnel = Tunnelled(app)
    visitor = await tunnel.ask().started()
    {"leave": visitor.leave, "cut": tunnel.cut, "end": tunnel.end}[how]()
    await rest()
    assert tunnel.origin.in_flight == 1
    app.go.set()
    await tunnel.returned()
    assert not app.is_cancelled
    assert app.sent == 2


async def test_an_app_that_never_listens_is_stopped_by_raising() -> None:
    """A50: a busy app that never receives goes on with "2.3" and is stopped by "2.4"."""
    is_stopped = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        while not is_stopped.is_set():
            await send(body(b"data", more=True))
            await asyncio.sleep(0)

    raising = Tunnelled(app, spec_version="2.4")
    await gone(raising)
    await raising.returned()
    silent = Tunnelled(app)
    await gone(silent)
    await rest()
    assert silent.origin.in_flight == 1
    is_stopped.set()
    await silent.returned()


async def test_litestar_and_quart_get_what_they_wait_for() -> None:
    """A50: frameworks that cancel their own stream do so on ``http.disconnect``, in both modes."""
    for version in ("2.3", "2.4"):
        is_cancelled = asyncio.Event()

        async def stream(send: Any, is_cancelled: asyncio.Event = is_cancelled) -> None:
            try:
                while True:
                    await send(body(b"data", more=True))
                    await asyncio.sleep(0)
            finally:
                is_cancelled.set()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            streaming = asyncio.ensure_future(stream(send))
            while (await receive())["type"] != "http.disconnect":
                pass
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)

        tunnel = Tunnelled(app, spec_version=version)
        await gone(tunnel)
        await tunnel.returned()
        assert is_cancelled.is_set()
