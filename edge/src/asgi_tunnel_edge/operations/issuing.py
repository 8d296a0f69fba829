"""The text of a token with a new secret, which is shown once and kept only as a hash.

Called by ``token create`` and ``token rotate``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tunnel.token import Token
from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.certificates.internal import fingerprint
from asgi_tunnel_edge.errors import CertificateError
from asgi_tunnel_edge.tokens import new_secret

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["issue_token"]


def issue_token(config: EdgeConfig, token_id: str) -> Token:
    """Return a token with a new secret, for the edge as it is reached and known now.

    Raises:
        EdgeConfigError: Which port the edge has is not known.
        CertificateError: The edge's own certificate, which the token is to name, cannot be read.
    """
    edge = public_address(config).edge_url
    return Token(edge=edge, id=token_id, secret=new_secret(), pin=_pin(config))


def _pin(config: EdgeConfig) -> str | None:
    """The certificate that a connector has to meet; None where a CA vouches for it."""
    if config.tls.mode != "internal":
        return None
    path = config.certificate_path
    try:
        return fingerprint(path.read_bytes())
    except OSError as error:
        sentence = (
            f"the certificate {path} cannot be read ({error.strerror}); put a copy back, or "
            "make a new one with `asgi-tunnel-edge remake certificate`, which says what that costs"
        )
        raise CertificateError(sentence) from error
