"""The certificates of a CA in a file of the edge, for a start while its PostgreSQL is down.

As ``snapshot.json`` is for tokens. Private keys are encrypted as in the store. An edge whose store
is a file beside it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.files import PRIVATE, write_atomically

from .encryption import SecretBox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["CertificateCopy"]

Shown = tuple[bytes, bytes]
"""A chain and its private key, both PEM."""


class _Entry(Struct, frozen=True, kw_only=True):
    names: tuple[str, ...]
    chain: bytes
    key: bytes  # encrypted


class _File(Struct, frozen=True, kw_only=True):
    directory: str
    certificates: list[_Entry]


class CertificateCopy:
    """See the module; every method blocks for some milliseconds.

    Args:
        path: The file.
        key_path: The file with the key for private keys.
        directory: The URL of the CA's directory: what came from another one is not shown.
    """

    def __init__(self, path: Path, key_path: Path, directory: str) -> None:
        self._path = path
        self._box = SecretBox(key_path)
        self._directory = directory

    def save(self, certificates: Mapping[tuple[str, ...], Shown]) -> None:
        """Write the file, whole or not at all.

        Raises:
            StorageError: There is no key.
            OSError: It cannot be written.
        """
        entries = [
            _Entry(names=names, chain=chain, key=self._box.seal(key, purpose=_purpose(names)))
            for names, (chain, key) in certificates.items()
        ]
        content = _File(directory=self._directory, certificates=entries)
        write_atomically(self._path, msgspec.json.encode(content), mode=PRIVATE)

    def load(self) -> dict[tuple[str, ...], Shown]:
        """Read the file; empty: there is none, or it is of another CA.

        Raises:
            StorageError: It cannot be read, or is broken.
        """
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return {}
        except OSError as error:
            sentence = f"the copy of certificates {self._path} cannot be read ({error.strerror})"
            raise StorageError(sentence) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StorageError(f"the copy of certificates {self._path} is broken") from error
        if content.directory != self._directory:
            return {}
        return {
            one.names: (one.chain, self._box.open(one.key, purpose=_purpose(one.names)))
            for one in content.certificates
        }


def _purpose(names: tuple[str, ...]) -> str:
    return " ".join(("copy", *names))
