"""A certificate for services that speak TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_tunnel_edge.certificates.internal import (
    InternalCertificate,
    create_internal_certificate,
)


@pytest.fixture
def certificate(tmp_path: Path) -> InternalCertificate:
    """Of 127.0.0.1, and of no CA."""
    return create_internal_certificate("nas.test", tmp_path / "tls")
