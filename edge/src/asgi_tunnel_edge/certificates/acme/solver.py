"""The seam to whoever makes the proof of a challenge visible: a table, a DNS zone, a program."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Solver"]


class Solver(Protocol):
    """Makes the proof of one kind of challenge visible, and takes it away."""

    kind: str
    """``dns-01``, ``http-01``, ``tls-alpn-01`` or ``dns-persist-01``."""

    async def present(self, name: str, value: str) -> None:
        """Make a proof visible to the CA; return once it can look.

        Several values of one name may be present at one time (a wildcard and its base). Presenting
        a value again, as after a restart, is no error.

        Args:
            name: The identifier without ``*.``: a hostname or an IP address.
            value: ``dns-01``: the text of the TXT record. ``http-01`` and ``tls-alpn-01``: the key
                authorization, ``TOKEN.THUMBPRINT``. ``dns-persist-01``: the text of the record,
                which the owner has made once; this only looks whether it is there.

        Raises:
            SolverError: It cannot be done; one sentence with what to do. Another kind of
                challenge, if there is one, is then tried.
        """

    async def clear(self, name: str, value: str) -> None:
        """Take a proof away; never raises, but logs. A value that is not there is no error."""
