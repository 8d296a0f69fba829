"""Where an edge has its certificate for other edges: one file, for its parts belong together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import CertificateError
from ..files import PRIVATE_DIRECTORY, write_atomically
from .authority import NodeIdentity

if TYPE_CHECKING:
    from ..settings.config import EdgeConfig

__all__ = ["identity_path", "load_identity", "read_identity", "save_identity"]

_BEGIN: Final = b"-----BEGIN "


def identity_path(data_dir: Path) -> Path:
    """Return the file with key, certificate and authority, in an edge's folder."""
    return data_dir / "tls" / "cluster.pem"


def save_identity(data_dir: Path, identity: NodeIdentity) -> None:
    """Write the file (mode 0600).

    Raises:
        OSError: It cannot be written.
    """
    path = identity_path(data_dir)
    path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    write_atomically(path, identity.key + identity.certificate + identity.authority)


def load_identity(data_dir: Path) -> NodeIdentity:
    """Read the file.

    Raises:
        CertificateError: There is none, or something else is in it.
    """
    path = identity_path(data_dir)
    fix = "run `asgi-tunnel-edge cluster join`, or `cluster init` on the first edge"
    try:
        parts = path.read_bytes().split(_BEGIN)[1:]
    except OSError as error:
        sentence = (
            f"this edge's certificate for other edges, {path}, cannot be read ({error.strerror});"
            f" {fix}"
        )
        raise CertificateError(sentence) from error
    if len(parts) != 3:
        raise CertificateError(f"{path} is not an edge's certificate for other edges; {fix}")
    key, certificate, authority = (_BEGIN + part for part in parts)
    return NodeIdentity(key=key, certificate=certificate, authority=authority)


def read_identity(config: EdgeConfig) -> NodeIdentity | None:
    """Return the certificate of an edge for others; None: its settings say nothing of any.

    Raises:
        CertificateError: As :func:`load_identity`.
    """
    return load_identity(config.data_dir) if config.is_cluster else None
