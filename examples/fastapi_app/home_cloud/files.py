"""`/api/files` and `/api/folders`: browse, download, upload, delete."""

from collections.abc import Mapping
from dataclasses import asdict
from stat import S_ISDIR, S_ISREG
from typing import Annotated, Final
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request, Response
from fastapi.requests import HTTPConnection
from fastapi.responses import FileResponse, JSONResponse
from starlette.requests import ClientDisconnect

from .events import JournalDep
from .origin import require_same_origin
from .storage import Storage, StorageError, StoredFile

router = APIRouter(dependencies=[Depends(require_same_origin)])

# Browsers show these themselves; they cannot carry scripts. The rest, above all HTML and SVG from
# strangers, is only ever downloaded: shown from our address it could act as our page.
SHOWN_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif")
SHOWN_PREFIXES: Final = ("video/", "audio/", "text/plain", "application/pdf")
DOWNLOAD_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
}


def get_storage(connection: HTTPConnection) -> Storage:
    """Return the storage that the lifespan opened."""
    storage: Storage = connection.state.storage
    return storage


StorageDep = Annotated[Storage, Depends(get_storage)]


@router.get("/api/files", response_model=None)
@router.get("/api/files/{path:path}", response_model=None)
@router.head("/api/files/{path:path}", response_model=None, include_in_schema=False)
def browse(storage: StorageDep, path: str = "") -> Response:
    """List a folder as JSON, or send a file (with Range: the parts asked for)."""
    status = storage.status(path)
    if S_ISDIR(status.st_mode):
        entries = [asdict(entry) for entry in storage.list(path)]
        listing = {"path": path.strip("/"), "entries": entries}
        return JSONResponse(listing, headers={"cache-control": "no-store"})
    if not S_ISREG(status.st_mode):
        raise StorageError(404, f"{path!r} is neither a file nor a folder.")
    located = storage.locate(path)
    response = FileResponse(located, stat_result=status, headers=DOWNLOAD_HEADERS)
    kind = response.media_type or ""
    shown = kind in SHOWN_TYPES or kind.startswith(SHOWN_PREFIXES)
    disposition = f"{'inline' if shown else 'attachment'}; filename*=utf-8''{quote(located.name)}"
    response.headers["content-disposition"] = disposition
    return response


@router.put("/api/files/{path:path}", status_code=201, response_model=StoredFile)
async def upload(
    path: str,
    request: Request,
    storage: StorageDep,
    journal: JournalDep,
    overwrite: bool = False,
) -> StoredFile | Response:
    """Store the request body as a file; folders above it are created.

    A taken name is answered with 409, before the body is read where possible, unless `overwrite`.
    """
    announced = request.headers.get("content-length")
    size = int(announced) if announced is not None else None
    await run_sync(lambda: storage.check_upload(path, size=size, overwrite=overwrite))
    try:
        stored = await storage.store(path, request.stream(), overwrite=overwrite)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody is there to read it; the part is gone
    journal.add("uploaded", path=path.strip("/"), size=stored.size)
    return stored


@router.delete("/api/files/{path:path}", status_code=204)
async def delete(
    path: str, storage: StorageDep, journal: JournalDep, recursive: bool = False
) -> None:
    """Delete a file or an empty folder; with `recursive`, a folder and all that is in it."""
    await run_sync(lambda: storage.delete(path, recursive=recursive))
    journal.add("deleted", path=path.strip("/"))


@router.post("/api/folders/{path:path}", status_code=201)
async def create_folder(path: str, storage: StorageDep, journal: JournalDep) -> dict[str, str]:
    """Create a folder, and those above it."""
    await run_sync(storage.create_folder, path)
    journal.add("created", path=path.strip("/"))
    return {"path": path.strip("/")}
