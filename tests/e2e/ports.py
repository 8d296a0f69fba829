"""Ports for programs that have to be told one before they run."""

from __future__ import annotations

import socket

__all__ = ["free_port"]

_held: list[socket.socket] = []


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that the system gives to nobody else while these tests run.

    It is held by a socket that does not listen: a connection is refused, and a server can listen
    there, again and again, where it sets SO_REUSEADDR, as servers do.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, 0))
    _held.append(sock)
    return int(sock.getsockname()[1])
