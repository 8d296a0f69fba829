"""The snapshot in a file, with which an edge starts while its database cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from asgi_tunnel_edge.accounts import AccessRecords
from asgi_tunnel_edge.ban import BanRecord, ScannerBan
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.files import PRIVATE, write_atomically
from asgi_tunnel_edge.maintenance import MaintenanceRecord
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_snapshot_file", "save_snapshot_file"]

_VERSION: Final = 1


class _File(Struct, frozen=True, kw_only=True):
    """``snapshot.json``. It holds hashes of secrets, no secrets."""

    version: int
    generation: int
    tokens: list[TokenRecord]
    bans: list[BanRecord] = []  # a file of an edge without bans has none
    scanner_bans: list[ScannerBan] = []
    maintenance: list[MaintenanceRecord] = []
    access: AccessRecords = AccessRecords()


def save_snapshot_file(snapshot: Snapshot, path: Path) -> None:
    """Write ``snapshot.json``, whole or not at all, for the edge's user alone.

    Raises:
        OSError: It cannot be written.
    """
    content = _File(
        version=_VERSION,
        generation=snapshot.generation,
        tokens=list(snapshot.tokens.values()),
        bans=list(snapshot.bans),
        scanner_bans=list(snapshot.scanner_bans),
        maintenance=list(snapshot.maintenance),
        access=snapshot.access,
    )
    write_atomically(path, msgspec.json.encode(content), mode=PRIVATE)


def load_snapshot_file(path: Path) -> Snapshot:
    """Read ``snapshot.json``.

    Raises:
        StorageError: It is missing, or not such a file.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        sentence = f"the snapshot {path} cannot be read ({error.strerror})"
        raise StorageError(sentence) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"the snapshot {path} is broken") from error
    if content.version != _VERSION:
        raise StorageError(f"the snapshot {path} is of another version")
    return Snapshot.of(
        content.generation,
        content.tokens,
        bans=content.bans,
        scanner_bans=content.scanner_bans,
        maintenance=content.maintenance,
        access=content.access,
    )
