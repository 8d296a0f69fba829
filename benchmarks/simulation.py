"""Storms of apps that come back, and machines for many tunnels, from constants that were measured.

No socket is opened and no time passes: clients and edges are events of one queue. How a client
waits and which edge it takes is not modelled but the app's own code (:mod:`asgi_tunnel.backoff`,
:mod:`asgi_tunnel.edges`), with the simulation's clock. An edge is a server that takes one
connection after the other, with the bounds of its listener.

``python -m benchmarks.simulation`` prints the tables of docs/scale.md; ``python -m
benchmarks.storm`` measures small storms on this machine and compares them with what is computed
here for the same numbers.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from asgi_tunnel.backoff import BASE, Backoff
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.dial import DIAL_TIMEOUT
from asgi_tunnel.edges import Edges
from asgi_tunnel.protocol.limits import HEARTBEAT_TIMEOUT
from asgi_tunnel.token import Token
from asgi_tunnel_edge.listeners.acceptor import MAX_HANDSHAKES

# -- measured, each with its place ---------------------------------------------------------------

OPEN_CPU: Final = 0.857e-3
"""Seconds of a core of an edge to open one tunnel over TLS (performance.md, `idle`)."""

TURNED_AWAY_CPU: Final = 50e-6
"""Seconds to accept a connection, or to turn it away (limits.md, `ports.BACKLOG`)."""

IDLE_BYTES: Final = 29.5 * 1024
"""Resident bytes of an edge for one idle tunnel over TLS (performance.md, `idle`)."""

HEARTBEAT_CPU: Final = 26.4e-6
"""Seconds of a core per second and idle tunnel (performance.md, `idle`: 26.4 ms/s for 1,000)."""

REQUEST_CPU: Final = 52.9e-6
"""Seconds of an edge for a small GET over HTTPS (performance.md, `tls-get-32`)."""

FORWARD_CPU: Final = 58e-6
"""Seconds that a request costs more which goes over another edge or worker, both of them together
(performance.md, `benchmarks.workers`: over a Unix socket)."""

BULK_CPU: Final = 3.27 / 2**30
"""Seconds of an edge for a byte down over HTTPS (performance.md, `tls-bulk-down`)."""

WEBSOCKET_BYTES: Final = 5.49 * 1024
"""Resident bytes of an edge for one visitor's WebSocket (performance.md, `visitors`)."""

BASE_BYTES: Final = 80 * 2**20
"""Resident bytes of one serving process without tunnels: the interpreter and the edge's code."""

# -- assumed ---------------------------------------------------------------------------------------

ROUND_TRIP: Final = 0.05
"""Seconds between an app at home and an edge of its region."""

ROUND_TRIPS: Final = 4
"""For TCP, TLS 1.3, the WebSocket handshake, and HELLO."""

_TOKEN: Final = Token(edge="wss://t.example.org", id="tok_1", secret="s")  # noqa: S106 - none


@dataclass(frozen=True)
class Costs:
    """What a connection costs, and the bounds that it meets.

    Attributes:
        open_cpu: Seconds of a core of an edge.
        dial_cpu: Seconds of a core for one try on the apps' side, where all of them share that
            core; 0: each app has a machine of its own.
        pool: Handshakes that a worker has in progress at one time.
        round_trip: Seconds.
        workers: Serving processes of an edge, each with a core.
    """

    open_cpu: float = OPEN_CPU
    dial_cpu: float = 0.0
    pool: int = MAX_HANDSHAKES
    round_trip: float = ROUND_TRIP
    workers: int = 1

    def edge(self, url: str) -> Edge:
        """Return an edge that serves."""
        return Edge(url, self.workers, self.open_cpu, self.pool * self.workers)


@dataclass
class Edge:
    """One edge, as a crowd sees it.

    Attributes:
        url: Its address.
        workers: Serving processes with a core each.
        open_cpu: Seconds of a core for one connection.
        up_at: When it takes connections again; infinite: not any more.
        is_silent: While it is away nothing comes back; else connections are refused.
        pool: Handshakes in progress at one time.
        worked: Seconds of a core so far.
        displaced: Connections that gave way to newer ones.
        given_up: Connections whose app had gone when their turn came.
        deepest: The most that waited at one time.
    """

    url: str
    workers: int
    open_cpu: float
    pool: int
    up_at: float = 0.0
    is_silent: bool = False
    queue: deque[Dial] = field(default_factory=deque)
    is_busy: bool = False
    debt: float = 0.0  # seconds of work for who was turned away
    worked: float = 0.0
    displaced: int = 0
    given_up: int = 0
    deepest: int = 0


