"""What the bus does in a second, in each of its forms, and how soon others know.

    python -m benchmarks.bus [--names 10000] [--events 5000] [--nodes 3] [--only FORM]...

Several nodes of one process are on a real PostgreSQL, a real NATS server, a parent in a process of
its own, or a dict; so a figure has the work of all nodes in it, on one core. Prints for each form:
hostnames that are held and known to another node, a second; the time from one change to the other
node's knowledge; a lookup of a hostname that somebody holds, and of one that nobody does; events
that reach all others, a second; and the time from the SIGKILL of a node's process until another one
knows (of five).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

from edge.tests.bus.processes import node_process
from edge.tests.bus.world import (
    LocalWorld,
    Member,
    ParentWorld,
    ServiceWorld,
    World,
    all_know_each_other,
    until,
)
from edge.tests.nats_server import NatsServers
from edge.tests.postgres import PostgresServer, find_programs

from asgi_tunnel_edge.bus.nats import NatsBus
from asgi_tunnel_edge.bus.postgresql import PostgresqlBus

FORMS: Final = ("local", "parent", "postgresql", "nats")
CHANGES: Final = 300  # single changes and lookups that are timed
DEATHS: Final = 5


@asynccontextmanager
async def world_of(form: str) -> AsyncIterator[tuple[World, str]]:
    """Nodes on one form of the bus, and its URL if it is a service."""
    end: Callable[[], None] = lambda: None  # noqa: E731 - two of four have something to end
    url = ""
    made: World
    if form == "local":
        made = LocalWorld()
    elif form == "parent":
        made = ParentWorld()
    elif form == "postgresql":
        programs = find_programs()
        assert programs is not None, "PostgreSQL is not installed"
        server = PostgresServer(programs)
        server.start()
        url, end = server.create(), server.remove
        made = ServiceWorld(lambda node: PostgresqlBus(url, node))
    else:
        servers = NatsServers()
        servers.start()
        url, end = servers.url, servers.remove
        made = ServiceWorld(lambda node: NatsBus(url, node))
    try:
        yield made, url
        await made.close()
    finally:
        end()


async def measure(form: str, names: int, events: int, nodes: int) -> None:
    """Print the figures of one form."""
    async with world_of(form) as (world, url):
        members = [await world.member(str(number)).start() for number in range(nodes)]
        await all_know_each_other(members)
        say(f"{form}, {nodes} nodes")
        say(f"  hostnames held and known, a second: {await held(members, names):,.0f}")
        say(f"  a change until another node knows:  {spread(await changes(members))}")
        found = [await timed_find(members[1], "app-1.example.org") for _ in range(CHANGES)]
        missed = [await timed_find(members[1], f"{one}.example.net") for one in range(CHANGES)]
        say(f"  a lookup of a hostname that is held: {spread(found)}; of one that is not:"
              f" {spread(missed)}")  # fmt: skip
        say(f"  events to all others, a second:     {await events_of(members, events):,.0f}")
        if url:
            gone = [await death(members[0], url, number) for number in range(DEATHS)]
            say(f"  a SIGKILL until another node knows: {spread(gone)}")


async def held(members: Sequence[Member], count: int) -> float:
    """Hold so many hostnames, and wait until another node finds the first and the last."""
    began = perf_counter()
    for number in range(count):
        members[0].bus.hold(f"app-{number}.example.org")
    for number in (0, count - 1):
        await members[1].finds(f"app-{number}.example.org", members[0])
    return count / (perf_counter() - began)


async def changes(members: Sequence[Member]) -> list[float]:
    """Time single changes, one after the other."""
    found = []
    for number in range(CHANGES):
        name = f"change-{number}.example.org"
        await members[1].bus.find(name)  # a bus that is asked on demand says what was looked for
        heard = members[1].heard.hostnames
        heard.clear()
        began = perf_counter()
        members[0].bus.hold(name)
        while name not in heard:  # noqa: ASYNC110 - each turn of the loop, not some milliseconds
            await asyncio.sleep(0)
        found.append(perf_counter() - began)
    return found


async def timed_find(member: Member, name: str) -> float:
    """Look one hostname up."""
    began = perf_counter()
    await member.bus.find(name)
    return perf_counter() - began


async def events_of(members: Sequence[Member], count: int) -> float:
    """Broadcast so many events, as fast as all others hear them."""
    for one in members[1:]:
        one.heard.events.clear()
    began = perf_counter()
    for start in range(0, count, 100):
        for number in range(start, min(start + 100, count)):
            members[0].bus.broadcast({"kind": "spent", "number": number, "text": "x" * 200})
        done = min(start + 100, count)
        while any(len(one.heard.events) < done for one in members[1:]):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    return count / (perf_counter() - began)


async def death(member: Member, url: str, number: int) -> float:
    """Kill a node that is a process, and wait until another one knows."""
    async with node_process(url, "z", f"z-{number}.example.org") as node:
        await until(lambda: node.id in {one.id for one in member.bus.nodes})
        await asyncio.sleep(1.0)  # until its neighbour watches it
        began = perf_counter()
        node.process.kill()
        await until(lambda: node.id in member.heard.gone)
        return perf_counter() - began


def spread(seconds: Sequence[float]) -> str:
    """The middle, and what only one of a hundred exceeds, in a unit that fits."""
    ordered = sorted(seconds)
    middle, high = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    if middle < 0.001:
        return f"p50 {middle * 1e6:.0f} us, p99 {high * 1e6:.0f} us"
    return f"p50 {middle * 1e3:.1f} ms, p99 {high * 1e3:.1f} ms"


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Measure the forms that were asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.bus", description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--only", action="append", choices=FORMS)
    options = parser.parse_args(arguments)
    for form in options.only or FORMS:
        asyncio.run(measure(form, options.names, options.events, options.nodes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
