"""Where NATS is and what it is told, by one URL of the settings."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

__all__ = ["Service"]


class Service(Struct, frozen=True, kw_only=True):
    """What a URL says.

    Attributes:
        servers: A URL for each.
        name: What all subjects begin with.
        user: Who this edge is there; empty: nobody.
        passfile: The file with the user's password, or with a token; empty: neither is needed.
        rootcert: The file with the authority of the servers' certificates; empty: the system's.
    """

    servers: list[str]
    name: str = "asgi-tunnel"
    user: str = ""
    passfile: str = ""
    rootcert: str = ""

    @classmethod
    def of(cls, url: str) -> Service:
        """Take a URL apart: ``nats://[USER@]HOST:PORT[,HOST:PORT...][/NAME][?passfile=PATH]``."""
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        query = dict(parse_qsl(parts.query))
        return cls(
            servers=[f"{parts.scheme}://{host}" for host in hosts.split(",")],
            name=parts.path.strip("/") or "asgi-tunnel",
            user=user,
            passfile=query.get("passfile", ""),
            rootcert=query.get("sslrootcert", ""),
        )

    @property
    def options(self) -> dict[str, Any]:
        """For a connection.

        Raises:
            OSError: The file with the authority cannot be read.
        """
        found: dict[str, Any] = {}
        if self.passfile:
            found["password" if self.user else "token"] = self._secret
        if self.user:
            found["user"] = self.user
        if self.servers[0].startswith("tls:") or self.rootcert:
            found["tls"] = ssl.create_default_context(cafile=self.rootcert or None)
        return found

    def _secret(self) -> str:
        """Read it with each connection: it may be changed meanwhile."""
        return Path(self.passfile).read_text().strip()
