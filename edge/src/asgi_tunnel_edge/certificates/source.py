"""Where the TLS listener gets its certificates from, whatever made them.

``files`` has the one source there is. A source knows neither sockets nor settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..hostname import wildcard_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Set

__all__ = ["Certificate", "CertificateSource"]


class Certificate:
    """A certificate that can be shown.

    Args:
        context: TLS settings, with the certificate and its key.
        names: Normal hostnames, wildcards and addresses that it is for. None: the edge's own, which
            apps know by its pin whatever name they dial.
    """

    __slots__ = ("_names", "context")

    def __init__(self, context: ssl.SSLContext, names: Set[str] | None) -> None:
        self.context = context
        self._names = names

    def covers(self, hostname: str) -> bool:
        """Whether it is for a normal hostname (RFC 9525 section 6.3)."""
        names = self._names
        return names is None or hostname in names or wildcard_of(hostname) in names


class CertificateSource(Protocol):
    """Finds the certificate for a name."""

    def find(self, server_name: str | None) -> Certificate | None:
        """Return the one to show; never blocks.

        Args:
            server_name: What the client asks for (SNI), in its normal spelling; None when it did
                not say.

        Returns:
            None where there is no certificate for the name.
        """
