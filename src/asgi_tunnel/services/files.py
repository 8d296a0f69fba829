"""Serves the files of a folder: ranges, validators, index.html; nothing outside, nothing hidden.

Each segment of a path is looked at alone, and the file is opened along real folders, one after the
other, without following a link that somebody has put there meanwhile.
"""

from __future__ import annotations

import asyncio
import html
import mimetypes
import os
import re
import stat
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, unquote_to_bytes

from ..asgi.types import Receive, Scope, Send
from .reply import Field, refuse, reply
from .service import FolderTarget

READ_SIZE: Final = 128 * 1024
"""Bytes read in a thread at a time: a frame of the tunnel holds as much."""

MAX_LISTED: Final = 10_000
"""Names that a listing shows: 1 MiB of HTML."""

_RANGE: Final = re.compile(
    r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE
).fullmatch
_WELL_KNOWN: Final = ".well-known"  # RFC 8615: a hidden name that is meant to be seen
_OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NO_BLOCK: Final = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for its writer
_FOLDER: Final = getattr(os, "O_DIRECTORY", 0)
_HAS_DIR_FD: Final = os.open in os.supports_dir_fd

_TYPES: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".md": "text/markdown"}
_ENCODED: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
}
_TEXT: Final = frozenset({"application/json", "image/svg+xml", "application/xml"})


class Folder:
    """An ASGI app that serves one folder.

    Args:
        target: Which one, and how.
    """

    def __init__(self, target: FolderTarget) -> None:
        self._target = target
        self._root = os.path.realpath(target.folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.  Cancelling it closes the file."""
        if scope["type"] != "http":
            await refuse(scope, receive, send, 404, "there are files here, and no WebSocket")
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _refuse_method(scope, receive, send)
            return
        segments = _segments(scope["raw_path"], scope["root_path"])
        found = None
        if segments is not None:
            found = await asyncio.to_thread(self._find, segments)
        if found is None:
            await refuse(scope, receive, send, 404, "there is no such file")
        elif isinstance(found, _Listing):
            await self._send_page(scope, send, found)
        elif isinstance(found, _Moved):
            await self._redirect(scope, send, found)
        else:
            await _send_file(scope, receive, send, found)

    # -- in a thread -------------------------------------------------------------------------

    def _find(self, segments: list[str]) -> _File | _Listing | _Moved | None:
        """Return what a path leads to.  Blocks."""
        wants_folder = not segments or segments[-1] == ""
        names = [one for one in segments if one] if wants_folder else segments
        if any(not self._is_shown(one) for one in names):
            return None
        path = Path(self._root, *names)
        try:
            is_folder = path.is_dir()
            if is_folder and not wants_folder:
                return _Moved(names) if self._is_inside(path) else None
            if wants_folder and not is_folder:
                return None
            if not is_folder:
                return self._open(path, names[-1])
            index = path / "index.html"
            if index.is_file():
                return self._open(index, "index.html")
            if self._target.listing and self._is_inside(path):
                return self._list(path, at_top=not names)
        except (OSError, ValueError):  # no such file, no permission, a name that no file can have
            return None
        return None

    def _is_shown(self, name: str) -> bool:
        return self._target.hidden or not name.startswith(".") or name == _WELL_KNOWN

    def _is_inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self._root)

    def _open(self, path: Path, name: str) -> _File | None:
        """Open a regular file inside the folder; links are allowed while they stay inside."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self._root):
            return None
        handle = self._open_real(real.relative_to(self._root).parts)
        file = os.fdopen(handle, "rb", buffering=0)
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            file.close()
            return None
        return _File(file, info.st_size, info.st_mtime_ns, content_type(name))

    def _open_real(self, parts: tuple[str, ...]) -> int:
        """Open along real names: a link on the way was put there since they were found."""
        last = _OPEN_FLAGS | _NO_BLOCK | _NO_FOLLOW
        if not _HAS_DIR_FD or not parts:
            return os.open(Path(self._root, *parts), last)
        at = os.open(self._root, _OPEN_FLAGS | _FOLDER)
        try:
            for part in parts[:-1]:
                below = os.open(part, _OPEN_FLAGS | _FOLDER | _NO_FOLLOW, dir_fd=at)
                os.close(at)
                at = below
            return os.open(parts[-1], last, dir_fd=at)
        finally:
            os.close(at)

    def _list(self, path: Path, *, at_top: bool) -> _Listing:
        lines: list[str] = [] if at_top else ['<li><a href="../">../</a></li>']
        names: list[tuple[bool, str]] = []
        with os.scandir(path) as entries:
            for entry in entries:
                if self._is_shown(entry.name) and len(names) < MAX_LISTED:
                    names.append((not entry.is_dir(), entry.name))
        for is_file, name in sorted(names):
            shown = name if is_file else name + "/"
            # "./": a name with a colon would be read as a scheme.
            link = quote("./" + shown)
            lines.append(f'<li><a href="{html.escape(link)}">{html.escape(shown)}</a></li>')
        return _Listing("\n".join(lines).encode("utf-8", "replace"))

    # -- responses ---------------------------------------------------------------------------

    async def _send_page(self, scope: Scope, send: Send, found: _Listing) -> None:
        body = (
            b'<!doctype html>\n<html lang="en"><meta charset="utf-8">\n'
            b'<meta name="viewport" content="width=device-width">\n<title>Files</title>\n'
            b"<h1>Files</h1>\n<ul>\n%s\n</ul></html>\n" % found.items
        )
        fields = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"content-security-policy", b"default-src 'none'"),
            (b"cache-control", b"no-cache"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send(_body(b"" if scope["method"] == "HEAD" else body))

    async def _redirect(self, scope: Scope, send: Send, found: _Moved) -> None:
        """Send the visitor to the folder, with a slash at its end and the query."""
        place = "/".join([scope["root_path"], *(quote(one) for one in found.names), ""])
        location = place.encode("latin-1", "replace")
        if scope["query_string"]:
            location += b"?" + scope["query_string"]
        fields = [(b"location", location), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 301, "headers": fields})
        await send(_body(b""))


