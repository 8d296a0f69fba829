from __future__ import annotations

import os
import socket
from pathlib import Path

from asgi_tunnel_edge.parent.notify import Notifier


def test_what_a_service_manager_hears(tmp_path: Path) -> None:
    """Each state in its words; nothing of it is left for the serving process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
        notifier = Notifier(environment)
        assert (environment, notifier.interval) == ({}, 1.5)
        notifier.ready("generation 1")
        notifier.reloading()
        notifier.alive()
        notifier.stopping()
        heard = [manager.recv(4096).decode() for _ in range(4)]
    assert heard[0] == f"READY=1\nMAINPID={os.getpid()}\nSTATUS=generation 1"
    assert heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[2:] == ["WATCHDOG=1", "STOPPING=1\nSTATUS=stopping"]
    notifier.alive()  # nobody listens any more
    notifier.close()


def test_without_one() -> None:
    """Nothing is said, and a watchdog of another process is not ours."""
    notifier = Notifier({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"})
    notifier.ready("")
    assert notifier.interval == 0
