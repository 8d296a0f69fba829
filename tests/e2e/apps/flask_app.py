"""Flask, a WSGI app, through a2wsgi."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask, Response, request

from . import common

flask = Flask(__name__)


@flask.get("/about")
def about() -> dict[str, Any]:
    """Say what the framework sees."""
    return {
        "client": request.remote_addr,
        "port": int(request.environ["REMOTE_PORT"]),
        "scheme": request.scheme,
        "url": request.url,
        "started": None,
    }


@flask.post("/echo")
def echo() -> Response:
    """Return the body."""
    return Response(request.get_data(), content_type="application/octet-stream")


@flask.get("/stream/<key>")
def stream(key: str) -> Response:
    """Send one line, and the other one when the gate is open."""

    def lines() -> Iterator[bytes]:
        yield b"first\n"
        common.gate(key).wait(common.GATE_TIMEOUT)
        yield b"last\n"

    return Response(lines(), content_type="text/plain")


@flask.post("/release/<key>")
def release(key: str) -> str:
    """Open a gate."""
    common.gate(key).set()
    return ""


def terminated(environ: Any, start_response: Any) -> Any:
    """Say that the input ends by itself: else Werkzeug reads no chunked body."""
    environ["wsgi.input_terminated"] = True
    return flask(environ, start_response)


app = WSGIMiddleware(terminated)
