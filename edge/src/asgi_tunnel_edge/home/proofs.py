"""The proofs of tls-alpn-01 that an app shows, in its folder: any of its processes may be asked."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from ..certificates.acme.challenges import TLS_ALPN_01, proof_context, tls_alpn_certificate
from ..certificates.acme.issuer import ORDER_BOUND
from ..errors import SolverError
from ..files import PRIVATE, PRIVATE_DIRECTORY, write_atomically

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

__all__ = ["FolderProofs"]

MAX_AGE: Final = ORDER_BOUND
"""Seconds that a proof is shown: as long as an order may last. One that a crash has left behind is
shown no longer."""


class FolderProofs:
    """See the module; a :class:`..certificates.acme.Solver`.

    Args:
        folder: The app's own.

    A file for each name, with a certificate and its key, written whole. Names are hostnames in
    their one form, so that they are names of files, too; they are in order one at a time.
    """

    kind = TLS_ALPN_01

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "proofs"

    async def present(self, name: str, value: str) -> None:
        """See :class:`..certificates.acme.Solver`.

        Raises:
            SolverError: The file cannot be written.
        """
        try:
            await asyncio.to_thread(self._write, name, value)
        except OSError as error:
            sentence = (
                f"the proof for {name} cannot be written into {self._folder} ({error.strerror}); "
                "set ASGI_TUNNEL_CERTIFICATES to a folder that this app's user may write"
            )
            raise SolverError(sentence) from error

    async def clear(self, name: str, value: str) -> None:
        """See :class:`..certificates.acme.Solver`: of a name one proof is shown at a time."""
        try:
            await asyncio.to_thread(self._path(name).unlink)
        except OSError:
            pass  # gone already, or left to its end

    async def find(self, server_name: str) -> ssl.SSLContext | None:
        """Return the settings with the proof for a name, whichever process has made it.

        Only for a connection that offers :data:`..certificates.acme.ACME_TLS_ONLY`. Cancelling it
        loses nothing.

        Args:
            server_name: A hostname in its one form.
        """
        return await asyncio.to_thread(self._read, server_name)

    def _write(self, name: str, value: str) -> None:
        self._folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        pem = b"".join(tls_alpn_certificate(name, value))
        write_atomically(self._path(name), pem, mode=PRIVATE)

    def _read(self, name: str) -> ssl.SSLContext | None:
        path = self._path(name)
        try:
            if time.time() - path.stat().st_mtime > MAX_AGE:
                return None
            return proof_context(path.read_bytes())
        except OSError:  # most often: there is none
            return None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.pem"
