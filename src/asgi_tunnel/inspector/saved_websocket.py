"""The test of a WebSocket: sends what its visitor sent, and asserts that it is served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .literals import columns, text_literal
from .recorded import Detail
from .replay import Message
from .saved_module import WIDTH, SavedModule

__all__ = ["SavedWebSocket"]

RECEIVE_TIMEOUT: Final = 10
"""Seconds that the test waits for all messages."""

CLOSE_WAIT: Final = 1
"""Seconds that it gives the app for what it does after the last message."""


class SavedWebSocket(SavedModule):
    """See the module.

    Args:
        detail: The exchange.
        app: As that of :class:`.saved_module.SavedModule`.
        messages: What its visitor sent.
    """

    def __init__(self, detail: Detail, app: str, messages: Sequence[Message]) -> None:
        super().__init__(detail, app)
        self._messages = messages

    def write(self) -> str:
        """Return the source."""
        path = str(self.detail["path"])
        status = self.detail["status"]
        is_denied = status is not None and 300 <= status < 500
        begin = [
            "async with edge.websocket(",
            *(f"    {one}," for one in [text_literal(path), *self.arguments]),
            ") as socket:",
        ]
        doc = f"The WebSocket {path.partition('?')[0]}"
        if is_denied:
            self.names.append("WebSocketDeniedError")
            block = ["with pytest.raises(WebSocketDeniedError) as denied:"]
            block += [f"    {line}" for line in [*begin, "    pass"]]
            end, doc = f"assert denied.value.status == {status}", f"{doc} is denied with {status}"
        else:
            self.imports.add("anyio")
            block = [*begin, *(f"    {line}" for line in self._talk())]
            end, doc = "assert socket.close_code != 1011", f"{doc} is served without an error"
        lines = ["async with LocalEdge(app) as edge:", *(f"    {line}" for line in block), end]
        if self.detail["error"] and not is_denied:
            lines.append(self.check_log())
        return self.module([], doc, lines)

    def _talk(self) -> list[str]:
        """Return what its visitor does: sends what it sent, after as many messages of the app."""
        lines = []
        received = 0
        for data, before in self._messages:
            lines += ["await socket.receive()"] * (before - received)
            received = before
            verb = "send_text" if isinstance(data, str) else "send_bytes"
            given = text_literal(data) if isinstance(data, str) else _bytes_literal(data)
            line = f"await socket.{verb}({given})"
            # In a block of a block, indented four times.
            if columns(line) > WIDTH - 20:
                line = f"await socket.{verb}(\n                    {given},\n                )"
            lines.append(line)
        return [
            *([f"with anyio.fail_after({RECEIVE_TIMEOUT}):"] if lines else []),
            *(f"    {line}" for line in lines),
            f"with anyio.move_on_after({CLOSE_WAIT}):  # s, for what the app does last",
            "    async for _ in socket:",
            "        pass",
        ]


def _bytes_literal(data: bytes) -> str:
    """Return bytes as a literal in double quotes."""
    inner = "".join(
        chr(one) if 32 <= one < 127 and chr(one) not in '\\"' else f"\\x{one:02x}" for one in data
    )
    return f'b"{inner}"'
