"""TLS toward the edge: whom to trust, and one sentence for each way in which that fails.

Nothing but the TLS handshake was sent when one of these errors is raised. Called by ``dial``.
"""

from __future__ import annotations

import hmac
import ssl
import time
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from .errors import TunnelError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["EdgeTLSError", "PinError", "explain", "is_pinned", "tls_context"]


class _Verify(IntEnum):
    """Numbers of OpenSSL's x509_vfy.h, which the ssl module does not name."""

    NO_ISSUER = 2
    NOT_YET_VALID = 9
    EXPIRED = 10
    SELF_SIGNED = 18
    SELF_SIGNED_IN_CHAIN = 19
    NO_LOCAL_ISSUER = 20
    NO_CHAIN = 21
    OTHER_HOSTNAME = 62
    OTHER_ADDRESS = 64


_UNKNOWN_CA: Final = frozenset(
    {
        _Verify.NO_ISSUER,
        _Verify.SELF_SIGNED_IN_CHAIN,
        _Verify.NO_LOCAL_ISSUER,
        _Verify.NO_CHAIN,
    }
)
_OTHER_NAME: Final = frozenset({_Verify.OTHER_HOSTNAME, _Verify.OTHER_ADDRESS})

_TOO_OLD: Final = frozenset(
    {
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSV1_ALERT_INSUFFICIENT_SECURITY",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "NO_PROTOCOLS_AVAILABLE",
    }
)
_NO_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
_NO_CERTIFICATE: Final = "TLSV1_UNRECOGNIZED_NAME"

_CA_FILE: Final = "ASGI_TUNNEL_CA_FILE"


class PinError(TunnelError):
    """The edge showed another certificate than the token names.

    Attributes:
        kept_in: The file of the certificates that the edge has named since; empty: none.
    """

    def __init__(self, kept_in: str = "") -> None:
        super().__init__(kept_in)
        self.kept_in = kept_in

    def __str__(self) -> str:
        if self.kept_in:
            return (
                "the edge's certificate is neither the one that it had nor the next one that it "
                "named; someone may be in between, or the edge was set up anew or put back from a "
                "copy, or changed its certificate twice meanwhile: create a new token there, or, "
                f"if it was put back, remove {self.kept_in}"
            )
        return (
            "the edge's certificate is not the one that the token names; someone may be in "
            "between, or the edge was set up anew: create a new token there"
        )


class EdgeTLSError(TunnelError, OSError):
    """TLS with the edge failed; no token was sent.

    Also an OSError, as the ssl module's own errors are: the next address is tried.

    Attributes:
        sentence: What, why and what to do.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def tls_context(*, is_pinned: bool, ca_file: Path | None) -> ssl.SSLContext:
    """Return the settings of one try; CAs are read anew for each.

    Args:
        is_pinned: The certificate is compared with pins, and no CA is asked.
        ca_file: PEM of the CAs to trust in the place of the system's.

    Raises:
        EdgeTLSError: The file cannot be used.
    """
    if is_pinned:
        # The pin says which certificate it is: no authority has to be loaded (20 ms, 830 KiB).
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            why = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            sentence = (
                f"{_CA_FILE} names {ca_file}, which cannot be used ({why}); put the certificate "
                "of the edge's CA there, in PEM form"
            )
            raise EdgeTLSError(sentence) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def is_pinned(transport: asyncio.Transport, pins: Sequence[str]) -> bool:
    """Whether the certificate of a connection is one of the pins."""
    tls = transport.get_extra_info("ssl_object")
    certificate = None if tls is None else tls.getpeercert(binary_form=True)
    if certificate is None:
        return False
    shown = "sha256:" + sha256(certificate).hexdigest()
    return any(hmac.compare_digest(shown, pin.lower()) for pin in pins)


def explain(error: OSError, host: str) -> EdgeTLSError:
    """Return why TLS failed, for the owner of the app.

    Args:
        error: As the handshake raised it; one without a text is a connection that was closed.
        host: What was dialed.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return EdgeTLSError(_untrusted(error, host))
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if reason in _NO_TLS:
        return EdgeTLSError(
            f"what answers at {host} does not speak TLS, and no token is sent without it; look "
            "whether host and port are the edge's, and whether its TLS is on"
        )
    if reason in _TOO_OLD:
        return EdgeTLSError(
            f"{host} offers no TLS 1.2 or later, and older ones are not safe; upgrade what ends "
            f"TLS there ({reason})"
        )
    if reason == _NO_CERTIFICATE:
        return EdgeTLSError(
            f"the edge has no certificate for {host} yet; look there with `asgi-tunnel-edge cert "
            "list`"
        )
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or not str(error):
        return EdgeTLSError(f"{host} closed the connection during the TLS handshake")
    return EdgeTLSError(f"TLS with {host} failed ({reason or error})")


def _untrusted(error: ssl.SSLCertVerificationError, host: str) -> str:
    code = error.verify_code
    clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    if code in _OTHER_NAME:
        return (
            f"the certificate at {host} is for other names; dial a name that it is for (public_url "
            "in edge.toml, then a new token), or give the edge one for this name"
        )
    if code == _Verify.EXPIRED:
        return (
            f"the certificate at {host} has expired: renew it there, or set this machine's clock, "
            f"which says {clock}"
        )
    if code == _Verify.NOT_YET_VALID:
        return (
            f"the certificate at {host} is not valid yet: set this machine's clock, which says "
            f"{clock}, or the one of the machine that made it"
        )
    if code == _Verify.SELF_SIGNED:
        return (
            f"the certificate at {host} is self-signed, and the token names no pin that it is "
            f"known by; create a new token on the edge, or set {_CA_FILE} to this certificate"
        )
    if code in _UNKNOWN_CA:
        return (
            f"the certificate at {host} is from a CA that this machine does not know, or comes "
            f"without those in between; give the edge the whole chain, or set {_CA_FILE} to the "
            "CA's own"
        )
    return (
        f"the certificate at {host} cannot be trusted ({error.verify_message}); give the edge "
        "another one"
    )