@dataclass
class Slot:
    """One connection of one app."""

    edges: Edges
    number: int
    place: str
    has_sibling: bool  # another connection of the app lives
    backoff: Backoff
    lost_at: float
    back_at: float = math.inf
    tries: int = 0


@dataclass(eq=False)
class Dial:
    """One try of a slot."""

    slot: Slot
    url: str
    began: float
    patience: float
    is_over: bool = False


class Storm:
    """A crowd that dials.

    Args:
        edges: All of them.
        costs: Of a connection.
    """

    def __init__(self, edges: Sequence[Edge], costs: Costs) -> None:
        self.edges = {one.url: one for one in edges}
        self.now = 0.0
        self.slots: list[Slot] = []
        self._round_trip = costs.round_trip
        self._dial_cpu = costs.dial_cpu
        self._apps_free_at = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Let something happen."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what))

    def add(self, slot: Slot, noticed: float) -> None:
        """A connection has been lost, and its app notices it then."""
        self.slots.append(slot)
        self.at(noticed, lambda: self._dial(slot))

    def run(self, until: float = 600.0) -> None:
        """Let all events happen, up to a time."""
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()

    def back(self) -> list[float]:
        """Return the seconds from its loss in which each connection was back, in order."""
        return sorted(one.back_at - one.lost_at for one in self.slots)

    # -- a client ----------------------------------------------------------------------------

    def _dial(self, slot: Slot) -> None:
        """As ``connector._Slot._connect``."""
        url = slot.edges.choose(slot.number, slot.place)
        patience = slot.edges.patience(url) or DIAL_TIMEOUT
        slot.tries += 1
        dial = Dial(slot, url, self.now, patience)
        begins = self.now
        if self._dial_cpu:
            begins = self._apps_free_at = max(self._apps_free_at, self.now) + self._dial_cpu
        edge = self.edges.get(url) or self._named()
        if edge.up_at > begins:
            if not edge.is_silent:
                self.at(begins + self._round_trip, lambda: self._fail(dial, is_timeout=False))
            else:
                self.at(self.now + patience, lambda: self._fail(dial, is_timeout=True))
            return
        self.at(self.now + patience, lambda: self._fail(dial, is_timeout=True))
        self.at(begins + self._round_trip, lambda: self._arrive(edge, dial))

    def _named(self) -> Edge:
        """Return where the token's name leads: to any edge that a health check finds."""
        up = [one for one in self.edges.values() if one.up_at <= self.now]
        return random.choice(up or list(self.edges.values()))  # noqa: S311 - no secret

    def _fail(self, dial: Dial, *, is_timeout: bool) -> None:
        """As ``connector._Slot._unreached``."""
        if dial.is_over:
            return
        dial.is_over = True
        slot = dial.slot
        delay = slot.backoff.next(self.now)
        slot.edges.failed(dial.url)
        if slot.edges.has_ready:
            delay = slot.edges.pause() if slot.has_sibling else 0.0
        elif is_timeout:
            delay = min(delay, BASE)
        self.at(self.now + delay, lambda: self._dial(slot))

    # -- an edge -----------------------------------------------------------------------------

    def _arrive(self, edge: Edge, dial: Dial) -> None:
        if dial.is_over:
            return
        edge.queue.append(dial)
        edge.deepest = max(edge.deepest, len(edge.queue))
        if len(edge.queue) > edge.pool:  # the oldest gives way
            victim = edge.queue.popleft()
            edge.displaced += 1
            edge.debt += TURNED_AWAY_CPU
            self.at(self.now + self._round_trip / 2, lambda: self._fail(victim, is_timeout=False))
        if not edge.is_busy:
            self._serve(edge)

    def _serve(self, edge: Edge) -> None:
        """Take the next one that still waits."""
        work, edge.debt = edge.debt, 0.0
        dial = None
        while edge.queue and dial is None:
            one = edge.queue.popleft()
            if one.is_over:
                edge.given_up += 1
                work += TURNED_AWAY_CPU
            else:
                dial = one
        if dial is None and not work:
            edge.is_busy = False
            return
        edge.is_busy = True
        work += edge.open_cpu if dial is not None else 0.0
        edge.worked += work
        self.at(self.now + work / edge.workers, lambda: self._served(edge, dial))

    def _served(self, edge: Edge, dial: Dial | None) -> None:
        if dial is not None and not dial.is_over:
            dial.is_over = True
            slot = dial.slot
            slot.place = edge.url
            slot.back_at = self.now + self._round_trip * (ROUND_TRIPS - 1)
        self._serve(edge)


