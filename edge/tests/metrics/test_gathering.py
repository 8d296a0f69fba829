"""The numbers of several processes as one."""

from __future__ import annotations

from asgi_tunnel_edge.metrics.families import Values, add
from asgi_tunnel_edge.metrics.gathering import Gathering, as_plain, of_plain


def values(opened: float, tunnels: float, lag: float = 0.0) -> Values:
    """Of one process: a counter, a gauge and a histogram."""
    found: Values = {}
    add(found, "tunnels_opened_total", opened)
    add(found, "tunnels", tunnels, "connected")
    add(found, "event_loop_lag_seconds", [lag, lag])
    return found


def test_over_the_channel() -> None:
    """What comes is what was sent; a metric of another version is left out."""
    plain = as_plain(values(3, 2, 1))
    assert of_plain([*plain, ["asgi_tunnel_edge_colour", [], 1]]) == values(3, 2, 1)


async def test_a_counter_never_leaps() -> None:
    """Not when this process begins after the others, nor when one of them ends, or is silent."""
    own = values(0, 1)
    others = {7: (50.0, values(1000, 5, 2)), 8: (1.0, values(3, 0))}

    async def read_own() -> Values:
        return own

    async def read_others() -> dict[int, tuple[float, Values]]:
        return dict(others)

    async def opened() -> tuple[object, object]:
        found = await one.read()
        counter = found["asgi_tunnel_edge_tunnels_opened_total"][()]
        return counter, found["asgi_tunnel_edge_tunnels"]["connected",]

    times = iter([0.0, *[10.0] * 5])
    one = Gathering(read_own, read_others, lambda: next(times))
    assert await opened() == (3, 6)
    others[7] = (51.0, values(1010, 5, 3))
    others[8] = (2.0, values(7, 3))
    own = values(1, 1)
    assert await opened() == (18, 9)
    del others[7]
    others[9] = (1.0, values(2, 1))
    assert await opened() == (20, 5)
    others[7] = (53.0, values(1011, 5, 3))
    assert await opened() == (21, 10)
    found = await one.read()
    assert found["asgi_tunnel_edge_event_loop_lag_seconds"][()] == [1, 1]
