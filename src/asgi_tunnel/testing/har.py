"""Replays a HAR into an app: what a browser or an inspector has recorded, as a test."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from ..asgi.types import ASGIApp
from ..inspector.edits import Edits
from ..inspector.har_reader import MAX_HAR, read_har
from ..inspector.recorded import EDGE_FIELDS
from ..inspector.replay import prepare
from ..inspector.reply import RefusedError
from .edge import LocalEdge
from .visitor import Response

__all__ = ["replay"]


async def replay(
    har: str | PathLike[str] | Mapping[str, Any],
    *,
    app: ASGIApp,
    headers: Mapping[str, str] | None = None,
    hosts: Collection[str] = (),
    lifespan: Literal["auto", "on", "off"] = "auto",
) -> list[Response]:
    """Send the requests of a HAR to an app, one after another, and return its responses.

    Args:
        har: Path of a file, or what JSON makes of one.
        app: Any ASGI app.
        headers: Values in the place of those that were recorded, such as an ``authorization``:
            secrets were not.
        hosts: Only requests to these; by default all. A browser's HAR has those to others, too.
        lifespan: As that of :class:`.LocalEdge`.

    Returns:
        In the order of the file, one for each request.

    Raises:
        ValueError: It is no HAR, has a WebSocket, or not all of a request was kept; the sentence
            says which.
        OSError: The file cannot be read.
        StreamResetError: The app failed in the middle of a response.

    ``accept-encoding`` is left out, so that bodies can be read; ``headers`` may have one.
    Cancelling it is a visitor who leaves. What the app raises is logged and answered with 500.
    """
    values = {name.lower(): value for name, value in (headers or {}).items()}
    left_out = EDGE_FIELDS | ({"accept-encoding"} - values.keys())
    responses = []
    async with LocalEdge(app, lifespan=lifespan) as edge:
        for number, detail in enumerate(_read(har), 1):
            if hosts and detail["host"] not in hosts:
                continue
            where = f"request {number} of the HAR, {detail['method']} {detail['path']}"
            if detail["kind"] == "websocket":
                raise ValueError(f"{where}, is a WebSocket; replay() sends HTTP requests")
            try:
                request = prepare(detail, Edits(values=values), now=0)
            except RefusedError as error:
                raise ValueError(f"{where}: {error}") from None
            fields = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in request.scope["headers"]
                if name.decode("latin-1") not in left_out
            ]
            responses.append(
                await edge.request(
                    detail["method"], detail["path"], headers=fields, body=request.body
                )
            )
    return responses


def _read(har: str | PathLike[str] | Mapping[str, Any]) -> list[dict[str, Any]]:
    source: bytes | Mapping[str, Any]
    if isinstance(har, Mapping):
        source = har
    else:
        with Path(har).open("rb") as file:
            source = file.read(MAX_HAR + 1)
    try:
        return read_har(source)
    except RefusedError as error:
        raise ValueError(str(error)) from None
