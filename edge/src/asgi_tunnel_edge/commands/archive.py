"""One file that holds a whole edge: what ``backup`` writes and ``restore`` reads.

A zip file. Its ``manifest.json`` has versions, and path, size and sha256 of every other file; each
path is below the edge's folder. The database is a copy of one moment, made while an edge may run:
by SQLite, or row by row of a PostgreSQL into such a file, which `store move` puts back. What can be
made anew (``snapshot.json``, ``edge.address``, logs) is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from asgi_tunnel_edge import __version__
from asgi_tunnel_edge.certificates.internal import InternalCertificate, next_certificate
from asgi_tunnel_edge.errors import EdgeConfigError, StorageError, shown
from asgi_tunnel_edge.files import PRIVATE, PRIVATE_DIRECTORY
from asgi_tunnel_edge.pages import page_files
from asgi_tunnel_edge.settings.config import CONFIG_FILE
from asgi_tunnel_edge.storage.database import HEAD_REVISION
from asgi_tunnel_edge.storage.moving import MoveStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["Manifest", "read_archive", "write_archive"]

_FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_DATABASE: Final = "edge.sqlite3"
_NEW_CONFIG: Final = f".{CONFIG_FILE}.new"
_BAD_ARCHIVE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)

MAX_MANIFEST: Final = 1 << 20
"""Bytes of the manifest; an edge's has some thousand."""

MAX_FILES: Final = 64
"""Files in one archive; an edge has about eight, and up to 41 for its pages."""

MAX_FILE: Final = 1 << 20
"""Bytes of a file that is not the database: settings, certificates, keys."""

MAX_DATABASE: Final = 1 << 34
"""Bytes of a database: 16 GiB, where a million tokens take 1 GiB."""

_TRIES: Final = 5
"""Copies that are begun again because a file was changed meanwhile; a change takes milliseconds."""

_CHUNK: Final = 1 << 20  # bytes that are copied at one time


class FileEntry(Struct, frozen=True, kw_only=True):
    """One file of the archive."""

    path: str  #: below the edge's folder, with slashes
    size: int  #: bytes
    sha256: str  #: hex


class Manifest(Struct, frozen=True, kw_only=True):
    """What an archive holds."""

    format: int
    version: str  #: of asgi-tunnel-edge
    database: str  #: its revision
    domain: str
    created_at: int  #: seconds since 1970, UTC
    files: list[FileEntry]
    outside: list[str] = []  #: files that the settings name elsewhere; they are not in it


def write_archive(config: EdgeConfig, target: Path) -> Manifest:
    """Write a copy of an edge, mode 0600, whole or not at all.

    Args:
        config: The edge's; it may run.
        target: Must not exist.

    Raises:
        EdgeConfigError: It does exist, or its folder does not.
        StorageError: The database cannot be read.
        OSError: A file cannot be read or written.
    """
    if target.exists():
        fix = "name another file, or move this one away"
        raise EdgeConfigError("FILE", f"{target} is there already", fix)
    if not target.parent.is_dir():
        raise EdgeConfigError("FILE", f"there is no folder {target.parent}", "make it")
    wanted, outside = _wanted(config)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600
    temporary, copy = Path(name), Path(f"{name}.database")
    try:
        with os.fdopen(handle, "wb") as file:
            files, revision = _copied(config, wanted, copy)
            entries = [
                FileEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
                for path, data in files.items()
            ]
            size = copy.stat().st_size
            entries.append(FileEntry(path=_DATABASE, size=size, sha256=_hash(copy)))
            manifest = Manifest(
                format=_FORMAT,
                version=__version__,
                database=revision,
                domain=config.domain,
                created_at=int(time.time()),
                files=entries,
                outside=[str(path) for path in outside],
            )
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(_MANIFEST, msgspec.json.encode(manifest))
                for path, data in files.items():
                    archive.writestr(path, data)
                archive.write(copy, _DATABASE)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
    return manifest


def _wanted(config: EdgeConfig) -> tuple[dict[str, Path], list[Path]]:
    """Return the files of an edge by their names in the archive, and those that are elsewhere."""
    pair = InternalCertificate(certificate=config.certificate_path, key=config.key_path)
    paths = [config.data_dir / CONFIG_FILE, config.acme_key_path]
    if config.tls.mode in ("internal", "files"):
        paths += [pair.certificate, pair.key]
    if config.tls.mode == "internal":
        coming = next_certificate(pair)
        paths += [coming.certificate, coming.key]
    if config.acme_root_path is not None:
        paths.append(config.acme_root_path)
    if config.acme.update_key is not None:
        paths.append(config.data_dir / config.acme.update_key)
    paths += page_files(config)
    folder = Path(os.path.abspath(config.data_dir))  # noqa: PTH100 - links are not followed
    inside, outside = dict[str, Path](), list[Path]()
    for path in paths:
        plain = Path(os.path.abspath(path))  # noqa: PTH100 - links are not followed
        if not plain.is_relative_to(folder):
            outside.append(plain)
        elif path.exists():
            inside[plain.relative_to(folder).as_posix()] = path
    return inside, outside


