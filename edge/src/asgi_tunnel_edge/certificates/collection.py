"""Certificates by the names that they are for; a :class:`.source.CertificateSource`.

Filled by whoever orders or reads them. One that was not looked at here is never shown: what is
asked for is compared with the names in the certificate itself, not with those that were ordered.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptography import x509

from ..errors import CertificateError
from ..hostname import wildcard_of
from .files import listener_context
from .source import Certificate
from .validity import names_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CertificateCollection", "as_file", "context_of"]


class CertificateCollection:
    """See the module.

    Args:
        first: The name whose certificate is shown to a client that names no server: the edge's
            own. An address that has one comes before it.
    """

    def __init__(self, first: str) -> None:
        self._first = first
        self._by_name: dict[str, Certificate] = {}
        self._address: Certificate | None = None  # the newest that is for an address
        self._pems: dict[str, bytes] = {}

    @property
    def pems(self) -> list[bytes]:
        """All chains that are shown, each once."""
        return list(dict.fromkeys(self._pems.values()))

    @property
    def shown(self) -> dict[str, bytes]:
        """The chain that is shown for each name."""
        return dict(self._pems)

    def install(self, chain: bytes, key: bytes) -> None:
        """Show a certificate from now on, for all names in it; connections that are open go on.

        One with a wildcard takes the place of those of single names that it is for: nobody renews
        them any more.

        Args:
            chain: PEM, the certificate itself first.
            key: PEM, without a passphrase.

        Raises:
            CertificateError: They cannot be used.
        """
        try:
            names = names_of(x509.load_pem_x509_certificate(chain))
        except (ValueError, x509.DuplicateExtension) as error:
            message = f"a certificate cannot be read ({error}); order it again"
            raise CertificateError(message) from error
        certificate = Certificate(context_of(chain, key), names)
        for name in [one for one in self._by_name if wildcard_of(one) in names]:
            del self._by_name[name], self._pems[name]
        for name in names:
            self._by_name[name] = certificate
            self._pems[name] = chain
            if ":" in name or name.replace(".", "").isdigit():
                self._address = certificate

    def find(self, server_name: str | None) -> Certificate | None:
        """See :class:`.source.CertificateSource`."""
        if server_name is None:
            return self._address or self.find(self._first)
        found = self._by_name.get(server_name)
        if found is None:
            wildcard = wildcard_of(server_name)
            found = None if wildcard is None else self._by_name.get(wildcard)
        return found


def context_of(chain: bytes, key: bytes) -> ssl.SSLContext:
    """Return TLS settings of the listener with a certificate that is in memory.

    Raises:
        CertificateError: Chain and key do not belong together, or there is no memory for them.
    """
    context = listener_context()
    try:
        with as_file(chain + b"\n" + key) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, OSError) as error:
        message = f"a certificate and its key cannot be used ({error}); order them again"
        raise CertificateError(message) from error
    return context


@contextmanager
def as_file(data: bytes) -> Iterator[str]:
    """A file for OpenSSL, which reads keys from nowhere else; in memory where the system can."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("key", os.MFD_CLOEXEC)
        with open(number, "wb", buffering=0) as file:  # noqa: PTH123 - it has no path
            file.write(data)
            yield f"/proc/self/fd/{number}"
        return
    with tempfile.NamedTemporaryFile() as named:  # mode 0600
        named.write(data)
        named.flush()
        yield named.name
