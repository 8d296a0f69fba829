from __future__ import annotations

import json

from asgi_tunnel_edge.channel import MAX_MESSAGE
from asgi_tunnel_edge.questions import answer
from asgi_tunnel_edge.questions.tunnels import PAGE
from asgi_tunnel_edge.tokens import MAX_HOSTNAME_CHARACTERS, MAX_HOSTNAMES

from .world import World


async def test_pages() -> None:
    """A reply has some of them, and says where the next goes on: all come, and each once."""
    world = World({"shop": ["shop.test"]})
    for slot in range(PAGE + 5):
        world.join("shop", slot=slot)
    first = await answer(world.edge, {"command": "tunnels"})
    second = await answer(world.edge, {"command": "tunnels", "after": first["more"]})
    assert (len(first["sessions"]), first["more"]) == (PAGE, PAGE)
    assert (len(second["sessions"]), second["more"]) == (5, None)
    slots = [one["slot"] for one in first["sessions"] + second["sessions"]]
    assert slots == list(range(PAGE + 5))
    assert (await answer(world.edge, {"command": "tunnels", "after": 10**9}))["sessions"] == []
    for nonsense in (-1, "x", None, 1.5):
        reply = await answer(world.edge, {"command": "tunnels", "after": nonsense})
        assert len(reply["sessions"]) == PAGE


async def test_the_largest_reply_is_sent() -> None:
    """T95: tokens with as many names as they may have, and hostile software at the other end."""
    size = MAX_HOSTNAME_CHARACTERS // MAX_HOSTNAMES
    names = [f"{number:03}".ljust(size, "x") for number in range(MAX_HOSTNAMES)]
    world = World({"wide": names})
    for slot in range(PAGE):
        world.join("wide", slot=slot, instance="\x1b" * 256, agent="\x1b]0;\u2028" * 64)
    seen, asked = 0, 0
    after: int | None = 0
    while after is not None:
        reply = await answer(world.edge, {"command": "tunnels", "after": after})
        text = json.dumps(reply)
        assert len(text) < MAX_MESSAGE / 2
        assert "\\u" not in text
        seen += len(reply["sessions"])
        after = reply["more"]
        asked += 1
    assert seen == PAGE
    assert asked > 1


async def test_what_names_mean() -> None:
    """A token's name or id, or a session's id, which is not what resumes it."""
    world = World({"shop": ["shop.test"], "blog": ["blog.test"]})
    world.join("shop")
    second = world.join("shop", slot=1)
    world.join("blog")
    sessions = (await answer(world.edge, {"command": "tunnels"}))["sessions"]
    ids = {one["slot"]: one["id"] for one in sessions if one["token"] == "shop"}
    assert second.session_id not in json.dumps(sessions)

    async def found(*names: object) -> list[tuple[str, int]]:
        reply = await answer(world.edge, {"command": "tunnels", "names": list(names)})
        return [(one["token"], one["slot"]) for one in reply["sessions"]]

    assert await found("shop") == [("shop", 0), ("shop", 1)]
    assert await found("tok_blog") == [("blog", 0)]
    assert await found(ids[1], "blog") == [("shop", 1), ("blog", 0)]
    assert await found(second.session_id, 7, None) == []
