"""Files below one folder: safe paths, listings, uploads that appear whole or not at all.

Knows nothing of HTTP but the status that fits each refusal. All methods but `store` block for the
time of a disk access; callers run them in a worker thread.
"""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

import anyio
from anyio.to_thread import run_sync

UPLOAD_FOLDER: Final = ".uploads"  # unfinished uploads: same disk as the rest, never listed
WRITE_SIZE: Final = 512 * 1024  # bytes gathered for one write; fewer trips to a worker thread
STALE_AGE: Final = 24 * 3600.0  # seconds after which an unfinished upload is litter of a crash


class StorageError(Exception):
    """A file operation was refused.

    Attributes:
        status: The HTTP status that says so.
        detail: One sentence for the visitor.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a listing."""

    name: str
    type: Literal["folder", "file"]
    size: int | None  # bytes; None for a folder
    modified: float  # seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """What an upload became."""

    name: str
    size: int  # bytes
    sha256: str  # hexadecimal


class Storage:
    """The folder that visitors see."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._uploads = self.root / UPLOAD_FOLDER

    def prepare(self) -> None:
        """Create the folder where missing, and remove what crashed uploads left behind."""
        self._uploads.mkdir(parents=True, exist_ok=True)
        for part in self._uploads.iterdir():
            if part.stat().st_mtime < time.time() - STALE_AGE:
                part.unlink(missing_ok=True)

    def locate(self, path: str) -> Path:
        """Return where `path` lies on the disk; "" is the root.

        Raises:
            StorageError: The path leaves the folder, by ".." or a link, or is no valid name.
        """
        parts = [part for part in path.split("/") if part]
        if any(part in {".", ".."} for part in parts):
            raise StorageError(400, "The path must not contain '.' or '..'.")
        if any(char < " " or char == "\\" for char in path):  # below " ": control characters
            raise StorageError(400, "The path contains a character that is not allowed.")
        if parts and parts[0].casefold() == UPLOAD_FOLDER:
            raise StorageError(404, f"There is no {path!r}.")
        located = self.root.joinpath(*parts)
        with _explained(path):
            inside = located.resolve().is_relative_to(self.root)
        if not inside:
            raise StorageError(400, "The path leads out of the shared folder.")
        return located

    def status(self, path: str) -> os.stat_result:
        """Return the status of a file or folder; of a link, of what it leads to."""
        located = self.locate(path)
        with _explained(path):
            return located.stat()

    def list(self, path: str) -> list[Entry]:
        """Return what a folder holds: folders first, then by name."""
        folder = self.locate(path)
        entries: list[Entry] = []
        with _explained(path), os.scandir(folder) as found:
            for item in found:
                if self._is_listed(item):
                    status = item.stat()
                    is_folder = item.is_dir()
                    entries.append(
                        Entry(
                            name=item.name,
                            type="folder" if is_folder else "file",
                            size=None if is_folder else status.st_size,
                            modified=status.st_mtime,
                        )
                    )
        return sorted(entries, key=lambda entry: (entry.type == "file", entry.name.casefold()))

    def create_folder(self, path: str) -> None:
        """Create a folder, and those above it."""
        located = self._locate_below_root(path)
        with _explained(path):
            located.mkdir(parents=True)

    def delete(self, path: str, *, recursive: bool) -> None:
        """Delete a file, or a folder: an empty one, or with `recursive` all that is in it."""
        located = self._locate_below_root(path)
        with _explained(path):
            if located.is_symlink() or not located.is_dir():
                located.unlink()
            elif recursive:
                shutil.rmtree(located)
            else:
                located.rmdir()

    def check_upload(self, path: str, *, size: int | None, overwrite: bool) -> None:
        """Refuse an upload that cannot succeed before its body is sent.

        Args:
            path: Where the file shall be.
            size: Announced size in bytes; None when the visitor did not say.
            overwrite: Whether an existing file may be replaced.
        """
        target = self._locate_below_root(path)
        with _explained(path):
            if target.is_dir():
                raise StorageError(409, f"{target.name!r} is a folder.")
            if target.exists() and not overwrite:
                raise _name_taken(target.name)
            free = shutil.disk_usage(self.root).free
        if size is not None and size > free:
            raise StorageError(507, f"{size} bytes do not fit: {free} bytes are free.")

    async def store(
        self, path: str, chunks: AsyncIterator[bytes], *, overwrite: bool
    ) -> StoredFile:
        """Write a stream to disk and give it its name when it is complete.

        At most WRITE_SIZE bytes and one chunk are in memory. When the stream fails or this call is
        cancelled, nothing remains.

        Raises:
            StorageError: The name is taken, or the disk refuses.
        """
        target = self._locate_below_root(path)
        with _explained(path):
            part = await run_sync(_Part, self._uploads / f"{uuid4().hex}.part")
            try:
                buffer = bytearray()
                async for chunk in chunks:
                    buffer += chunk
                    if len(buffer) >= WRITE_SIZE:
                        await run_sync(part.write, bytes(buffer))
                        buffer.clear()
                await run_sync(part.write, bytes(buffer))
                await run_sync(part.publish, target, overwrite)
            finally:
                with anyio.CancelScope(shield=True):
                    await run_sync(part.discard)
        return StoredFile(name=target.name, size=part.size, sha256=part.digest.hexdigest())

    def _locate_below_root(self, path: str) -> Path:
        located = self.locate(path)
        if located == self.root:
            raise StorageError(400, "A name is missing: this is the shared folder itself.")
        return located

    def _is_listed(self, item: os.DirEntry[str]) -> bool:
        """Hide unfinished uploads, links that lead out, and what is neither file nor folder."""
        if item.name == UPLOAD_FOLDER and Path(item.path) == self._uploads:
            return False
        if item.is_symlink() and not Path(item.path).resolve().is_relative_to(self.root):
            return False
        return item.is_file() or item.is_dir()


class _Part:
    """An unfinished upload: a file without its name yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)

    def publish(self, target: Path, overwrite: bool) -> None:
        """Give the file its name in one step, so nobody ever reads half of it."""
        self._file.close()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:  # mkdir's word for a file where a folder should be
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
        if overwrite:
            self._path.replace(target)
            return
        # A link fails when the name is taken, where a rename would replace: of two uploads of
        # the same name at the same time one wins, and the other is told.
        try:
            target.hardlink_to(self._path)
        except FileExistsError:
            raise _name_taken(target.name) from None
        except OSError:  # a file system without links, such as exFAT: check, then rename
            if target.exists():
                raise _name_taken(target.name) from None
            self._path.rename(target)

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def _name_taken(name: str) -> StorageError:
    return StorageError(409, f"{name!r} exists already.")


_OS_ERRORS: Final[dict[int, tuple[int, str]]] = {
    errno.ENOENT: (404, "There is no {}."),
    errno.EEXIST: (409, "{} exists already."),
    errno.ENOTEMPTY: (409, "The folder {} is not empty."),
    errno.ENOTDIR: (409, "In {}, a name that should be a folder is a file."),
    errno.EISDIR: (409, "{} is a folder."),
    errno.EACCES: (403, "The disk does not permit this for {}."),
    errno.EPERM: (403, "The disk does not permit this for {}."),
    errno.EROFS: (403, "The disk is read-only; {} was not changed."),
    errno.ENAMETOOLONG: (400, "The name {} is too long for the disk."),
    errno.EINVAL: (400, "The disk refuses the name {}."),
    errno.ELOOP: (400, "The links in {} lead in a circle."),
    errno.ENOSPC: (507, "The disk is full; {} was not stored."),
    errno.EDQUOT: (507, "The disk quota is used up; {} was not stored."),
}


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn errors of the operating system into refusals with a status and a sentence."""
    try:
        yield
    except OSError as error:
        known = _OS_ERRORS.get(error.errno or 0)
        if known is None:
            raise
        status, sentence = known
        raise StorageError(status, sentence.format(repr(path))) from error
