"""Where an edge keeps its certificate for other edges: three files in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import CertificateError
from .authority import NodeIdentity

if TYPE_CHECKING:
    from pathlib import Path

    from ..settings.config import EdgeConfig

__all__ = ["read_identity", "write_identity"]

_NAMES: Final = ("authority", "certificate", "key")


def _paths(config: EdgeConfig) -> list[Path]:
    return [config.data_dir / "tls" / f"node-{name}.pem" for name in _NAMES]


def read_identity(config: EdgeConfig) -> NodeIdentity | None:
    """Return what this edge shows the others; None: it is alone.

    Raises:
        CertificateError: It is not alone, and a file cannot be read.
    """
    if not config.is_cluster:
        return None
    try:
        authority, certificate, key = (path.read_bytes() for path in _paths(config))
    except OSError as error:
        sentence = (
            f"the certificate for other edges cannot be read ({error.filename}: {error.strerror});"
            " make it by `asgi-tunnel-edge cluster join`"
        )
        raise CertificateError(sentence) from error
    return NodeIdentity(authority=authority, certificate=certificate, key=key)


def write_identity(config: EdgeConfig, identity: NodeIdentity) -> None:
    """Keep what this edge shows the others; only its own user can read it.

    Raises:
        OSError: The folder cannot be written.
    """
    from ..files import write_atomically

    for path, data in zip(
        _paths(config), (identity.authority, identity.certificate, identity.key), strict=True
    ):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, data)
