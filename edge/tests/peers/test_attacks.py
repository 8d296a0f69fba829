"""What a visitor, or an app with a token, tries at a node that does not have the session."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.tests.peers.app import App
from edge.tests.peers.client import Client
from edge.tests.peers.world import nodes, until

from asgi_tunnel.policy.collect import SentPolicy
from asgi_tunnel.protocol.policy import PolicyRule

CLOSED = SentPolicy(rules=(PolicyRule(path="/small", max_body=10),), routes=("/small", "/open"))


async def test_judged_again_before_it_is_sent_again(tmp_path: Path) -> None:
    """A request that is lost with its session is held to what the app wants by then."""
    old, new = App(), App()
    async with nodes(tmp_path) as world:
        await world[0].connect(old)
        async with Client(world[1]) as client:
            asking = asyncio.create_task(client.ask("GET", "/slow"))
            await until(lambda: old.paths == ["/slow"])
            await world[1].connect(new, policy=CLOSED)
            world.peers(0).listener.close()
            assert (await asking).status == 404
        assert new.paths == []
