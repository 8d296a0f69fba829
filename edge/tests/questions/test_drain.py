from __future__ import annotations

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel_edge.questions import answer

from .world import World, open_stream


async def test_what_is_in_progress_goes_on() -> None:
    """It takes nothing new; it ends when it has nothing left, and not before."""
    world = World({"shop": ["shop.test"]})
    session = world.join("shop")
    stream = open_stream(session)
    request = {"command": "drain", "names": ["shop"]}
    reply = await answer(world.edge, request)
    assert reply == {"ok": True, "sessions": 1, "drained": 1, "in_flight": 1}
    route = world.directory.find("shop.test")
    assert route is not None
    assert route.choose() is None
    world.directory.renew()
    assert not session.is_over
    assert (await answer(world.edge, request))["drained"] == 0
    session.reset_stream(stream, ResetCode.CANCELLED)
    world.directory.renew()
    assert session.is_over