class Crowd:
    """Apps whose connections are spread over edges.

    Args:
        apps: How many.
        urls: Of all edges; one: the apps know of no others.
        connections: Of each app.
    """

    def __init__(self, apps: int, urls: Sequence[str], *, connections: int) -> None:
        self._apps = apps
        self._urls = urls
        self._connections = connections

    def lose(self, storm: Storm, lost: Sequence[str], noticed: Callable[[], float]) -> None:
        """Let them lose the connections to some edges.

        Args:
            storm: They are added to it.
            lost: The edges that are gone.
            noticed: Seconds until one app notices it.
        """
        config = TunnelConfig(token=_TOKEN, text=_TOKEN.format())
        for app in range(self._apps):
            edges = Edges(config, str(app), clock=lambda: storm.now)
            places = [self._place(edges, app, number) for number in range(self._connections)]
            has_sibling = not set(places) <= set(lost)
            for number, place in enumerate(places):
                if place in lost:
                    session_at = place if edges.known else ""
                    slot = Slot(edges, number, session_at, has_sibling, Backoff(0.0), 0.0)
                    storm.add(slot, noticed())

    def _place(self, edges: Edges, app: int, number: int) -> str:
        """Open a connection: the first ones of all apps are spread by the name's addresses."""
        url = edges.choose(number) if number else self._urls[app % len(self._urls)]
        begin = self._urls.index(url)
        named = [*self._urls[begin:], *self._urls[:begin]] if len(self._urls) > 1 else []
        return edges.reached(number, url, named, peer="1.1.1.1:443") or url


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the sorted values are."""
    return values[min(int(share * len(values)), len(values) - 1)] if values else 0.0


# -- storms --------------------------------------------------------------------------------------


def restart(sessions: int, *, away: float, costs: Costs | None = None) -> Storm:
    """One edge is killed, and listens again on its address.

    Args:
        sessions: That it had, of apps with one connection.
        away: Seconds until it listens.
        costs: Of a connection.
    """
    costs = Costs() if costs is None else costs
    edge = costs.edge(_TOKEN.edge)
    edge.up_at = away
    storm = Storm([edge], costs)
    begin = Crowd(sessions, [edge.url], connections=1)
    begin.lose(storm, [edge.url], lambda: costs.round_trip / 2)
    storm.run()
    return storm


def loss(
    edges: int,
    apps: int,
    *,
    connections: int = 2,
    is_silent: bool = False,
    costs: Costs | None = None,
) -> Storm:
    """One of several edges dies for good.

    Args:
        edges: How many there are.
        apps: Of all edges together.
        connections: Of each app.
        is_silent: Its machine is cut off: nothing is refused, and apps notice by the heartbeat.
        costs: Of a connection.
    """
    costs = Costs() if costs is None else costs
    urls = _urls(edges)
    all_edges = [costs.edge(url) for url in urls]
    all_edges[0].up_at, all_edges[0].is_silent = math.inf, is_silent
    storm = Storm(all_edges, costs)

    def noticed() -> float:
        if not is_silent:
            return costs.round_trip / 2
        return random.uniform(HEARTBEAT_TIMEOUT - 4.0, HEARTBEAT_TIMEOUT)  # noqa: S311 - no secret

    Crowd(apps, urls, connections=connections).lose(storm, urls[:1], noticed)
    storm.run()
    return storm


def region(edges: int, apps: int, *, away: float, costs: Costs) -> Storm:
    """All edges of a region are gone at one time, and back at one time."""
    urls = _urls(edges)
    all_edges = [costs.edge(url) for url in urls]
    for one in all_edges:
        one.up_at = away
    storm = Storm(all_edges, costs)
    Crowd(apps, urls, connections=2).lose(storm, urls, lambda: costs.round_trip / 2)
    storm.run()
    return storm


def _urls(count: int) -> list[str]:
    return [f"wss://192.0.2.{number}" for number in range(1, count + 1)]


# -- machines ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """What one app and its visitors do.

    Attributes:
        requests: A second, on average over all apps.
        response: Bytes.
        websockets: Of visitors, open at the same time.
        peak: How much more than the average a machine has to take.
    """

    requests: float = 0.1
    response: int = 20_000
    websockets: float = 0.2
    peak: float = 3.0


@dataclass(frozen=True)
class Machines:
    """What some apps need.

    Attributes:
        nodes: Machines.
        memory: Bytes of one.
        cores: Of one that are busy at the peak.
        forwarded: Share of the requests that another edge has to answer.
        egress: Bits a second of all, at the peak.
        month: Bytes that leave in a month, on average.
    """

    nodes: int
    memory: float
    cores: float
    forwarded: float
    egress: float
    month: float


def machines(
    apps: int, *, nodes: int, regions: int = 1, workers: int = 8, load: Load | None = None
) -> Machines:
    """Return what each of ``nodes`` machines has to do for ``apps`` apps of two connections.

    One is reckoned to be away: the others do its work.  Visitors come to any edge of a region.
    """
    load = Load() if load is None else load
    here = max(nodes // regions, 1)
    left = max(here - 1, 1)
    each = apps / regions / left
    connections = min(2, here)
    sessions = each * connections
    forwarded = 1 - connections / here
    requests = each * load.requests * load.peak
    down = requests * load.response * (1 + forwarded)  # what is forwarded leaves two edges
    cores = (
        sessions * HEARTBEAT_CPU
        + requests * (REQUEST_CPU + forwarded * FORWARD_CPU)
        + down * BULK_CPU
    )
    memory = workers * BASE_BYTES + sessions * IDLE_BYTES + each * load.websockets * WEBSOCKET_BYTES
    month = apps * load.requests * load.response * 86400 * 30
    return Machines(
        nodes=nodes,
        memory=memory,
        cores=cores,
        forwarded=forwarded,
        egress=apps * load.requests * load.peak * load.response * 8,
        month=month,
    )


# -- tables --------------------------------------------------------------------------------------


def row(name: str, storm: Storm) -> str:
    """Return one row of the table of storms."""
    back = storm.back()
    others = [one for one in storm.edges.values() if one.worked]
    busiest = max((one.worked / one.workers for one in others), default=0.0)
    tries = sum(one.tries for one in storm.slots) / max(len(storm.slots), 1)
    times = " | ".join(f"{quantile(back, share):.1f}" for share in (0.5, 0.9, 0.99))
    return f"| {name} | {len(back):,} | {times} | {back[-1]:.1f} | {tries:.1f} | {busiest:.1f} |"


STORMS_HEAD: Final = """\
| storm | connections | p50, s | p90, s | p99, s | all, s | tries of each | CPU of a worker, s |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


