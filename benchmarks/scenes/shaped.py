"""Small GETs over a slow line, alone and beside bulk: 20 Mbit/s, 40 ms round trip.

The app is on one host, the edge and the visitors are on the other one.  The line, the app, the
visitors and the order are the same for all systems; see :mod:`.link` for the line.  Everything is
encrypted on the line, as each system does it by default.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.drivers.launch import DriverError, driver
from benchmarks.model import HOSTNAME, Figure, Scale, Scene
from benchmarks.process import running
from benchmarks.scenes import edge as own
from benchmarks.scenes import peers
from benchmarks.scenes.link import Line, Link, congestion_control, link, why_not

SECONDS = 12.0
"""Of each of the three loads; some 600 small answers even where each takes 150 ms."""

SETTLE = 3.0
"""Seconds in which a bulk transfer fills the line before the small GETs begin, and in which it
leaves the line afterwards."""

SHORTEST = 0.4
"""Seconds of either where the whole is to be quick; then only the first line is measured."""

VISITORS = 8
"""Connections with small GETs, each with one request in flight."""

_LOADS = ("nothing", "down", "up")


@dataclass(frozen=True)
class Place:
    """Where visitors, who are on the edge's host, find the app."""

    host: str
    port: int
    is_tls: bool = False


Start = Callable[[Path, Link], AbstractContextManager[Place]]


@contextmanager
def _asgi_tunnel(folder: Path, line: Link) -> Iterator[Place]:
    data = own.init(
        folder,
        tls="internal",
        listen="0.0.0.0:443",
        settings=f'public_url = "https://{line.edge_address}"',
    )
    token = own.create_token(data)
    with own.edge(data, prefix=line.on_edge), own.app(folder, token, prefix=line.on_app):
        yield Place("127.0.0.1", 443, is_tls=True)


@contextmanager
def _peer(make: peers.Make, folder: Path, line: Link) -> Iterator[Place]:
    ports = peers.Ports(line.edge_address, control=7000, public=8080, app=8000)
    peer = make(folder, ports)
    # In this order, and each ready before the next one.
    steps = [
        ("uvicorn", line.on_app, peers.uvicorn(ports.app), "Uvicorn running on"),
        ("edge", line.on_edge, peer.edge, peer.edge_ready),
        ("app", line.on_app, peer.app, peer.app_ready),
    ]
    with ExitStack() as stack:
        for name, prefix, command, ready in steps:
            stack.enter_context(running(name, [*prefix, *command], folder)).wait_for(ready)
        yield Place("127.0.0.1", ports.public)


def _systems() -> dict[str, Start]:
    """Return what can be measured on this machine."""
    systems: dict[str, Start] = {"asgi-tunnel": _asgi_tunnel}
    for name, make in peers.installed().items():
        systems[name] = partial(_peer, make)
        if name == "frp":
            # A TCP for each visitor keeps a bulk transfer out of the others' way.
            systems["frp, tcpMux = false"] = partial(_peer, partial(peers.frp, mux=False))
    return systems


def _measure(place: Place, line: Link, *, beside: str, scale: Scale) -> dict[str, float]:
    """Run one of the three loads.

    Raises:
        DriverError: A request failed, or the bulk transfer ended.
    """
    options: list[object] = ["--host", place.host, "--port", place.port, "--name", HOSTNAME]
    options += ["--tls"] if place.is_tls else []
    options += ["--visitors", VISITORS, "--beside", beside]
    options += ["--seconds", max(SECONDS * scale.share, SHORTEST)]
    options += ["--settle", max(SETTLE * scale.share, SHORTEST)]
    with driver("probe", *options, prefix=line.on_edge) as probe:
        result = probe.run()
    if result["errors"]:
        raise DriverError(result["why"])
    key = "alone" if beside == "nothing" else beside
    figures: dict[str, float] = {}
    if result["requests"]:
        figures |= {f"{key}_p50_ms": result["p50_ms"], f"{key}_p99_ms": result["p99_ms"]}
    if beside != "nothing":
        figures[f"{beside}_mbit"] = result["bulk_mbit"]
    return figures


def _lines() -> list[Line]:
    """Return the lines to measure on: one for this machine's TCP, one for a TCP that fills queues.

    Most servers have the second kind.  The namespaces may only use what the machine allows them,
    which is not always cubic; reno is always there.
    """
    usual = congestion_control()
    fills_queues = usual in ("cubic", "reno")
    return [Line(congestion=name) for name in ([usual] if fills_queues else [usual, "reno"])]


def run(folder: Path, scale: Scale) -> dict[str, dict[str, float]]:
    """Measure each system on a line of its own."""
    figures: dict[str, dict[str, float]] = {}
    lines = _lines() if scale.share == 1 else _lines()[:1]
    for line in lines:
        for system, start in _systems().items():
            name = f"{system} ({line.congestion})"
            place_of_files = folder / name.replace(" ", "-")
            place_of_files.mkdir()
            figures[name] = {}
            with link(line) as up, start(place_of_files, up) as place:
                for beside in _LOADS:
                    figures[name] |= _measure(place, up, beside=beside, scale=scale)
                    time.sleep(max(SETTLE * scale.share, SHORTEST))
    return figures


_TITLES = {"alone": "alone", "down": "beside a download", "up": "beside an upload"}

SCENE = Scene(
    name="shaped",
    title=f"Small GETs over a line of 20 Mbit/s and 40 ms round trip, {VISITORS} visitors",
    figures={
        **{
            f"{key}_p{share}_ms": Figure(f"small GET {title}, p{share}", "ms")
            for key, title in _TITLES.items()
            for share in (50, 99)
        },
        "down_mbit": Figure("that download", "Mbit/s", more_is_better=True),
        "up_mbit": Figure("that upload, as its sender sees it", "Mbit/s", more_is_better=True),
    },
    run=run,
    missing=why_not,
)
