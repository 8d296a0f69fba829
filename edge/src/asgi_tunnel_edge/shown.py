"""The certificates that one edge shows, wherever they come from.

Made by ``server`` for each ``tls.mode`` but "off": its own or files, looked at again while it runs,
or those of a CA (``issuance``).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import TYPE_CHECKING, Final

from cryptography import x509

from .certificates.collection import CertificateCollection
from .certificates.files import FileCertificates
from .certificates.internal import (
    InternalCertificate,
    create_next_certificate,
    fingerprint,
    next_certificate,
)
from .certificates.validity import expiry_of, names_of, validity_warnings
from .errors import CertificateError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from .bus.events import Events
    from .certificates.source import Certificate, CertificateSource
    from .endpoints.endpoint import Endpoint
    from .issuance import Issuance
    from .listeners.client_hello import ClientHello
    from .settings.config import EdgeConfig
    from .supervision import SocketSource
    from .tokens import Snapshot

__all__ = ["ShownCertificates"]

_log = logging.getLogger("asgi_tunnel_edge.server")

_FILE_CHECK: Final = 2.0  # seconds between two looks whether files have changed
_VALIDITY_CHECK: Final = 86400.0  # seconds between two looks at times and names


class ShownCertificates:
    """See the module.

    Args:
        config: The edge's settings.
        held: Sockets that a parent holds.
        events: To and from the other processes and edges.
        orders: Whether this process orders from a CA, and makes the edge's own next certificate.

    Attributes:
        pins: The certificates that apps are to accept, of an edge that they know by a pin: the one
            that is shown, and the next one. Empty: a CA vouches.

    Raises:
        CertificateError: The files cannot be used.
    """

    def __init__(
        self,
        config: EdgeConfig,
        held: SocketSource | None = None,
        *,
        events: Events | None = None,
        orders: bool = True,
    ) -> None:
        self.pins: tuple[str, ...] = ()
        self._config = config
        self._orders = orders
        self._own = InternalCertificate(certificate=config.certificate_path, key=config.key_path)
        self._next_seen: tuple[int, ...] | None = None  # the file of the next one, as it was read
        self._next_pin: str | None = None
        self._files: FileCertificates | None = None
        self._collection: CertificateCollection | None = None  # of a CA
        self._issuance: Issuance | None = None
        self._source: CertificateSource
        self._look_due = 0.0
        self._validity_due = 0.0
        if config.tls.mode == "acme":
            collection = self._source = self._collection = CertificateCollection(config.domain)
            from .issuance import Issuance  # what only an edge with a CA needs to load

            self._issuance = Issuance(config, collection, held, events=events, orders=orders)
        else:
            self._source = self._files = FileCertificates(
                config.certificate_path, config.key_path, is_pinned=config.tls.mode == "internal"
            )

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """What a CA asks for on the port for plain HTTP."""
        return [] if self._issuance is None else [self._issuance.endpoint]

    @property
    def failures(self) -> dict[tuple[str, ...], str]:
        """Why there is no new certificate from a CA, by its names."""
        return {} if self._issuance is None else self._issuance.failures

    def expiring(self) -> dict[str, str]:
        """What is wrong with the times of certificates that are shown, by their names."""
        pems = [] if self._files is None else [self._files.pem]
        if self._collection is not None:
            pems += self._collection.pems
        found: dict[str, str] = {}
        for pem in pems:
            warnings = validity_warnings(pem, [], dt.datetime.now(dt.UTC))
            if warnings:
                found[_names(pem) or self._config.domain] = warnings[0]
        return found

    async def start(self, snapshot: Snapshot) -> None:
        """Show what there is, and begin to order what is missing.

        Raises:
            StorageError: What a CA has issued cannot be read.
        """
        if self._issuance is not None:
            self._issuance.follow(snapshot)
            await self._issuance.start()
        if self._config.tls.mode == "internal":
            if self._orders:
                await self._make_next()
            self._look_at_next()
            self._set_pins()

    async def _make_next(self) -> None:
        try:
            await asyncio.to_thread(create_next_certificate, self._config.domain, self._own)
        except OSError as error:
            _log.warning(
                "no next certificate can be made ahead in %s (%s); when this one is changed, "
                "every app needs a new token; make the folder writable for the edge's user",
                self._own.certificate.parent,
                error.strerror,
            )

    def retire(self) -> None:
        """Order no more; see :meth:`.issuance.Issuance.retire`."""
        if self._issuance is not None:
            self._issuance.retire()

    async def stop(self) -> None:
        """Order no more, and wait until proofs are taken away."""
        if self._issuance is not None:
            await self._issuance.stop()

    def follow(self, snapshot: Snapshot) -> None:
        """Other hostnames are registered."""
        if self._issuance is not None:
            self._issuance.follow(snapshot)

    def find(self, server_name: str | None) -> Certificate | None:
        """See :class:`.certificates.source.CertificateSource`."""
        return self._source.find(server_name)

    def expiries(self) -> dict[str, float]:
        """When the certificate that is shown for each name expires, in seconds since 1970."""
        found: dict[str, float] = {}
        if self._collection is not None:
            for name, pem in self._collection.shown.items():
                if (known := expiry_of(pem)) is not None:
                    found[name] = known[1]
        elif self._files is not None and (known := expiry_of(self._files.pem)) is not None:
            names, expiry = known
            found.update(dict.fromkeys(names or (self._config.domain,), expiry))
        return found

    def proof(self, hello: ClientHello) -> ssl.SSLContext | None:
        """What to show to a CA that looks whose a name is; None: this is no CA."""
        return None if self._issuance is None else self._issuance.proof(hello)

    def look(self, now: float, names: Callable[[], Sequence[str]]) -> None:
        """Take files that have changed, and once a day say what visitors will not like about them.

        Args:
            now: Monotonic seconds.
            names: Gives the names that visitors and apps dial.
        """
        files, mode = self._files, self._config.tls.mode
        if files is None:
            return
        if now >= self._look_due:
            self._look_due = now + _FILE_CHECK
            if mode == "internal":
                # Before the one that is shown: a change ends with another next one, and this one
                # may not be missing from the pins meanwhile.
                self._look_at_next()
            if files.look():
                self._validity_due = now
            self._set_pins()
        if now >= self._validity_due:
            self._validity_due = now + _VALIDITY_CHECK
            # Who pins the edge's own does not read its names.
            dialed = names() if mode == "files" else []
            for warning in validity_warnings(files.pem, dialed, dt.datetime.now(dt.UTC)):
                _log.warning("the certificate %s %s", self._config.certificate_path, warning)

    def _look_at_next(self) -> None:
        path = next_certificate(self._own).certificate
        try:
            stat = path.stat()
            seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if seen == self._next_seen:
                return
            self._next_pin = fingerprint(path.read_bytes())
            self._next_seen = seen
        except (OSError, CertificateError):
            self._next_pin = self._next_seen = None

    def _set_pins(self) -> None:
        if self._files is not None and self._config.tls.mode == "internal":
            shown = fingerprint(self._files.pem)
            coming = [] if self._next_pin is None else [self._next_pin]
            pins = tuple(dict.fromkeys([shown, *coming]))
            if self.pins and pins != self.pins:
                _log.info(
                    "the edge's certificate, or its next one, has changed; apps are asked for "
                    "fresh sessions, and so hear of it"
                )
            self.pins = pins


def _names(pem: bytes) -> str:
    """The names that a certificate is for, in one text; empty where they cannot be read."""
    try:
        return ", ".join(sorted(names_of(x509.load_pem_x509_certificate(pem))))
    except (ValueError, x509.DuplicateExtension):
        return ""
