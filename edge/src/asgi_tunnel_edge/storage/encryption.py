"""Secrets at rest: encrypted with a key that is in a file of its own, beside the database.

AES-256-GCM. What it protects: a copy of the database alone (a backup, a support bundle, an SQL
injection that reads) holds no private key. What not: whoever reads the whole folder, or is the
edge's user, has both; and a stolen key file opens older copies too.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SecretBox"]

_KEY: Final = 32  # bytes
_NONCE: Final = 12  # bytes, random: 2^32 messages until two may be equal, and there are thousands
_VERSION: Final = b"\x01"


class SecretBox:
    """Encrypts and decrypts with the key in a file (mode 0600), base64 on one line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cipher: AESGCM | None = None

    def create(self) -> None:
        """Make the file, if there is none; of two who do it at once, one makes it.

        Raises:
            OSError: It cannot be written.
        """
        if self.path.exists():
            return
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        write_atomically(draft, base64.b64encode(os.urandom(_KEY)) + b"\n")
        try:
            os.link(draft, self.path)
        except FileExistsError:
            pass  # another one was first, and its key may be in use
        except OSError:
            draft.replace(self.path)  # a file system without links
        finally:
            draft.unlink(missing_ok=True)

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for another use than encrypting; the file is made where there is none.

        Args:
            purpose: What they are for: each has its own.

        Raises:
            StorageError: There is no key, or it is none.
        """
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self.create()
        except OSError as error:
            sentence = f"the key file {self.path} cannot be written ({error.strerror})"
            raise StorageError(sentence) from error
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
        return derive.derive(self._read())

    def seal(self, secret: bytes, *, purpose: str) -> bytes:
        """Encrypt.

        Args:
            secret: What is kept.
            purpose: What it is for; the same has to be given to :meth:`open`, so that a row's
                secret cannot be put into another row.

        Raises:
            StorageError: There is no key, or it is none.
        """
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._load().encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, *, purpose: str) -> bytes:
        """Decrypt.

        Raises:
            StorageError: There is no key, or it is another one, or the content was changed.
        """
        cipher = self._load()
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            end = 1 + _NONCE
            return cipher.decrypt(sealed[1:end], sealed[end:], purpose.encode())
        except (InvalidTag, ValueError) as error:
            sentence = (
                f"the key file {self.path} does not fit what is encrypted in the database; put "
                "back the one that belongs to it"
            )
            raise StorageError(sentence) from error

    def _load(self) -> AESGCM:
        if self._cipher is None:
            self._cipher = AESGCM(self._read())
        return self._cipher

    def _read(self) -> bytes:
        try:
            key = base64.b64decode(self.path.read_bytes().strip(), validate=True)
            if len(key) != _KEY:
                raise binascii.Error
        except OSError as error:
            sentence = (
                f"the key file {self.path}, with which secrets in the database are encrypted, "
                f"cannot be read ({error.strerror}); put back the one that belongs to the "
                "database, or run this as its owner"
            )
            raise StorageError(sentence) from error
        except binascii.Error as error:
            sentence = (
                f"the key file {self.path} holds no key; put back the one that belongs to the "
                "database"
            )
            raise StorageError(sentence) from error
        return key
