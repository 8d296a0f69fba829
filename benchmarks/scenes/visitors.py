"""10,000 visitors with a WebSocket each, through one edge to one app.

They come from several loopback addresses, because one address may have 1,000 connections; no
limit of the edge is changed.
"""

from __future__ import annotations

import resource
from pathlib import Path

from benchmarks.drivers.launch import driver
from benchmarks.model import HOSTNAME, Figure, Scale, Scene
from benchmarks.process import cpu_seconds, resident_bytes
from benchmarks.scenes import edge as own

VISITORS = 10_000
ECHOES = 3  # of each
SIZE = 32  # bytes of a message
SOURCES = 20
TIMEOUT = 120.0  # seconds for all echoes

_OTHER_FILES = 100


def why_not() -> str:
    """Return why this machine cannot do it, or an empty string."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < VISITORS + _OTHER_FILES:
        return f"a process may have {hard} open files here, and {VISITORS} visitors need more"
    return ""


def run(folder: Path, scale: Scale) -> dict[str, dict[str, float]]:
    """Let everybody connect, then let everybody echo at one time."""
    count = max(100, round(VISITORS * scale.share))
    data = own.init(folder)
    with own.edge(data) as edge:
        token = own.create_token(data)
        with own.app(folder, token) as app:
            empty, empty_app = resident_bytes(edge.pid), resident_bytes(app.pid)
            options = ["--port", own.port(data), "--name", HOSTNAME, "--size", SIZE]
            options += ["--sockets", count, "--rounds", ECHOES, "--seconds", TIMEOUT]
            with driver("websocket", *options, "--sources", SOURCES) as visitors:
                open_, open_app = resident_bytes(edge.pid), resident_bytes(app.pid)
                before = cpu_seconds(edge.pid)
                result = visitors.run()
                cpu = cpu_seconds(edge.pid) - before
                full = resident_bytes(edge.pid)
    messages = result["messages"]
    return {
        "asgi-tunnel": {
            "lost": result["unanswered"] + result["errors"],
            "rate": messages / result["seconds"],
            "edge_kib": (full - empty) / count / 1024,
            "edge_open_kib": (open_ - empty) / count / 1024,
            "app_kib": (open_app - empty_app) / count / 1024,
            "edge_cpu_us": cpu / max(messages, 1) * 1e6,
        }
    }


SCENE = Scene(
    name="visitors",
    title=f"{VISITORS} visitors with a WebSocket each, {VISITORS * ECHOES} echoes of {SIZE} B",
    figures={
        "lost": Figure("echoes lost", ""),
        "rate": Figure("messages/s", "1/s", more_is_better=True),
        "edge_kib": Figure("edge: resident memory of each, after the echoes", "KiB"),
        "edge_open_kib": Figure("edge: resident memory of each, before them", "KiB"),
        "app_kib": Figure("app: resident memory of each, before them", "KiB"),
        "edge_cpu_us": Figure("edge: CPU per message", "us"),
    },
    run=run,
    missing=why_not,
)
