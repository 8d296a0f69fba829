"""Certificates from an ACME CA (RFC 8555), ordered and renewed by the edge itself."""

from __future__ import annotations

from .account import AcmeSettings
from .challenges import (
    ACME_TLS,
    HttpTokens,
    TlsAlpnCertificates,
    persistent_record,
    persistent_record_fits,
)
from .client import AcmeClient, ExternalAccount
from .failures import IssuanceFailure
from .issuer import Issuer, IssuerClock, IssuerHooks
from .order import Ordering
from .records import OrderRecord
from .solver import Solver

__all__ = [
    "ACME_TLS",
    "AcmeClient",
    "AcmeSettings",
    "ExternalAccount",
    "HttpTokens",
    "IssuanceFailure",
    "Issuer",
    "IssuerClock",
    "IssuerHooks",
    "OrderRecord",
    "Ordering",
    "Solver",
    "TlsAlpnCertificates",
    "persistent_record",
    "persistent_record_fits",
]
