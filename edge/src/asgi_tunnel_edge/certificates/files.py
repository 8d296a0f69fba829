"""A certificate and its key from two files, read again when they change.

Made by ``server`` for ``tls.mode`` "internal" and "files" alike. It leaves to ``internal`` to make
such files, and to ``validity`` what visitors will not like about them.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Final

from cryptography import x509

from ..errors import CertificateError
from .source import Certificate
from .validity import names_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import NoReturn

__all__ = ["FileCertificates", "listener_context", "server_context"]

_log = logging.getLogger("asgi_tunnel_edge.certificates")
_HOME_LOG: Final = logging.getLogger("asgi_tunnel.end_to_end")

_Version = tuple[int, ...]

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: those with forward secrecy that no scan complains about; 1.3 has no others."""

_REMAKE: Final = ", or make the edge's own anew: `asgi-tunnel-edge remake certificate`"
_HOME_FIX: Final = "set ASGI_TUNNEL_CERTIFICATE and ASGI_TUNNEL_KEY to files that this app may read"


class FileCertificates:
    """One certificate; a :class:`.source.CertificateSource`.

    Args:
        certificate: PEM, the edge's own first, then those between it and its CA.
        key: PEM, without a passphrase.
        is_pinned: It is the edge's own, and shown whatever name is asked for.
        is_home: They are an app's, so that its variables are what errors name.

    Attributes:
        pem: The certificates, as read.

    Raises:
        CertificateError: A file is missing, unreadable, encrypted, or they do not belong together.
    """

    def __init__(
        self, certificate: Path, key: Path, *, is_pinned: bool, is_home: bool = False
    ) -> None:
        self._files = (certificate, key)
        self._is_pinned = is_pinned
        self._is_home = is_home
        self._log = _HOME_LOG if is_home else _log
        self._version = self._look_at_files()
        self._failed: _Version | None = None  # what could not be used at the last look
        self._warned: _Version | None = None  # what the log has named
        self._read()

    def find(self, server_name: str | None) -> Certificate | None:
        """See :class:`.source.CertificateSource`; who names no server gets the one there is."""
        if server_name is None or self._current.covers(server_name):
            return self._current
        return None

    def look(self) -> bool:
        """Read the files again if they have changed; return whether another one is shown now.

        Files that cannot be used are named in the log, and the old certificate stays. They get two
        looks: certificate and key are seldom written at the same time.
        """
        version = self._look_at_files()
        if version in (self._version, self._warned):
            return False
        try:
            self._read()
        except (CertificateError, OSError) as error:
            if version == self._failed:
                self._warned = version
                self._log.error("the certificate in use stays: %s", error)
            self._failed = version
            return False
        self._version, self._failed, self._warned = version, None, None
        self._log.info("%s has changed and is shown from now on", self._files[0])
        return True

    def _read(self) -> None:
        context = server_context(*self._files, is_home=self._is_home)
        self.pem = self._files[0].read_bytes()
        self._current = Certificate(context, None if self._is_pinned else _names(self.pem))

    def _look_at_files(self) -> _Version:
        found: list[int] = []
        for path in self._files:
            try:
                stat = path.stat()
            except OSError:
                found.append(0)
            else:
                found += (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return tuple(found)


def _names(pem: bytes) -> set[str] | None:
    """The names of the first certificate; None: unknown, and it is shown for all."""
    try:
        return names_of(x509.load_pem_x509_certificate(pem))
    except (ValueError, x509.DuplicateExtension):  # OpenSSL takes more than this library
        return None


def server_context(certificate: Path, key: Path, *, is_home: bool = False) -> ssl.SSLContext:
    """The TLS settings of the public listener: TLS 1.2 or later, HTTP/1.1.

    Args:
        certificate: PEM, the edge's own first, then those between it and its CA.
        key: PEM, without a passphrase.
        is_home: They are an app's, so that its variables are what errors name.

    Raises:
        CertificateError: A file is missing, unreadable, encrypted, or they do not belong together.
    """

    def no_passphrase() -> NoReturn:
        # Without this OpenSSL asks on the terminal, where a service waits for ever.
        message = f"the key {key} has a passphrase; give a key without one"
        raise CertificateError(message)

    for path, what in ((certificate, "certificate"), (key, "key")):
        _check_readable(path, what, _HOME_FIX if is_home else _edge_fix(what))
    context = listener_context()
    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            sentence = (
                f"the key {key} does not belong to the certificate {certificate}; "
                f"give the two files that were issued together{'' if is_home else _REMAKE}"
            )
        else:
            sentence = f"{certificate} and {key} are not a certificate and a key in PEM form; " + (
                _HOME_FIX
                if is_home
                else f"set [tls] certificate and key to the right files{_REMAKE}"
            )
        raise CertificateError(sentence) from error
    return context


def listener_context() -> ssl.SSLContext:
    """The TLS settings of the public listener, still without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _edge_fix(what: str) -> str:
    return (
        f"put it there, or change [tls] {what} in edge.toml; one of the edge's own making is "
        "made anew with `asgi-tunnel-edge remake certificate`"
    )


def _check_readable(path: Path, what: str, fix: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        sentence = f"the {what} {path} cannot be read ({error.strerror}); {fix}"
        raise CertificateError(sentence) from error