@dataclass(slots=True)
class _File:
    """An open file, and what its head says."""

    file: BinaryIO
    size: int
    modified: int  # nanoseconds
    kind: str

    @property
    def etag(self) -> str:
        """Differs whenever size or time of change do."""
        return f'"{self.modified:x}-{self.size:x}"'


@dataclass(slots=True)
class _Listing:
    """The items of a folder's page."""

    items: bytes


@dataclass(slots=True)
class _Moved:
    """A folder that was asked for without its slash."""

    names: list[str]


def _segments(raw_path: bytes, root_path: str) -> list[str] | None:
    """Return a path's segments below the root, decoded; None where it can name no file."""
    raw = raw_path.removeprefix(root_path.encode())
    parts = raw.split(b"/")[1:] if raw else [b""]
    found: list[str] = []
    for number, part in enumerate(parts):
        name = os.fsdecode(unquote_to_bytes(part))
        is_end = number == len(parts) - 1
        if not name and not is_end:
            return None  # two slashes: no file has an empty name
        if "/" in name or "\0" in name or os.sep in name or name in (".", ".."):
            return None
        if os.altsep is not None and (os.altsep in name or ":" in name):
            return None  # Windows: drives and streams
        found.append(name)
    return found


def content_type(name: str) -> str:
    """Return the media type of a file, by its name."""
    suffix = Path(name).suffix.lower()
    kind, encoding = mimetypes.guess_type(name)
    if encoding is not None:  # photos.tar.gz is a gzip file, not a tar file in transit
        return _ENCODED.get(encoding, "application/octet-stream")
    kind = _TYPES.get(suffix) or kind or "application/octet-stream"
    if kind.startswith("text/") or kind in _TEXT:
        return f"{kind}; charset=utf-8"
    return kind