def storms(*, is_quick: bool = False) -> list[str]:
    """Return the rows of the table of storms."""
    share = 50 if is_quick else 1
    eight = Costs(workers=8)
    return [
        row("1 edge, 10,000 tunnels, restarts in 2 s", restart(10_000 // share, away=2.0)),
        row("the same, restarts in 60 s", restart(10_000 // share, away=60.0)),
        row("3 edges, 10,000 apps, one is killed", loss(3, 10_000 // share)),
        row("3 edges, 10,000 apps, one is cut off", loss(3, 10_000 // share, is_silent=True)),
        row(
            "5 edges of 8 workers, 100,000 apps, one is killed",
            loss(5, 100_000 // share, costs=eight),
        ),
        row(
            "16 edges of 8 workers, 400,000 apps, one is killed",
            loss(16, 400_000 // share, costs=eight),
        ),
        row(
            "4 edges of 8 workers, 100,000 apps, all are away for 60 s",
            region(4, 100_000 // share, away=60.0, costs=eight),
        ),
    ]


SIZES_HEAD: Final = """\
| apps | edges | regions | GiB of each | cores of each | forwarded | Gbit/s | TB a month |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


def sizes() -> list[str]:
    """Return the rows of the table of machines."""
    rows = []
    for apps, nodes, regions in (
        (1_000, 2, 1),
        (10_000, 3, 1),
        (100_000, 5, 1),
        (1_000_000, 40, 1),
        (10_000_000, 400, 10),
    ):
        one = machines(apps, nodes=nodes, regions=regions)
        rows.append(
            f"| {apps:,} | {nodes} | {regions} | {one.memory / 2**30:.1f} | {one.cores:.1f} | "
            f"{one.forwarded:.0%} | {one.egress / 1e9:.1f} | {one.month / 1e12:,.1f} |"
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fiftieth of each crowd")
    options = parser.parse_args(arguments)
    random.seed(1)
    lines = [STORMS_HEAD, *storms(is_quick=options.quick), "", SIZES_HEAD, *sizes(), ""]
    sys.stdout.write("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
