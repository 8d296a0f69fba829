"""What an operator does about an address that cannot be listened on."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..settings.config import ListenAddress

__all__ = ["listen_advice"]


def listen_advice(error: OSError, address: ListenAddress) -> str:
    """Return what an operator does about an address that cannot be listened on."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            "ports below 1024 need a right: give it with `sudo setcap cap_net_bind_service=+ep "
            f"{os.path.realpath(sys.executable)}` or AmbientCapabilities in the systemd unit, or "
            "set `listen` in edge.toml to a port from 1024 up"
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        if not set(address.host) - set(":0"):
            return (
                "this machine has no IPv6: switch it on, or set `listen` in edge.toml to "
                f"0.0.0.0:{address.port} for IPv4 alone"
            )
        return "this machine has no such address; set `listen` in edge.toml to one that it has"
    if isinstance(error, socket.gaierror):
        return "`listen` in edge.toml has to name an address of this machine"
    return "free the address or change `listen` in edge.toml"
