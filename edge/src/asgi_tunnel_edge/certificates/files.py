"""A certificate and its key from two files, read once.

Made by ``server`` for ``tls.mode`` "internal" and "files" alike. It leaves to ``internal`` to make
such files, and to whoever renews them to start the edge again.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ..errors import CertificateError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import NoReturn

__all__ = ["FileCertificates", "server_context"]


class FileCertificates:
    """One certificate for all names; a :class:`.source.CertificateSource`.

    Args:
        certificate: PEM, the edge's own first, then those between it and its CA.
        key: PEM, without a passphrase.

    Raises:
        CertificateError: A file is missing, unreadable, encrypted, or they do not belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = server_context(certificate, key)

    def context(self, server_name: str | None) -> ssl.SSLContext:
        """See :class:`.source.CertificateSource`; which name is asked for makes no difference."""
        return self._context


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The TLS settings of the public listener: TLS 1.2 or later, HTTP/1.1.

    Args:
        certificate: PEM, the edge's own first, then those between it and its CA.
        key: PEM, without a passphrase.

    Raises:
        CertificateError: A file is missing, unreadable, encrypted, or they do not belong together.
    """

    def no_passphrase() -> NoReturn:
        # Without this OpenSSL asks on the terminal, where a service waits for ever.
        message = f"the key {key} has a passphrase; give a key without one"
        raise CertificateError(message)

    for path, what in ((certificate, "certificate"), (key, "key")):
        _check_readable(path, what)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            sentence = (
                f"the key {key} does not belong to the certificate {certificate}; "
                "give the two files that were issued together, or make the edge's own anew: "
                "`asgi-tunnel-edge remake certificate`"
            )
        else:
            sentence = (
                f"{certificate} and {key} are not a certificate and a key in PEM form; "
                "set [tls] certificate and key to the right files, or make the edge's own anew: "
                "`asgi-tunnel-edge remake certificate`"
            )
        raise CertificateError(sentence) from error
    return context


def _check_readable(path: Path, what: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        sentence = (
            f"the {what} {path} cannot be read ({error.strerror}); "
            f"put it there, or change [tls] {what} in edge.toml; one of the edge's own making is "
            "made anew with `asgi-tunnel-edge remake certificate`"
        )
        raise CertificateError(sentence) from error
