"""Certificates from an ACME CA (RFC 8555), ordered and renewed by the edge itself.

How ``server`` uses it, in the event loop, with imports inside the function that needs them::

    tokens, proofs = HttpTokens(), TlsAlpnCertificates()
    issuer = Issuer(
        AcmeSettings(directory_url=url, contact=[email], root=root_file),
        AcmeStore(data / "edge.sqlite3", data / "secrets.key"),  # storage.acme
        [dns_solver, tokens, proofs],  # the preferred kind first; only those that can work
        IssuerHooks(
            wanted=lambda: [["example.org", "*.example.org"], ["shop.custom.org"]],
            installed=store.add,  # (names, chain PEM, key PEM), checked; also at the start
            failed=log_failure,  # an IssuanceFailure with its sentence; again each day
        ),
    )
    task = asyncio.create_task(issuer.run())  # cancel it to stop
    issuer.wake()  # after a change of what is wanted

Port 80 says ``tokens.lookup(token)`` below ``/.well-known/acme-challenge/``. Port 443 speaks TLS
with ``proofs.context(server_name)`` where the ClientHello offers ``acme-tls/1``. Other solvers
follow the protocol ``Solver``. ``persistent_record`` says which record an owner has to make for
dns-persist-01: with a name of ``AcmeClient.directory``'s ``meta.caa_identities``, and the URL of
the account, which ``AcmeStore.load`` has. The command line reads ``AcmeStore.load`` and asks for a
renewal with ``AcmeStore.request_renewal``, of which a running edge hears by its snapshot.
"""

from __future__ import annotations

from .account import AcmeSettings
from .challenges import (
    ACME_TLS,
    ACME_TLS_ONLY,
    HttpTokens,
    TlsAlpnCertificates,
    persistent_record,
    persistent_record_fits,
)
from .client import AcmeClient, ExternalAccount
from .failures import IssuanceFailure
from .issuer import Issuer, IssuerClock, IssuerHooks
from .order import Ordering
from .records import AcmeState, AcmeStorage, CertificateRecord, OrderRecord
from .solver import Solver

__all__ = [
    "ACME_TLS",
    "ACME_TLS_ONLY",
    "AcmeClient",
    "AcmeSettings",
    "AcmeState",
    "AcmeStorage",
    "CertificateRecord",
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
