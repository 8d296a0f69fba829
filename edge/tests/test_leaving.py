from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

from asgi_tunnel.protocol.codes import DrainReason
from asgi_tunnel_edge import leaving as module
from asgi_tunnel_edge.leaving import LAST_ARRIVALS, STOP_GRACE, Ending, Leaving

if TYPE_CHECKING:
    import pytest


class Session:
    """Has streams until it has not."""

    def __init__(self) -> None:
        self.connection = self
        self.is_over = False
        self.open_streams = 1
        self.asked: list[float] = []
        self.reasons: list[object] = []

    def drain(self, reason: object, *, delay: float, grace: float) -> None:
        """Note it."""
        self.reasons.append(reason)
        self.asked.append(grace)


class Edge:
    """Stands in for a context, a directory and a table at the same time."""

    def __init__(self, *sessions: Session) -> None:
        self.session_list = list(sessions)
        self.is_replaced = self.is_stopping = self.is_ending = self.is_busy = False
        self.is_owing = False
        self.connections = {object()}
        self.calls: list[str] = []

    @property
    def entries(self) -> list[Any]:
        """One for each session."""
        return [type("Entry", (), {"session": one}) for one in self.session_list]

    def retire(self) -> None:
        """Note it."""
        self.calls.append("retire")

    def shut_down(self) -> None:
        """Note it."""
        self.calls.append("shut down")


def leaving(edge: Edge, *, has_others: bool = False) -> Leaving:
    """Of this one."""
    anything = cast(Any, edge)
    return Leaving(
        anything,
        anything,
        anything,
        is_arriving=lambda: False,
        is_owing=lambda: edge.is_owing,
        has_others=has_others,
    )


async def test_replaced() -> None:
    """It lasts until the last connection and the last stream are gone; late sessions are asked."""
    first, late = Session(), Session()
    edge = Edge(first)
    ending = Ending()
    ending.retire(30.0)
    assert (ending.first.is_set(), ending.drain) == (True, 30.0)
    task = asyncio.create_task(leaving(edge).retire(ending))
    await asyncio.sleep(0)
    assert (edge.is_replaced, edge.is_stopping, edge.calls) == (True, True, ["retire"])
    edge.session_list.append(late)
    while not late.asked:  # noqa: ASYNC110 - at the next look
        await asyncio.sleep(0.01)
    assert len(first.asked) == 1
    first.open_streams = late.open_streams = 0
    edge.connections.clear()
    await asyncio.wait_for(task, 10)
    assert edge.calls == ["retire", "shut down"]
    assert edge.is_ending


async def test_what_other_nodes_have_not_taken() -> None:
    """It is waited for, and becomes no more meanwhile; a stop lasts no longer than before."""
    for stops in (True, False):
        edge, ending = Edge(), Ending()
        edge.is_owing = True
        edge.connections.clear()
        ending.retire(30.0)
        one = leaving(edge)
        task = asyncio.ensure_future(one.stop() if stops else one.retire(ending))
        await asyncio.sleep(0.3)
        assert edge.is_ending
        assert not task.done()
        edge.is_owing = False
        await asyncio.wait_for(task, 10)


async def test_where_apps_go() -> None:
    """To another edge where there is one and this one stops; not where its next process serves."""
    for has_others, stops, reason in (
        (True, True, DrainReason.SHUTDOWN),
        (False, True, DrainReason.RESTART),
        (True, False, DrainReason.RESTART),
    ):
        session = Session()
        session.open_streams = 0
        edge, ending = Edge(session), Ending()
        ending.retire(0.0)
        one = leaving(edge, has_others=has_others)
        edge.connections.clear()
        await (one.stop() if stops else one.retire(ending))
        assert session.reasons == [reason]


async def test_visitors_on_their_way_to_one_of_several_edges() -> None:
    """Connections that are idle stay open for a moment, where visitors have another edge."""
    edge = Edge(Session())
    stopping = asyncio.ensure_future(leaving(edge, has_others=True).stop())
    began = time.monotonic()
    while "shut down" not in edge.calls:
        assert not stopping.done()
        await asyncio.sleep(0.01)
    assert time.monotonic() - began >= 0.9 * LAST_ARRIVALS
    edge.session_list[0].is_over = True
    await stopping


async def test_nothing_of_other_nodes_begins_in_the_last_moments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event stream is cut in the end, and no POST that came a moment before."""
    monkeypatch.setattr(module, "STOP_GRACE", 1.5)
    edge = Edge(Session())
    stopping = asyncio.ensure_future(leaving(edge).stop())
    began = time.monotonic()
    while not edge.is_ending:
        assert not stopping.done()
        await asyncio.sleep(0.01)
    assert time.monotonic() - began >= 0.4
    assert not stopping.done()
    await stopping
    assert time.monotonic() - began >= 1.4


async def test_no_time_left() -> None:
    """What has not ended by then is told so, and gets a second for it."""
    edge = Edge(Session())
    ending = Ending()
    ending.retire(0.0)
    began = time.monotonic()
    await leaving(edge).retire(ending)
    assert time.monotonic() - began >= 1.0
    assert edge.calls == ["retire", "shut down"]


async def test_signals() -> None:
    """The first one ends; of a replaced process it shortens the time; the second ends it now."""
    ending = Ending()
    ending.on_signal()
    assert (ending.first.is_set(), ending.second.is_set(), ending.drain) == (True, False, None)
    ending.retire(30.0)
    assert ending.drain is None
    ending.on_signal()
    assert ending.second.is_set()
    led = Ending(is_led=True)
    led.on_signal()
    led.on_signal()  # the same one, from the service manager and from the parent
    assert not led.second.is_set()
    ending = Ending()
    ending.retire(1000.0)
    ending.on_signal()
    assert not ending.second.is_set()
    assert ending.deadline <= time.monotonic() + STOP_GRACE
