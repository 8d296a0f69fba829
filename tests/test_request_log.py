"""One line of the log for each request of the runner."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import nullcontext
from typing import Any

import pytest

from asgi_tunnel.asgi.types import Message
from asgi_tunnel.request_log import RequestLog

START: Message = {"type": "http.response.start", "status": 201, "headers": []}
PIECE: Message = {"type": "http.response.body", "body": b"a", "more_body": True}
LAST: Message = {"type": "http.response.body", "body": b"b"}
DENIED: Message = {"type": "websocket.http.response.start", "status": 401, "headers": []}
DENIAL: Message = {"type": "websocket.http.response.body", "body": b""}


async def logged(
    caplog: pytest.LogCaptureFixture,
    *messages: Message,
    error: BaseException | None = None,
    **scope: Any,
) -> list[str]:
    """Serve one call of an app that sends these messages; return the lines, without the time."""
    caplog.set_level(logging.INFO)
    sent: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        if error is not None:
            raise error

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    full = {"type": "http", "method": "GET", "raw_path": b"/", "query_string": b"key=1", **scope}
    with nullcontext() if error is None else pytest.raises(type(error)):
        await RequestLog(app)(full, receive, send)
    assert sent == list(messages)
    return [re.sub(r" \d+\.\d ms", " T ms", one.getMessage()) for one in caplog.records]


@pytest.mark.parametrize(
    ("messages", "error", "line"),
    [
        ((START, LAST), None, "GET / 201 T ms"),
        ((START, PIECE, PIECE, LAST), None, "GET / 201 T ms"),
        ((START, LAST), ValueError("in the background"), "GET / 201 T ms"),
        ((), ValueError("why"), "GET / 500 T ms"),
        ((), None, "GET / 500 T ms"),
        ((START, PIECE), ValueError("why"), "GET / 201 T ms, not complete"),
        ((START, PIECE), asyncio.CancelledError(), "GET / 201 T ms, not complete"),
    ],
)
async def test_each_exchange_has_one_line(
    caplog: pytest.LogCaptureFixture,
    messages: tuple[Message, ...],
    error: BaseException | None,
    line: str,
) -> None:
    """Method, path, status and time are logged once, however the exchange ends."""
    assert await logged(caplog, *messages, error=error) == [line]


@pytest.mark.parametrize(
    ("messages", "line"),
    [
        (({"type": "websocket.accept"}, {"type": "websocket.close"}), "WebSocket / 101 T ms"),
        (({"type": "websocket.close"},), "WebSocket / 403 T ms"),
        ((DENIED, DENIAL), "WebSocket / 401 T ms"),
    ],
)
async def test_each_websocket_has_one_line(
    caplog: pytest.LogCaptureFixture, messages: tuple[Message, ...], line: str
) -> None:
    """A WebSocket is logged when it is accepted or refused."""
    assert await logged(caplog, *messages, type="websocket") == [line]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/a%20b", "/a%20b"),
        (b"/a\nINFO: forged", "/a\\nINFO: forged"),
        (b"/\x1b[31m\xff", "/\\x1b[31m\\xff"),
        (b"/" + b"a" * 5000, "/" + "a" * 199 + "..."),
    ],
)
async def test_a_path_stays_one_line(
    caplog: pytest.LogCaptureFixture, path: bytes, shown: str
) -> None:
    """A path cannot write lines of its own, nor long ones; the query string is left out."""
    assert await logged(caplog, START, LAST, raw_path=path) == [f"GET {shown} 201 T ms"]


async def test_nothing_is_done_when_the_level_is_higher(caplog: pytest.LogCaptureFixture) -> None:
    """Where INFO is off, the app gets the server's own ``send``."""
    caplog.set_level(logging.WARNING, "asgi_tunnel.requests")
    got: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(send)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await RequestLog(app)({"type": "http"}, send, send)  # type: ignore[arg-type]
    assert got == [send]
