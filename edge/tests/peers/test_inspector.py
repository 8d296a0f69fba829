"""The inspector of an app whose session is at another node than who asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from edge.tests.peers.app import App
from edge.tests.peers.world import nodes, until

from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel_edge.dashboard.inspection import all_instances_of
from asgi_tunnel_edge.inspection import Inquiry, InspectionError, Inspectors


async def test_is_asked_over_the_other_node(tmp_path: Path) -> None:
    """It is found, asked and followed; a process without one is seen, and not asked."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(app, inspect=Inspect(level="full"))
        await world[1].connect(app)
        edge = world[2].edge
        assert (await world[2].get("/seen")).status == 200
        live = edge._live()
        token = edge.directory.snapshot.tokens[world[0].token.id]
        instances = await all_instances_of(live, token)
        assert len(instances) == 2
        (one,) = [one for one in instances if one.session is not None]
        assert one.agent.startswith("asgi-tunnel/")
        assert one.session is not None
        inspectors = Inspectors(edge.context.next_request_id)
        await world[2].get("/again")  # by either process
        inquiry = Inquiry(target="/exchanges", by="anna")
        reply = await inspectors.ask(one.session, inquiry)
        assert reply.status == 200
        assert "exchanges" in reply.json()
        live_inquiry = Inquiry(target="/live", by="anna")
        async with inspectors.follow(one.session, live_inquiry) as pieces:
            await world[0].get("/news")
            text = b""
            async with asyncio.timeout(20):
                async for piece in pieces:
                    text += piece
                    if b"event: " in text:
                        break
        relays = world.peers(0).listener.sessions
        await until(lambda: not any(session.in_flight for session in relays))
        # Whoever has no inspector any more is asked in vain, and says so.
        await world[0].disconnect()
        with pytest.raises(InspectionError):
            await inspectors.ask(one.session, inquiry)
