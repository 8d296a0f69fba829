"""The visitor of a replayed WebSocket: sends what was recorded, when it was its turn.

A message goes out once the app has sent as many as it had sent before that message when it was
recorded; an app that sends fewer now is waited for, and not for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from ..inspector.replay import Message
from ..protocol.codes import ResetCode
from ..protocol.frames import Buffer
from ..protocol.head import Fields, ResponseHead
from .websocket import NORMAL, WebSocketExchange

__all__ = ["PlayedVisitor"]

STEP_WAIT: Final = 1.0
"""Seconds without a message of the app after which the next one of the visitor is sent, or the
WebSocket closed after the last one: a reply that takes longer is not waited for."""


class PlayedVisitor:
    """See the module; it is the :class:`.types.StreamLink` of its exchange.

    Args:
        messages: What it sends, in order.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._due = deque(messages)
        self._exchange: WebSocketExchange | None = None
        self._seen = 0  # messages of the app
        self._is_open = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self, exchange: WebSocketExchange) -> None:
        """Take the exchange that it is the visitor of."""
        self._exchange = exchange

    def leave(self) -> None:
        """Send nothing more."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- StreamLink: what the app sends ------------------------------------------------------

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """Begin, unless the app denies the WebSocket."""
        if head.status == 101:
            self._is_open = True
            self._play_soon()
        return True

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """Count a message of the app, which may be what the next one waits for."""
        if self._is_open and not more:
            self._seen += 1
            self._play_soon()
        return True

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """There are none."""

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """The app has closed, or has been closed."""
        self.leave()

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """The app has failed."""
        self.leave()

    def consume(self, stream_id: int, flow_controlled_size: int) -> None:
        """There is no window: what was recorded has a bound."""

    def release(self, stream_id: int) -> None:
        """The exchange is over."""
        self.leave()

    # -- what the visitor sends --------------------------------------------------------------

    def _play_soon(self) -> None:
        """Go on in another turn of the event loop: the app is within its ``send()`` now."""
        self._wait(0.0)

    def _play(self) -> None:
        """Send what is due, and wait for the app."""
        due, exchange = self._due, self._exchange
        while self._is_open and exchange is not None and due and due[0][1] <= self._seen:
            data, _ = due.popleft()
            is_text = isinstance(data, str)
            raw = data.encode() if isinstance(data, str) else data
            exchange.on_data(raw, 0, False, is_text, False)
        self._wait(STEP_WAIT)

    def _go_on(self) -> None:
        """The app sends nothing: send the next message, or close after the last one."""
        if self._due:
            self._seen = max(self._seen, self._due[0][1])
            self._play()
        elif self._exchange is not None:
            self._exchange.on_close(NORMAL, "")

    def _wait(self, seconds: float) -> None:
        if not self._is_open:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._go_on if seconds else self._play)
