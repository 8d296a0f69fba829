"""``asgi-tunnel inspect``: the list, and what comes."""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from .inspect_text import summary_line
from .options import print_json

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from .inspect_client import Inspector

__all__ = ["list_exchanges"]

MAX_WAITING: Final = 1000
"""Events that wait to be printed; then the inspector's own queue is the bound."""


def list_exchanges(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """List what fits, and follow what comes; returns the exit code."""
    fits = _filter(options)
    wanted = {"status": options.status, "method": options.method, "host": options.host}
    wanted = {name: value for name, value in {**wanted, "q": options.path}.items() if value}
    newest: list[dict[str, Any]] = []
    after: dict[Path, int] = {}
    for inspector in inspectors:
        last = after[inspector.path] = inspector.ask("GET", "/state")["last"]
        # What comes meanwhile is followed, and not listed as well.
        found = (one for one in inspector.newest(**wanted) if one["seq"] <= last and fits(one))
        newest += islice(found, max(options.n, 0))
    newest.sort(key=lambda one: float(one["started"]))
    newest = newest[-options.n :] if options.n > 0 else []
    with_id = len(inspectors) > 1
    if options.json and not options.follow:
        print_json({"exchanges": newest})
        return 0
    for one in newest:
        print(json.dumps(one) if options.json else summary_line(one, with_id=with_id))
    if not options.follow:
        if not newest:
            print("asgi-tunnel: nothing that fits is recorded", file=sys.stderr)
        return 0
    sys.stdout.flush()
    for event in _followed(inspectors, after):
        if "lost" in event:
            print(f"asgi-tunnel: {event['lost']} exchanges are not shown", file=sys.stderr)
        elif fits(event) and (event["state"] != "open" or event["kind"] == "websocket"):
            print(json.dumps(event) if options.json else summary_line(event, with_id=with_id))
            sys.stdout.flush()
    return 0


def _filter(options: argparse.Namespace) -> Callable[[dict[str, Any]], bool]:
    """Return what decides whether an exchange is listed."""
    status = (options.status or "").lower()

    def fits(one: dict[str, Any]) -> bool:
        found = str(one["status"] or "")
        return (
            (not status or found == status or (status[1:] == "xx" and found[:1] == status[0]))
            and (not options.method or one["method"] == options.method.upper())
            and (not options.path or options.path.lower() in one["path"].lower())
            and (not options.host or one["host"] == options.host.lower())
        )

    return fits


def _followed(inspectors: Sequence[Inspector], after: dict[Path, int]) -> Iterator[dict[str, Any]]:
    """Yield what happens in all processes; ends when the last of them has."""
    happened: queue.Queue[dict[str, Any] | None] = queue.Queue(MAX_WAITING)

    def follow(one: Inspector) -> None:
        try:
            for event in one.follow(after[one.path]):
                happened.put(event)
        except OSError:
            pass  # the process has ended
        happened.put(None)

    for one in inspectors:
        threading.Thread(target=follow, args=(one,), daemon=True).start()
    left = len(inspectors)
    while left:
        event = happened.get()
        if event is None:
            left -= 1
        else:
            yield event
