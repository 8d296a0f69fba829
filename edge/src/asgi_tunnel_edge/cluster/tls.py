"""TLS between edges: both sides show a certificate of the cluster's authority, and trust no other.

Who dials checks that the certificate names the edge that it means (``server_hostname`` is
:func:`.authority.server_name`); who accepts asks :func:`peer_edge` which edge it is.
"""

from __future__ import annotations

import ssl
from typing import Protocol

from ..certificates.collection import as_file
from ..errors import CertificateError
from .authority import NodeIdentity, edge_name, server_name

__all__ = ["accepting_context", "dialing_context", "peer_edge", "server_name"]


class PeerCertificate(Protocol):
    """What has the other side's certificate: ``ssl.SSLObject`` or ``ssl.SSLSocket``."""

    def getpeercert(self, binary_form: bool, /) -> bytes | None:
        """Return it."""


def dialing_context(identity: NodeIdentity) -> ssl.SSLContext:
    """Return the settings of who dials; ``server_hostname`` has to be given with each connection.

    Raises:
        CertificateError: Certificate and key do not belong together, or the authority is none.
    """
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), identity)


def accepting_context(identity: NodeIdentity) -> ssl.SSLContext:
    """Return the settings of who accepts; who dials has to show a certificate.

    Raises:
        CertificateError: Certificate and key do not belong together, or the authority is none.
    """
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), identity)


def peer_edge(connection: PeerCertificate) -> str:
    """Return the name of the edge on the other side, after the handshake.

    Raises:
        CertificateError: Its certificate names none.
    """
    return edge_name(connection.getpeercert(True) or b"")


def _loaded(context: ssl.SSLContext, identity: NodeIdentity) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=identity.authority.decode("ascii"))
        with as_file(identity.certificate + b"\n" + identity.key) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, OSError, ValueError) as error:
        sentence = (
            f"the edge's certificate for other edges cannot be used ({error}); make it again by"
            " `asgi-tunnel-edge cluster join`"
        )
        raise CertificateError(sentence) from error
    return context
