"""The application: composes storage, events and chat, and serves the page.

Run it with any ASGI server, or with no server at all: `asgi-tunnel run home_cloud.main:app`.
"""

import os
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypedDict

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from asgi_tunnel import TunnelMiddleware

from . import chat, events, files
from .signals import on_stop_signal
from .storage import Storage, StorageError

STATIC_FOLDER: Final = Path(__file__).parent / "static"
# Browsers keep the page, but ask each time whether it changed.
NO_CACHE: Final = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
PAGE_HEADERS: Final = NO_CACHE | {
    "content-security-policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
}


class AppState(TypedDict):
    """What requests find in `request.state`; the server copies it from the lifespan."""

    storage: Storage
    journal: events.Journal
    room: chat.Room


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[AppState]:
    """Open the folder, and end the endless streams when the process is told to stop."""
    storage = Storage(Path(os.environ.get("HOME_CLOUD_DIR", "cloud-files")))
    storage.prepare()
    journal = events.Journal()
    room = chat.Room(journal)

    def stop() -> None:
        room.close()
        journal.close()

    with on_stop_signal(stop):
        yield {"storage": storage, "journal": journal, "room": room}
    stop()


app = FastAPI(title="Home Cloud", lifespan=lifespan)
app.add_middleware(TunnelMiddleware)  # with ASGI_TUNNEL_TOKEN set, this is a public web site
app.include_router(files.router)
app.include_router(events.router)
app.include_router(chat.router)


class PageFiles(StaticFiles):
    """Scripts and styles of the page, never older in a browser than on the disk."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: MutableMapping[str, Any],
        status_code: int = 200,
    ) -> Response:
        """Answer as StaticFiles does, and add our headers."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(NO_CACHE)
        return response


app.mount("/static", PageFiles(directory=STATIC_FOLDER), name="static")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Serve the page."""
    return FileResponse(STATIC_FOLDER / "index.html", headers=PAGE_HEADERS)


@app.get("/api/health")
async def health() -> dict[str, str]:
    """Say that the app is up."""
    return {"status": "ok"}


@app.get("/api/whoami")
async def whoami(request: Request) -> dict[str, Any]:
    """Show what the app knows about its visitor, straight from the ASGI scope.

    Behind the tunnel it is the truth: the visitor's own address, and https, without proxy headers.
    """
    scope = request.scope
    return {
        "client": scope.get("client"),
        "scheme": scope["scheme"],
        "host": request.headers.get("host"),
        "http_version": scope["http_version"],
        "server": scope.get("server"),
    }


@app.exception_handler(StorageError)
async def answer_storage_error(_request: Request, error: StorageError) -> JSONResponse:
    """Answer a refused file operation with its status and one sentence."""
    return JSONResponse({"detail": error.detail}, status_code=error.status)
