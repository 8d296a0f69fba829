"""The certificates of an app's end-to-end hostnames, from a CA: ordered and renewed by the app.

By the same issuer as the edge's own (``certificates.acme``), with a folder in the place of a
database. Each hostname has a certificate of its own, and is proved by tls-alpn-01: the edge passes
the CA's connection on to the app, as it does with all others.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from ..certificates.acme import AcmeSettings, Issuer, IssuerClock, IssuerHooks
from ..certificates.acme.problems import time_text
from ..certificates.collection import CertificateCollection
from ..errors import CertificateError, HostnameError, StorageError
from ..hostname import normalise_hostname
from ..settings.acme import LETS_ENCRYPT
from .certificates import FILE_CHECK
from .folder import FolderStorage
from .proofs import FolderProofs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from pathlib import Path

    from asgi_tunnel.config import EndToEndConfig

    from ..certificates.acme import IssuanceFailure
    from ..certificates.source import Certificate

__all__ = ["HomeIssuance"]

_log = logging.getLogger("asgi_tunnel.end_to_end")

BUSY: Final = 1.0
"""Seconds between two looks while another process of the app orders: its visitors wait for that."""

MAX_SAID: Final = 1000
"""Sentences that are said once each: an edge chooses the hostnames in them."""

_WILDCARD: Final = (
    "{} gets no certificate: a CA gives one for a wildcard only by a proof in the DNS, which the "
    "app cannot make; make the token for single hostnames, or get a certificate by DNS and set "
    "ASGI_TUNNEL_CERTIFICATE and ASGI_TUNNEL_KEY to its files"
)
_FAILED_BEFORE: Final = "the last order of a certificate for %s failed: %s; next try: %s"
_ACCOUNT: Final = (
    "the app's account with the CA is %s; to let nobody else get a certificate for %s, make the "
    'record: CAA 0 issue "CA; accounturi=%s; validationmethods=tls-alpn-01", with the CA\'s own '
    "name in the place of CA (letsencrypt.org)"
)


class HomeIssuance:
    """See the module; a :class:`..certificates.source.CertificateSource`.

    Args:
        config: Which CA, and as whom.
        folder: For what it gives.

    One for each process; those of one app share the folder, and one of them orders.
    """

    def __init__(self, config: EndToEndConfig, folder: Path) -> None:
        self._directory = config.acme_directory or LETS_ENCRYPT
        self._storage = FolderStorage(folder)
        self._proofs = FolderProofs(folder)
        self._issuer = Issuer(
            AcmeSettings(
                directory_url=self._directory,
                contact=() if config.acme_email is None else (config.acme_email,),
                root=config.acme_root,
            ),
            self._storage,
            [self._proofs],
            IssuerHooks(
                wanted=lambda: self._wanted,
                installed=self._install,
                failed=self._report,
                log=_log,
            ),
            clock=IssuerClock(busy=BUSY),
        )
        self._certificates = CertificateCollection("")
        self._wanted: list[tuple[str, ...]] = []
        self._said: set[str] = set()  # sentences, once each
        self._is_open = False
        self._tried = asyncio.Event()  # the folder was looked at
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the folder could be used, so that a CA may come for a proof, or a visitor."""
        return self._is_open

    def find(self, server_name: str | None) -> Certificate | None:
        """See :class:`..certificates.source.CertificateSource`."""
        return None if server_name is None else self._certificates.find(server_name)

    async def find_proof(self, server_name: str) -> ssl.SSLContext | None:
        """Return what to show to a CA, for a hostname that the edge has named; None: nothing."""
        if (server_name,) not in self._wanted:
            return None
        return await self._proofs.find(server_name)

    async def expect(self, hostnames: Iterable[str]) -> None:
        """Show the certificates that are kept for these hostnames, and order what is missing.

        An order goes on in the background: its proof comes through the tunnel, which opens when
        this has returned. Cancelling it changes nothing about that.
        """
        self._wanted = [(name,) for name in dict.fromkeys(hostnames) if self._can_have(name)]
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="asgi-tunnel certificates")
        self._issuer.wake()
        await self._tried.wait()

    def stop(self) -> None:
        """Order no more; an order in progress goes on at the next start."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._open()
        finally:
            self._tried.set()
        while not self._is_open:
            await asyncio.sleep(FILE_CHECK)
            await self._open()
        await self._issuer.run()

    async def _open(self) -> None:
        """Open the folder, and show what is kept there; the log says why that is impossible."""
        try:
            state = await asyncio.to_thread(self._storage.prepare, self._directory)
            await self._issuer.load()
        except StorageError as error:
            self._say(f"{error}; until then visitors of end-to-end hostnames are refused")
            return
        self._is_open = True
        for names in self._wanted:
            failure = state.failures.get(names)
            if failure is not None:
                when = time_text(failure.retry_at)
                _log.error(_FAILED_BEFORE, names[0], failure.sentence, when)
            elif names not in state.certificates:
                _log.info("there is no certificate for %s yet: it is ordered now", names[0])

    def _can_have(self, hostname: str) -> bool:
        try:
            name = normalise_hostname(hostname, wildcard=True)
        except HostnameError as error:
            self._say(f"no certificate is ordered: {error}")
            return False
        if name.startswith("*."):
            self._say(_WILDCARD.format(name))
            return False
        return name == hostname

    def _install(self, names: tuple[str, ...], chain: bytes, key: bytes) -> None:
        try:
            self._certificates.install(chain, key)
        except CertificateError as error:
            _log.error("%s", error)
            return
        _log.info("the certificate for %s is shown", ", ".join(names))
        self._say_account(names[0])

    def _report(self, failure: IssuanceFailure) -> None:
        end = failure.not_after
        _log.error(
            "no new certificate for %s: %s; %s; next try: %s",
            ", ".join(failure.names),
            failure.sentence,
            "its visitors are refused until there is one"
            if end is None
            else f"the one that is shown ends on {time_text(end)}",
            time_text(failure.retry_at),
        )
        self._say_account(failure.names[0])  # a CAA record that does not name it may be why

    def _say_account(self, hostname: str) -> None:
        account = self._storage.account_url
        if account is not None and account not in self._said:
            self._said.add(account)
            _log.info(_ACCOUNT, account, hostname, account)

    def _say(self, sentence: str) -> None:
        if sentence not in self._said and len(self._said) < MAX_SAID:
            self._said.add(sentence)
            _log.error("%s", sentence)
