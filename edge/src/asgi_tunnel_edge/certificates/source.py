"""Where the TLS listener gets its certificates from, whatever made them.

``files`` has the one source there is. A source knows neither sockets nor settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl

__all__ = ["CertificateSource"]


class CertificateSource(Protocol):
    """Gives the TLS settings, with their certificate, for a name."""

    def context(self, server_name: str | None) -> ssl.SSLContext | None:
        """Return what to speak TLS with; never blocks.

        Args:
            server_name: What the other side asks for (SNI); None when it did not say, and for the
                settings that a listener starts with.

        Returns:
            None where there is no certificate for the name.
        """
