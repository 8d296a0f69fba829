"""The figures that the project asks of itself, and whether a run shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.report import Kind, Report, number, table

_BULK_PEERS = ("ssh -R", "frp", "frp, tcpMux = false")
SERVICES = "asgi-tunnel services"
"""With a server on a local port behind it, as every peer has."""


@dataclass(frozen=True)
class Line:
    """One figure of the summary.

    Attributes:
        title: What it is.
        asked: What it should be.
        found: What it is, or a dash where this run did not measure it.
        is_met: Whether that is so; None where it is unknown.
    """

    title: str
    asked: str
    found: str
    is_met: bool | None


def summary(report: Report) -> str:
    """Return the table of the asked figures, one row for each of our systems where both have it."""
    return table(["figure", "asked", "measured", "met"], rows(lines(report)))


def rows(found: Iterable[Line]) -> list[list[str]]:
    """Return the table's rows for some figures."""
    words = {True: "yes", False: "**no**", None: "-"}
    return [[line.title, line.asked, line.found, words[line.is_met]] for line in found]


def lines(report: Report) -> Iterator[Line]:
    """Yield the figures in the order in which they are asked for."""
    for name in report.names(Kind.OURS):
        if name == SERVICES:
            continue
        yield from _small_gets(report, name)
        yield from _echo(report, name)
        yield from _bulk(report, name)
        yield from _beside(report, name)
    yield from services_lines(report)
    yield from https_lines(report)
    yield from _shaped(report)
    yield _scene(report, "idle", "edge_kib", "idle TLS tunnel on the edge", 60, "KiB")
    yield _scene(report, "visitors", "lost", "10,000 visitor WebSockets: echoes lost", 0, "")
    yield _scene(report, "visitors", "edge_kib", "10,000 visitor WebSockets: each", 60, "KiB")
    yield _scene(report, "imports", "added_ms", "import asgi_tunnel over import asyncio", 5, "ms")


def _median(report: Report, workload: str, system: str, key: str) -> float | None:
    result = report.result(workload)
    return result.median(system, key) if result else None


def _direct(report: Report, workload: str, key: str) -> float | None:
    return next((_median(report, workload, name, key) for name in report.names(Kind.DIRECT)), None)


def _best(report: Report, workload: str, names: list[str], key: str) -> tuple[str, float] | None:
    result = report.result(workload)
    return result.best(names, key) if result else None


def _at_least(title: str, value: float | None, reference: float | None, least: float) -> Line:
    asked = f">= {least:g}x"
    if value is None or not reference:
        return Line(title, asked, "-", None)
    return Line(title, asked, f"{value / reference:.2f}x", value / reference >= least)


def _small_gets(report: Report, name: str) -> Iterator[Line]:
    peers = report.names(Kind.PEER)
    title = f"{name}: small GET"
    rate = _median(report, "small-get-32", name, "rate")
    direct = _direct(report, "small-get-32", "rate")
    yield _at_least(f"{title}, 32 connections / uvicorn direct", rate, direct, 1.0)
    best = _best(report, "small-get-32", peers, "rate")
    against = f"the best peer ({best[0]})" if best else "the best peer"
    yield _at_least(f"{title}, 32 connections / {against}", rate, best and best[1], 1.5)
    mine = _median(report, "small-get-1", name, "p50_us")
    direct = _direct(report, "small-get-1", "p50_us")
    yield _below(
        f"{title}, 1 connection: p50 added to uvicorn direct",
        None if mine is None or direct is None else mine - direct,
        150,
        "us",
    )
    for workload, key, what in (
        ("small-get-1", "p50_us", "1 connection: p50, us"),
        ("small-get-32", "cpu_us", "32 connections: CPU of all processes, us"),
    ):
        best = _best(report, workload, peers, key)
        mine = _median(report, workload, name, key)
        yield _lowest(f"{title}, {what}", mine, best)


def _lowest(
    title: str,
    mine: float | None,
    best: tuple[str, float] | None,
    asked: str = "below every peer",
) -> Line:
    if mine is None or best is None:
        return Line(title, asked, "-", None)
    found = f"{number(mine)}; {best[0]} {number(best[1])}"
    return Line(title, asked, found, mine < best[1])


