"""The seam between the ACME issuer and whoever makes a challenge's proof visible.

The solvers of dns-01 are in ``certificates/dns``.
"""

from __future__ import annotations

from typing import Protocol

from ...errors import CertificateError

__all__ = ["Solver", "SolverError"]


class SolverError(CertificateError):
    """A proof could not be made visible."""


class Solver(Protocol):
    """Makes the proof of one kind of challenge visible, and takes it away."""

    kind: str  #: "dns-01", "http-01", "tls-alpn-01"

    async def present(self, name: str, value: str) -> None:
        """Make a proof visible.

        Several values of one name may be present at one time (a wildcard and its base).

        Args:
            name: The identifier without ``*.``.
            value: dns-01: the value of the TXT record; http-01 and tls-alpn-01: the key
                authorization, ``TOKEN.THUMBPRINT``.

        Raises:
            SolverError: It cannot be made visible.
        """

    async def clear(self, name: str, value: str) -> None:
        """Take a proof away; never raises, but logs."""