def _copied(
    config: EdgeConfig, wanted: Mapping[str, Path], copy: Path
) -> tuple[dict[str, bytes], str]:
    """Copy the database, and return the files and the database's revision, all of one moment."""
    store = MoveStore(config.database)
    files = _read(wanted)
    for _ in range(_TRIES):
        revision = store.copy_to(copy)
        again = _read(wanted)
        if again == files:
            return files, revision
        files = again
    sentence = f"the files in {config.data_dir} change all the time; try again later"
    raise StorageError(sentence)


def _read(wanted: Mapping[str, Path]) -> dict[str, bytes]:
    found = {}
    for name, path in wanted.items():
        with path.open("rb") as file:
            found[name] = file.read(MAX_FILE + 1)
        if len(found[name]) > MAX_FILE:
            why = f"{path} has more than {MAX_FILE} bytes, and is no key or certificate"
            raise EdgeConfigError("backup", why, "correct its name in edge.toml")
    return found


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_archive(source: Path, folder: Path) -> Manifest:
    """Put an edge back into an empty folder: all of it, or nothing.

    Nothing of the archive is trusted before it was compared with its manifest: names that lead out
    of the folder, links, files that are too large or not named are refused.

    Args:
        source: What :func:`write_archive` has written.
        folder: Made where it is missing; must be empty.

    Raises:
        EdgeConfigError: The archive is none, is damaged, or is of a newer version.
        OSError: A file cannot be read or written.
    """
    made: list[Path] = []
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive, source)
            _make_folder(folder, made)
            for entry in manifest.files:
                # What makes the folder an edge's gets its name last.
                is_settings = entry.path == CONFIG_FILE
                path = folder / (_NEW_CONFIG if is_settings else entry.path)
                _make_folder(path.parent, made)
                with archive.open(entry.path) as content:
                    _write(content, path, entry, source, made)
        (folder / _NEW_CONFIG).rename(folder / CONFIG_FILE)
    except BaseException as error:
        _remove(made)
        if isinstance(error, _BAD_ARCHIVE):
            raise _damaged(source, "it is no whole archive") from error
        raise
    return manifest


def _manifest(archive: zipfile.ZipFile, source: Path) -> Manifest:
    """Read the list of the files, and check it and what is there against each other."""
    sizes = {one.filename: one.file_size for one in archive.infolist()}
    if len(archive.infolist()) > MAX_FILES or len(sizes) != len(archive.infolist()):
        raise _damaged(source, "it has too many files, or one twice")
    if not 0 < sizes.pop(_MANIFEST, 0) <= MAX_MANIFEST:
        raise _damaged(source, "it has no manifest")
    try:
        with archive.open(_MANIFEST) as content:
            manifest = msgspec.json.decode(content.read(MAX_MANIFEST), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(source, "its manifest is none") from error
    if manifest.format != _FORMAT or manifest.database > HEAD_REVISION:
        why = f"{source} was made by asgi-tunnel-edge {shown(manifest.version)}, which is newer"
        fix = f"install that version here (this is {__version__}), and try again"
        raise EdgeConfigError("FILE", why, fix)
    if {one.path: one.size for one in manifest.files} != sizes:
        raise _damaged(source, "its files are not those of its manifest")
    if not {CONFIG_FILE, _DATABASE} <= sizes.keys():
        raise _damaged(source, "it has no settings or no database")
    for entry in manifest.files:
        if not _is_below(entry.path):
            raise _damaged(source, f"{shown(entry.path)} leads out of the folder")
        if not 0 <= entry.size <= (MAX_DATABASE if entry.path == _DATABASE else MAX_FILE):
            raise _damaged(source, f"{shown(entry.path)} is too large")
    return manifest


def _is_below(name: str) -> bool:
    """Whether a name is a plain relative path, the same on every system."""
    path = PurePosixPath(name)
    return (
        name == path.as_posix()
        and name.isprintable()
        and not path.is_absolute()
        and not {"..", "."} & set(path.parts)
        and not set("\\:") & set(name)
        and 1 <= len(name) <= 255
    )


def _write(
    content: IO[bytes], path: Path, entry: FileEntry, source: Path, made: list[Path]
) -> None:
    """Write one file, on disk before this returns, and compare it."""
    digest = hashlib.sha256()
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    made.append(path)
    with os.fdopen(number, "wb") as file:
        while data := content.read(_CHUNK):
            digest.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != entry.sha256:
        raise _damaged(source, f"{entry.path} is another one than when it was made")


def _make_folder(folder: Path, made: list[Path]) -> None:
    for one in reversed([folder, *folder.parents]):
        if not one.exists():
            one.mkdir(mode=PRIVATE_DIRECTORY)
            made.append(one)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()


def _damaged(source: Path, why: str) -> EdgeConfigError:
    fix = "take another copy; nothing was changed"
    return EdgeConfigError("FILE", f"{source} cannot be used: {why}", fix)