def _below(title: str, value: float | None, most: float, unit: str) -> Line:
    asked = f"<= {most:g} {unit}".strip()
    if value is None:
        return Line(title, asked, "-", None)
    return Line(title, asked, f"{number(value)} {unit}".strip(), value <= most)


def _echo(report: Report, name: str) -> Iterator[Line]:
    workload = "websocket-32b-100"
    yield _at_least(
        f"{name}: WebSocket echo of 32 B, 100 sockets / uvicorn direct",
        _median(report, workload, name, "rate"),
        _direct(report, workload, "rate"),
        1.0,
    )


def _bulk(report: Report, name: str) -> Iterator[Line]:
    peers = [one for one in report.names(Kind.PEER) if one in _BULK_PEERS]
    for way in ("down", "up"):
        best = _best(report, f"bulk-{way}", peers, "mb_per_s")
        against = best[0] if best else " or ".join(_BULK_PEERS)
        mine = _median(report, f"bulk-{way}", name, "mb_per_s")
        yield _at_least(f"{name}: 1 GiB {way} / {against}", mine, best and best[1], 1.0)


def _beside(report: Report, name: str) -> Iterator[Line]:
    alone = _median(report, "beside", name, "alone_p99_us")
    for way, title in (("down", "a download"), ("up", "an upload")):
        p99 = _median(report, "beside", name, f"{way}_p99_us")
        full = f"{name}: p99 of small GETs beside {title}"
        if p99 is None or not alone:
            yield Line(full, "<= 3x alone and <= 20 ms", "-", None)
            continue
        found = f"{p99 / alone:.2f}x, {number(p99 / 1e3)} ms"
        is_met = p99 <= 3 * alone and p99 <= 20_000
        yield Line(full, "<= 3x alone and <= 20 ms", found, is_met)


def services_lines(report: Report) -> Iterator[Line]:
    """A local port behind the tunnel: beside the tunnels that lead to nothing else."""
    peers = [one for one in report.names(Kind.PEER) if one in _BULK_PEERS]
    for workload, key, what, least in (
        ("small-get-1", "rate", "small GET, 1 connection", 1.2),
        ("small-get-32", "rate", "small GET, 32 connections", 1.2),
        ("bulk-down", "mb_per_s", "1 GiB down", 1.0),
        ("websocket-32b-100", "rate", "WebSocket echo of 32 B, 100 sockets", 1.0),
    ):
        best = _best(report, workload, peers, key)
        against = best[0] if best else " or ".join(_BULK_PEERS)
        mine = _median(report, workload, SERVICES, key)
        yield _at_least(f"{SERVICES}: {what} / {against}", mine, best and best[1], least)
    best = _best(report, "small-get-32", peers, "cpu_us")
    mine = _median(report, "small-get-32", SERVICES, "cpu_us")
    title = f"{SERVICES}: small GET, 32 connections: CPU of all processes, us"
    yield _lowest(title, mine, best)


def https_lines(report: Report) -> Iterator[Line]:
    """TLS ends at the edge: beside the reverse proxies that people put in front of an app."""
    proxies = report.names(Kind.REFERENCE, is_tls=True)
    name = next(iter(report.names(Kind.OURS, is_tls=True)), "asgi-tunnel run, TLS")
    for count in (1, 32, 256):
        workload = f"tls-get-{count}"
        title = f"{name}: small GET, {count} connection{'s' if count > 1 else ''}"
        nginx = _median(report, workload, "nginx, TLS", "rate")
        mine = _median(report, workload, name, "rate")
        yield _at_least(f"{title} / nginx and uvicorn", mine, nginx, 1.0)
        best = _best(report, workload, proxies, "cpu_us")
        mine = _median(report, workload, name, "cpu_us")
        yield _lowest(f"{title}: CPU of all processes, us", mine, best, "below nginx and Caddy")


def _shaped(report: Report) -> Iterator[Line]:
    result = report.result("shaped")
    names = [one for one in result.rounds if one.startswith("asgi-tunnel")] if result else []
    for name in names or ["asgi-tunnel"]:
        value = _median(report, "shaped", name, "down_p99_ms")
        title = f"shaped link, {name}: p99 of small GETs beside a download"
        yield _below(title, value, 190, "ms")


def _scene(report: Report, scene: str, key: str, title: str, most: float, unit: str) -> Line:
    return _below(title, _median(report, scene, "asgi-tunnel", key), most, unit)
