"""The certificate of an app's end-to-end hostnames, from two files on the app's machine."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from ..certificates.files import FileCertificates
from ..errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from asgi_tunnel.config import EndToEndConfig

    from ..certificates.source import Certificate

__all__ = ["FILE_CHECK", "HomeCertificates"]

_log = logging.getLogger("asgi_tunnel.end_to_end")

FILE_CHECK: Final = 10.0
"""Seconds between two looks whether the files have changed, or are there by now."""

_UNSET: Final = (
    "end-to-end hostnames need a certificate of the app's own: set ASGI_TUNNEL_ACME_EMAIL to your "
    "e-mail address to get it from Let's Encrypt, whose terms you agree to by that, or set "
    "ASGI_TUNNEL_CERTIFICATE and ASGI_TUNNEL_KEY to its files; until then visitors are refused"
)
_NO_FOLDER: Final = (
    "end-to-end hostnames get no certificate, for this user has no folder of its own to keep it "
    "in; set ASGI_TUNNEL_CERTIFICATES to one; until then visitors are refused"
)


class HomeCertificates:
    """See the module; a :class:`..certificates.source.CertificateSource`.

    Args:
        config: Which files.

    Files that are missing or wrong are named in the log once, and read as soon as that has changed:
    an app serves its other hostnames without them.
    """

    def __init__(self, config: EndToEndConfig) -> None:
        self._config = config
        self._files: FileCertificates | None = None
        self._hostnames: set[str] = set()
        self._said = ""  # what the log has been told last
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a certificate."""
        return self._files is not None

    def find(self, server_name: str | None) -> Certificate | None:
        """See :class:`..certificates.source.CertificateSource`."""
        return None if self._files is None else self._files.find(server_name)

    async def expect(self, hostnames: Iterable[str]) -> None:
        """Read the files, and again when they change; say which hostnames they are not for.

        The hostnames take the place of those before.

        Cancelling it leaves that to the next look.
        """
        self._hostnames = set(hostnames)
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="asgi-tunnel certificate")
        await self.look()
        self._check_names()

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(FILE_CHECK)
            if await self.look():
                self._check_names()

    async def look(self) -> bool:
        """Read the files if they are new, in a thread; return whether another one is shown now."""
        certificate, key = self._config.certificate, self._config.key
        if certificate is None or key is None:
            self._say(_UNSET if self._config.acme_email is None else _NO_FOLDER)
            return False
        try:
            if self._files is not None:
                return await asyncio.to_thread(self._files.look)
            self._files = await asyncio.to_thread(_read, certificate, key)
        except CertificateError as error:
            self._say(f"{error}; visitors of end-to-end hostnames are refused until then")
            return False
        self._said = ""
        return True

    def _check_names(self) -> None:
        if self._files is None:
            return
        for hostname in sorted(self._hostnames):
            if self._files.find(hostname.replace("*", "any", 1)) is None:
                _log.error(
                    "the certificate %s is not for %s, an end-to-end hostname: its visitors are "
                    "refused; get one that is",
                    self._config.certificate,
                    hostname,
                )

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            _log.error("%s", sentence)


def _read(certificate: Path, key: Path) -> FileCertificates:
    return FileCertificates(certificate, key, is_pinned=False, is_home=True)
