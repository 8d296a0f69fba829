from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from asgi_tunnel_edge.channel import MAX_MESSAGE, Channel
from asgi_tunnel_edge.supervision import ParentLink

if TYPE_CHECKING:
    import pytest


async def test_every_question_gets_a_reply(caplog: pytest.LogCaptureFixture) -> None:
    """T96: a defect, or a reply that is too large for the channel, is said, and the next works."""
    ours, theirs = socket.socketpair()
    parent, channel = Channel(ours), Channel(theirs)
    link = ParentLink(channel, {"sockets": {}})

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["command"] == "large":
            return {"text": "x" * MAX_MESSAGE}
        return {"ok": True, "found": request["key"]}

    link.serve(answer)
    try:
        for number, request in enumerate(
            ({"command": "broken"}, {"command": "large"}, {"command": "good", "key": 7})
        ):
            parent.send({"type": "ask", "id": number, "request": request})
        replies: list[dict[str, Any]] = []
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(parent.fileno(), readable.set)
        while len(replies) < 3:
            await asyncio.wait_for(readable.wait(), 20)
            readable.clear()
            found = parent.receive()
            assert found is not None
            replies += found
        loop.remove_reader(parent.fileno())
        failed = {"ok": False, "error": "the edge failed to answer; its log says why"}
        assert {one["id"]: one["reply"] for one in replies} == {
            0: failed,
            1: failed,
            2: {"ok": True, "found": 7},
        }
        assert [one.getMessage() for one in caplog.records] == [
            "broken was not answered by a defect",
            "large was not answered by a defect",
        ]
    finally:
        asyncio.get_running_loop().remove_reader(channel.fileno())
        parent.close()
        channel.close()
