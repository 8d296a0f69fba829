from __future__ import annotations

import errno
import socket

import pytest

from asgi_tunnel_edge.listeners.advice import listen_advice
from asgi_tunnel_edge.settings.config import ListenAddress


@pytest.mark.parametrize(
    ("error", "host", "part"),
    [
        (OSError(errno.EACCES, ""), "0.0.0.0", "cap_net_bind_service"),
        (OSError(errno.EADDRNOTAVAIL, ""), "192.0.2.1", "no such address"),
        (OSError(errno.EAFNOSUPPORT, ""), "::", "no IPv6"),
        (socket.gaierror(socket.EAI_NONAME, ""), "nobody.test", "an address of this machine"),
        (OSError(errno.EADDRINUSE, ""), "127.0.0.1", "free the address"),
    ],
)
def test_what_to_do(error: OSError, host: str, part: str) -> None:
    """Each reason has its own way out."""
    assert part in listen_advice(error, ListenAddress(host, 443))