async def _send_file(scope: Scope, receive: Receive, send: Send, found: _File) -> None:
    with found.file:
        headers = dict(reversed(scope["headers"]))  # the first of each name
        fields: list[Field] = [
            (b"etag", found.etag.encode()),
            (b"last-modified", formatdate(found.modified // 10**9, usegmt=True).encode()),
            (b"accept-ranges", b"bytes"),
            (b"cache-control", b"no-cache"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if not _is_expected(headers, found):
            await refuse(scope, receive, send, 412, "the file is another one by now")
            return
        if _is_known(headers, found):
            await send({"type": "http.response.start", "status": 304, "headers": fields})
            await send(_body(b""))
            return
        status, start, end = 200, 0, found.size
        wanted = _range(headers, found) if scope["method"] == "GET" else None
        if wanted is not None:
            status, (start, end) = 206, wanted
            if start >= end:
                fields = [(b"content-range", b"bytes */%d" % found.size), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 416, "headers": fields})
                await send(_body(b""))
                return
            fields.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, found.size)))
        fields += [
            (b"content-type", found.kind.encode()),
            (b"content-length", b"%d" % (end - start)),
        ]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        if scope["method"] == "HEAD" or start == end:
            await send(_body(b""))
            return
        await _send_bytes(receive, send, found.file, start, end)


async def _send_bytes(receive: Receive, send: Send, file: BinaryIO, start: int, end: int) -> None:
    """Send a part of a file; a visitor who leaves ends it."""
    left = asyncio.ensure_future(_wait_gone(receive)) if end - start > READ_SIZE else None
    try:
        await asyncio.to_thread(file.seek, start)
        while start < end:
            piece = await asyncio.to_thread(file.read, min(READ_SIZE, end - start))
            if not piece:
                raise EOFError("the file became shorter while it was sent")
            start += len(piece)
            await send(_body(piece, more=start < end))
            if left is not None and left.done():
                return
    finally:
        if left is not None:
            left.cancel()


async def _wait_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_expected(headers: dict[bytes, bytes], found: _File) -> bool:
    """Whether If-Match or If-Unmodified-Since allows the request (RFC 9110 section 13.2.2)."""
    match = headers.get(b"if-match")
    if match is not None:
        return match.strip() == b"*" or found.etag in _tags(match)
    since = _date(headers.get(b"if-unmodified-since"))
    return since is None or found.modified // 10**9 <= since


def _is_known(headers: dict[bytes, bytes], found: _File) -> bool:
    """Whether the visitor has this version."""
    tags = headers.get(b"if-none-match")
    if tags is not None:
        weak = [one.removeprefix("W/") for one in _tags(tags)]
        return tags.strip() == b"*" or found.etag in weak
    since = _date(headers.get(b"if-modified-since"))
    return since is not None and found.modified // 10**9 <= since


def _range(headers: dict[bytes, bytes], found: _File) -> tuple[int, int] | None:
    """Return the part that was asked for, start and end; None for the whole file.

    Several parts get the whole (RFC 9110 section 14.2 allows it).  Start beyond end: 416.
    """
    match = _RANGE(headers.get(b"range", b"").decode("latin-1"))
    if match is None or match[1] == match[2] == "":
        return None
    condition = headers.get(b"if-range")
    if condition is not None:
        text = condition.decode("latin-1").strip()
        if text.startswith(('"', "W/")):
            if text != found.etag:  # a weak one never fits
                return None
        elif _date(condition) != found.modified // 10**9:
            return None
    first, last = match[1], match[2]
    if not first:
        return max(found.size - int(last), 0), found.size if int(last) else 0
    if last and int(last) < int(first):
        return None  # no valid range
    return int(first), min(int(last) + 1, found.size) if last else found.size


def _tags(value: bytes) -> list[str]:
    return [one.strip() for one in value.decode("latin-1").split(",")]


def _date(value: bytes | None) -> int | None:
    if value is None:
        return None
    try:
        return int(parsedate_to_datetime(value.decode("latin-1")).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None


def _body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _refuse_method(scope: Scope, receive: Receive, send: Send) -> None:
    text = "405 Method Not Allowed: files are read with GET or HEAD\n"
    await reply(scope, receive, send, 405, text, [(b"allow", b"GET, HEAD")])
