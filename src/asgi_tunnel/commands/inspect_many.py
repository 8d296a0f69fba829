"""``asgi-tunnel inspect``: what is done with many exchanges, or with all.

Each function gets the options and the inspectors, and returns the exit code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..inspector.har import make_har
from ..inspector.har_reader import MAX_HAR, read_har
from ..inspector.reply import RefusedError
from .inspect_client import Inspector, find_exchange
from .options import plain, print_json

if TYPE_CHECKING:
    import argparse

__all__ = ["change_level", "clear", "export", "load"]

LOAD_PIECE: Final = 4 * 1024 * 1024
"""Bytes of a HAR that are sent at once: half of what an inspector takes."""


def export(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Print exchanges as a HAR."""
    if options.ids:
        details = [find_exchange(inspectors, one)[1] for one in dict.fromkeys(options.ids)]
    else:
        details = [
            one.ask("GET", f"/exchanges/{found['id']}")
            for one in inspectors
            for found in one.newest()
        ]
    print_json(make_har(details))
    return 0


def load(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Add the exchanges of a HAR."""
    if len(inspectors) > 1:
        raise RefusedError(400, "several apps run here; say with --pid which is to have it")
    with Path(options.file).open("rb") as file:
        data = file.read(MAX_HAR + 1)
    read_har(data)  # all of it can be read, or nothing is sent
    count = 0
    for piece in _pieces(json.loads(data)["log"]["entries"]):
        count += len(inspectors[0].ask("POST", "/har", {"log": {"entries": piece}})["ids"])
    print(f"{count} exchanges are added")
    return 0


def _pieces(entries: list[Any]) -> Iterator[list[Any]]:
    """Yield the entries of a HAR in pieces that are sent at once."""
    piece: list[Any] = []
    size = 0
    for one in entries:
        length = len(json.dumps(one))
        if piece and size + length > LOAD_PIECE:
            yield piece
            piece, size = [], 0
        piece.append(one)
        size += length
    if piece:
        yield piece


def clear(_: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Forget everything."""
    for one in inspectors:
        count = one.ask("GET", "/state")["exchanges"]
        one.ask("DELETE", "/exchanges")
        print(f"{count} exchanges of process {one.pid} are forgotten")
    return 0


def change_level(options: argparse.Namespace, inspectors: Sequence[Inspector]) -> int:
    """Change what is recorded from now on."""
    for one in inspectors:
        state = one.ask("PUT", "/state", {"level": options.level})
        print(f"process {one.pid} ({plain(state['app'])}) records at level {state['level']} now")
    return 0
