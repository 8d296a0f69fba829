"""Whether an edge can be reached as other edges reach it: by TLS, with its certificate."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Final

from ..settings.addresses import parse_listen
from .authority import NodeIdentity
from .tls import dialing_context, server_name

__all__ = ["TIMEOUT", "reach"]

TIMEOUT: Final = 3.0
"""Seconds for one edge to accept and to prove who it is."""


def reach(identity: NodeIdentity, edge: str, address: str) -> float | str:
    """Connect once; blocks.

    Args:
        identity: Of who asks.
        edge: Whom it means.
        address: HOST:PORT of its first process.

    Returns:
        Seconds that it took, or in a few words why not.
    """
    where = parse_listen(address, setting="peer_address")
    began = time.monotonic()
    try:
        context = dialing_context(identity)
        with (
            socket.create_connection((where.host, where.port), timeout=TIMEOUT) as sock,
            context.wrap_socket(sock, server_hostname=server_name(edge)),
        ):
            return time.monotonic() - began
    except ssl.SSLCertVerificationError as error:
        return f"shows another certificate ({error.verify_message})"
    except TimeoutError:
        return f"does not answer within {TIMEOUT:g} s"
    except (ssl.SSLError, OSError) as error:
        return f"cannot be reached ({error.strerror or error})"
