"""Hashes that are checked in no time: a real one takes 0.1 s of a core at each login."""

from __future__ import annotations

from base64 import b64encode

from asgi_tunnel_edge.access.passwords import _scrypt

__all__ = ["quick_hash"]

_COST = 16


def quick_hash(password: str) -> str:
    """Return what a store may keep of a password in a test about something else."""
    salt = bytes(16)
    found = b64encode(_scrypt(password, salt, _COST, 8, 1)).decode()
    return f"scrypt${_COST}$8$1${b64encode(salt).decode()}${found}"
