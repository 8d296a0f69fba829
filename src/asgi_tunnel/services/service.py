"""One line of the table: which requests it takes, and what answers for them.

Frozen and comparable: when the table is read again, services that are equal keep what runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to a connection: the services are near, and a visitor waits."""

RESPONSE_TIMEOUT: Final = 120.0
"""Seconds from the end of the request to the head of the response: twice what proxies give, for
small machines that compute a thumbnail."""

MAX_CONNECTIONS: Final = 512
"""Connections to one service at the same time: a WebSocket or an event stream holds one, and most
servers stop at 1,024 open files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTarget:
    """An app in this process.

    Attributes:
        where: ``module:attribute``; empty when ``app`` is given.
        app: The app itself.
        interface: "asgi", "wsgi", or "auto": by the number of arguments it takes.
        factory: It is called to get the app.
    """

    where: str = ""
    app: Any = None
    interface: str = "auto"
    factory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyTarget:
    """A server that speaks HTTP/1.1.

    Attributes:
        scheme: "http", "https" or "unix".
        host: Name or address, without brackets; "localhost" for a Unix socket.
        port: TCP port; 0 for a Unix socket.
        socket: Path of the Unix socket, else empty.
        send_host: Sent as Host; empty: the visitor's.
        verify: Of https: True asks the system's CAs, False takes any certificate; or a file of CAs;
            or ``sha256:`` and the certificate's hash.
        server_name: Whom the certificate has to name; empty: ``host``.
        connect_timeout: Seconds.
        response_timeout: Seconds to the head of the response; 0: no limit.
        idle_timeout: Seconds without a byte of the body; 0: no limit.
        max_connections: At the same time.
        allow_public: An address outside the own networks is allowed.
    """

    scheme: str
    host: str
    port: int
    socket: str = ""
    send_host: str = ""
    verify: bool | str = True
    server_name: str = ""
    connect_timeout: float = CONNECT_TIMEOUT
    response_timeout: float = RESPONSE_TIMEOUT
    idle_timeout: float = 0.0
    max_connections: int = MAX_CONNECTIONS
    allow_public: bool = False

    @property
    def authority(self) -> str:
        """Host and port as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443, "unix": 0}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTarget:
    """Files of a folder.

    Attributes:
        folder: Absolute path.
        listing: Folders without an index.html show what is in them.
        hidden: Names that begin with a dot are served too.
    """

    folder: str
    listing: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectTarget:
    """Another place.

    Attributes:
        url: Absolute, or a path.
        status: 301, 302, 303, 307 or 308.
        keep_path: The path behind the service's own and the query are added.
    """

    url: str
    status: int = 308
    keep_path: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTarget:
    """A fixed response.

    Attributes:
        status: 200 to 599.
        text: Its body, plain text.
    """

    status: int
    text: str = ""


Target = AppTarget | ProxyTarget | FolderTarget | RedirectTarget | StatusTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One line of the table.

    Attributes:
        hostname: Lower-case; ``*.example.org`` for one label in front, ``*`` for every name.
        path: Empty, or ``/api``: it and all below it.
        target: What answers.
        strip: The service sees the path without ``path``.
        replace: What the service sees in place of ``path``; None: no replacement.
        to: What stands in the file, for messages.
    """

    hostname: str
    target: Target
    path: str = ""
    strip: bool = False
    replace: str | None = None
    to: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """What messages call it: ``shop.example.org/api``."""
        return self.hostname + self.path
