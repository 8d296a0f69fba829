"""Certificates from an ACME CA (RFC 8555), ordered and renewed by the edge itself."""

from __future__ import annotations

from .challenges import (
    ACME_TLS,
    HttpTokens,
    TlsAlpnCertificates,
    persistent_record,
    persistent_record_fits,
)
from .client import AcmeClient, ExternalAccount
from .order import Ordering
from .records import OrderRecord
from .solver import Solver

__all__ = [
    "ACME_TLS",
    "AcmeClient",
    "ExternalAccount",
    "HttpTokens",
    "OrderRecord",
    "Ordering",
    "Solver",
    "TlsAlpnCertificates",
    "persistent_record",
    "persistent_record_fits",
]
