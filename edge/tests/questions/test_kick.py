from __future__ import annotations

from typing import Any

import pytest

from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel_edge.questions import answer

from .world import World, open_stream


async def test_who_is_named_is_ended() -> None:
    """Its sessions end with a code that lets the app come back; all others stay."""
    world = World({"shop": ["shop.test"], "blog": ["blog.test"]})
    first, second, other = world.join("shop"), world.join("shop", slot=1), world.join("blog")
    open_stream(first)
    reply = await answer(world.edge, {"command": "kick", "names": ["shop"]})
    assert reply == {"ok": True, "sessions": 2, "in_flight": 1}
    assert (first.is_over, second.is_over, other.is_over) == (True, True, False)
    assert [one.code for one in world.ended] == [GoawayCode.KICKED] * 2
    assert all(one.retry_after for one in world.ended)


@pytest.mark.parametrize("more", [{}, {"names": []}, {"names": "shop"}, {"names": [None]}])
async def test_nobody_is_named(more: dict[str, Any]) -> None:
    """Without names nothing ends: a program's mistake must not cut everybody."""
    world = World({"shop": ["shop.test"]})
    session = world.join("shop")
    for command in ("kick", "drain"):
        assert (await answer(world.edge, {"command": command, **more}))["sessions"] == 0
    assert not session.is_over
