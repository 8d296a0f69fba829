"""Tells a service manager how the edge is: systemd's protocol of datagrams (sd_notify(3)).

Without NOTIFY_SOCKET in the environment nothing is said.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

__all__ = ["Notifier"]


PATIENCE: Final = 0.2
"""Seconds for a service manager to take a line. It reads all the time, and the parent waits."""


class Notifier:
    """See the module.

    Args:
        environment: Loses what is meant for this process alone.

    Attributes:
        interval: Seconds between two signs of life that are wanted; 0: none are.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        period = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", str(os.getpid()))
        is_meant = period.isdecimal() and process == str(os.getpid())
        self.interval = int(period) / 2e6 if is_meant else 0.0  # half, as sd_watchdog_enabled(3)
        self._socket: socket.socket | None = None
        if address[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(PATIENCE)
            self._address = f"\0{address[1:]}" if address[0] == "@" else address

    def tell(self, *lines: str) -> None:
        """Send lines such as ``READY=1``; nobody who listens is no reason to stop."""
        if self._socket is not None:
            try:
                self._socket.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return

    def ready(self, status: str) -> None:
        """The edge serves."""
        self.tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """Its settings or its version change; ``ready`` follows."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It ends."""
        self.tell("STOPPING=1", "STATUS=stopping")

    def alive(self) -> None:
        """A sign of life."""
        self.tell("WATCHDOG=1")

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
