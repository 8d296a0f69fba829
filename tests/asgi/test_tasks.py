from __future__ import annotations

import asyncio
import contextvars
import decimal
import functools
import gc
from typing import Any

import pytest
from tests.asgi.memory import ACCEPT, CLOSE, Tunnelled, body, rest, start, until

from asgi_tunnel.asgi.lifespan import IS_TUNNELLED, Lifespan

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request, a WebSocket or a lifespan."""
    if scope["type"] == "websocket":
        await send(ACCEPT)
        await send(CLOSE)
    elif scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": (await receive())["type"] + ".complete"})
    else:
        await send(start())
        await send(body(b"hello"))


async def test_tasks_are_held() -> None:
    """A71: a task that only waits for something of its own survives the garbage collector."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        scope["state"]["futures"].append(waiting)
        await waiting
        await send(start())
        await send(body(b"hello"))

    futures: list[asyncio.Future[None]] = []
    tunnel = Tunnelled(app, state={"futures": futures})
    visitor = tunnel.ask()
    await rest()
    gc.collect()
    assert tunnel.origin.in_flight == 1
    futures[0].set_result(None)
    assert (await visitor.over()).body == b"hello"
    await tunnel.returned()
    assert tunnel.origin.in_flight == 0


async def test_each_call_has_a_context_of_its_own() -> None:
    """A72: a call sees what the tunnel was started with, and nothing that another one has set."""
    seen: list[str] = []
    contents: list[tuple[bool, int]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(VARIABLE.get())
        contents.append((IS_TUNNELLED.get(), len(contextvars.copy_context())))
        VARIABLE.set("request")
        await hello(scope, receive, send)

    VARIABLE.set("tunnel")
    size = len(contextvars.copy_context())
    tunnel = Tunnelled(app)
    VARIABLE.set("later")
    await tunnel.get()
    await tunnel.get()
    await tunnel.connect().over()
    assert seen == ["tunnel"] * 3
    assert contents == [(True, size + 1)] * 3  # it does not grow
    assert VARIABLE.get() == "later"
    assert IS_TUNNELLED.get() is False


async def test_the_lifespan_has_a_context_of_its_own() -> None:
    """A72: it sees what is set where it starts; what it sets stays there."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(VARIABLE.get())
        assert IS_TUNNELLED.get() is True
        VARIABLE.set(scope["type"])
        await hello(scope, receive, send)

    VARIABLE.set("tunnel")
    lifespan = Lifespan(app)
    await lifespan.startup()
    await Tunnelled(app).get()
    await lifespan.shutdown()
    assert seen == ["tunnel", "tunnel"]
    assert IS_TUNNELLED.get() is False


async def test_decimal_numbers_are_as_exact_as_set_at_import() -> None:
    """A72: the precision of ``decimal`` is the one that the process has set."""
    precisions: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        precisions.append(decimal.getcontext().prec)
        await hello(scope, receive, send)

    with decimal.localcontext() as context:
        context.prec = 50
        await Tunnelled(app).get()
    assert precisions == [50]


async def test_each_call_is_a_task_of_its_own() -> None:
    """A73, A72: two requests at the same time run in two tasks, none of them the tunnel's."""
    tasks: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.current_task())
        await hello(scope, receive, send)

    tunnel = Tunnelled(app)
    first, second = tunnel.ask(), tunnel.ask()
    await first.over()
    await second.over()
    assert len({id(one) for one in (*tasks, asyncio.current_task())}) == 3


async def test_sync_views_run_on_a_thread_for_each_request() -> None:
    """A73: Django's sync views of two requests at the same time do not wait for one another."""
    import threading

    from asgiref.sync import ThreadSensitiveContext, sync_to_async

    meeting = threading.Barrier(2, timeout=10)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with ThreadSensitiveContext():
            await sync_to_async(meeting.wait, thread_sensitive=True)()
        await hello(scope, receive, send)

    tunnel = Tunnelled(app)
    visitors = [tunnel.ask(), tunnel.ask()]
    await until(lambda: tunnel.origin.in_flight == 2)
    await tunnel.origin.finish(15)
    await rest()
    assert [one.status for one in visitors] == [200, 200]


async def test_finish_waits_then_cancels(caplog: pytest.LogCaptureFixture) -> None:
    """A68, A74: calls in progress get their grace, then are cancelled, silently."""
    go = asyncio.Event()
    cancelled: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"hello"))
        try:
            await (go if scope["path"] == "/quick" else asyncio.Event()).wait()
        except asyncio.CancelledError:
            cancelled.append(scope["path"])
            raise

    tunnel = Tunnelled(app)
    await tunnel.get("/quick")
    await tunnel.get("/endless")
    asyncio.get_running_loop().call_later(0.02, go.set)
    await tunnel.origin.finish(0.1)
    assert cancelled == ["/endless"]
    assert tunnel.origin.in_flight == 0
    assert not caplog.records


class Methods:
    """Holds apps that are no plain functions."""

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        """A bound method."""
        await hello(scope, receive, send)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """An instance."""
        await hello(scope, receive, send)


async def with_more(more: int, scope: Any, receive: Any, send: Any) -> None:
    """The function of a partial."""
    await hello(scope, receive, send)


class Awaited:
    """A class whose instances are awaited."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.call = hello(scope, receive, send)

    def __await__(self) -> Any:
        """Do it."""
        return self.call.__await__()


class Double:
    """An ASGI 2 app as a class."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        """The second call."""
        await hello(self.scope, receive, send)


def double(scope: Any) -> Any:
    """An ASGI 2 app as a function."""
    return functools.partial(hello, scope)


def plain(scope: Any, receive: Any, send: Any) -> Any:
    """A plain function that returns an awaitable."""
    return hello(scope, receive, send)


async def anything(*arguments: Any) -> None:
    """A wrapper that passes everything on."""
    await hello(*arguments)


@pytest.mark.parametrize(
    "app",
    [
        hello,
        plain,
        anything,
        Methods(),
        Methods().method,
        functools.partial(with_more, 1),
        functools.partial(hello),
        Awaited,
        Double,
        double,
        functools.partial(double),
    ],
)
async def test_apps_come_in_all_forms(app: Any) -> None:
    """A75: methods, partials, awaited classes and ASGI 2 apps serve all three kinds of scope."""
    lifespan = Lifespan(app, required=True)
    await lifespan.startup()
    tunnel = Tunnelled(app, state=lifespan.state)
    assert (await tunnel.get()).body == b"hello"
    assert (await tunnel.connect().over()).closed == (1000, "")
    await lifespan.shutdown()
