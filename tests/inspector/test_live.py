from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.asgi.memory import Visitor, body, start, until
from tests.inspector.world import Inspected

from asgi_tunnel.inspector.live import MAX_VIEWERS
from asgi_tunnel.inspector.settings import Inspect


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Reply with hello."""
    await send(start())
    await send(body(b"hello"))


def events(visitor: Visitor) -> list[tuple[str, Any]]:
    """What a viewer has got, by the event's name."""
    found = []
    for piece in visitor.body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in piece.split("\n") if ": " in line)
        if lines.get("event"):
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def viewer(tunnel: Inspected, target: str = "/live", *, reads: bool = True) -> Visitor:
    """One who looks on."""
    visitor = tunnel.question("GET", target)
    visitor.reads = reads
    return await visitor.started()


async def test_an_exchange_is_seen_when_it_begins_and_when_it_ends() -> None:
    """The same id twice: open, then done."""
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await hello(scope, receive, send)

    tunnel = Inspected(slow)
    looking = await viewer(tunnel)
    asked = tunnel.ask("GET", "/slow")
    await until(lambda: events(looking), "nothing was seen")
    go_on.set()
    await asked.over()
    await until(lambda: len(events(looking)) == 2, "the end was not seen")
    (_, first), (_, second) = events(looking)
    assert first["id"] == second["id"]
    assert (first["state"], second["state"], second["status"]) == ("open", "done", 200)


async def test_what_is_kept_comes_first() -> None:
    """With ``after`` the viewer gets what it has missed since that number, the oldest first."""
    tunnel = Inspected(hello)
    for number in range(4):
        await tunnel.get(f"/{number}")
    looking = await viewer(tunnel, "/live?after=2")
    await until(lambda: len(events(looking)) == 2, "what is kept was not sent")
    assert [one["path"] for _, one in events(looking)] == ["/2", "/3"]
    for query in ("after=x", "before=1", "after=1&after=2"):
        assert (await tunnel.put("GET", f"/live?{query}")).status == 400


async def test_a_viewer_who_has_gone_leaves_its_place() -> None:
    """At once, although nothing happens that would be sent."""
    tunnel = Inspected(hello)
    looking = await viewer(tunnel)
    assert tunnel.recorder.ring.journal.viewers == 1
    looking.leave()
    await until(lambda: not tunnel.recorder.ring.journal.viewers, "the place was kept")


async def test_the_end_of_the_app_ends_a_view() -> None:
    """It has no end of its own, and must not take the grace of requests in progress."""
    tunnel = Inspected(hello)
    looking = await viewer(tunnel)
    tunnel.origin.end_event_streams()
    await looking.over()
    assert looking.is_complete
    await until(lambda: not tunnel.origin.in_flight, "the view went on")


async def test_there_is_a_most_of_viewers() -> None:
    """One more gets 503, and a place that is free is given again."""
    tunnel = Inspected(hello)
    lookers = [await viewer(tunnel) for _ in range(MAX_VIEWERS)]
    assert (await viewer(tunnel)).status == 503
    lookers[0].leave()
    await until(lambda: tunnel.recorder.ring.journal.viewers < MAX_VIEWERS, "no place was freed")
    assert (await viewer(tunnel)).status == 200


async def test_a_viewer_that_does_not_read_stalls_nothing() -> None:
    """Of a thousand who look on and do not read, and one that reads, the app knows nothing."""
    tunnel = Inspected(hello, Inspect(max_bytes=1_000_000))
    reading = await viewer(tunnel)
    silent = [await viewer(tunnel, reads=False) for _ in range(1000)]
    assert sum(one.status == 200 for one in silent) == MAX_VIEWERS - 1
    for number in range(3000):
        assert (await tunnel.get(f"/{number}")).status == 200
    await until(
        lambda: events(reading) and events(reading)[-1][1].get("path") == "/2999",
        "the one that reads did not get on",
    )
    held = max(len(one.body) for one in silent)
    assert held < 200_000  # a window of the tunnel, and no queue behind it
    assert tunnel.recorder.ring.held <= 1_000_000


async def test_a_viewer_that_is_behind_is_told() -> None:
    """What came while it had no room is lost, as many as it says, and the newest are there."""
    tunnel = Inspected(hello)
    looking = await viewer(tunnel)
    for number in range(500):  # faster than a batch
        tunnel.ask("GET", f"/{number}")
    await until(lambda: tunnel.recorder.ring.next_seq > 500, "they did not come")
    await until(
        lambda: any(one.get("path") == "/499" for _, one in events(looking)), "the last is missing"
    )
    names = [name for name, _ in events(looking)]
    assert "lost" in names
    assert all(one["lost"] > 0 for name, one in events(looking) if name == "lost")
