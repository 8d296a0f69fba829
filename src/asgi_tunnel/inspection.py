"""Puts the inspector of one process together: what records, what replies, and its two doors.

Made by :mod:`.connector` where ``inspect`` is set; without it nothing of it is there.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .asgi.replay import Replays
from .inspector.actions import Actions
from .inspector.app import InspectorApp
from .inspector.recorder import Recorder
from .inspector.socket import InspectorSocket
from .protocol.handshake import INSPECT

if TYPE_CHECKING:
    from .asgi.origin import Origin
    from .inspector.settings import Inspect

__all__ = ["Inspection", "begin_inspection", "capabilities_of"]

_log = logging.getLogger("asgi_tunnel.inspector")


class Inspection:
    """See the module.

    Args:
        settings: What is recorded.
        origin: Of the app; records from now on.
        name: What people call the app.
        agent: What this side calls itself.

    Attributes:
        recorder: Has what is recorded.
        is_remote: The edge may ask for it.
    """

    def __init__(self, settings: Inspect, origin: Origin, name: str, agent: str) -> None:
        self.recorder = origin.recorder = Recorder(settings)
        self.recorder.on_call = Replays(origin).call
        self.is_remote = settings.remote
        self._name = name
        self._agent = agent
        act = Actions(lambda: name)
        self._app = InspectorApp(self.recorder, self._describe, act)
        if self.is_remote:
            origin.inspector = self._app
        self._socket: InspectorSocket | None = None

    async def open(self, folder: Path | None, name: str) -> None:
        """Open the door on this machine.  Cancelling it loses nothing that is not closed later.

        Args:
            folder: Of sockets; None: there is no such door.
            name: Of this process there.
        """
        _log.info(
            "the inspector keeps what passes, at level %s; %s",
            self.recorder.level,
            "operators of the edge may read it" if self.is_remote else "it stays on this machine",
        )
        if folder is not None:
            self._socket = InspectorSocket(folder, name, self._app)
            await self._socket.open()

    def close(self) -> None:
        """Close it; may be called twice."""
        if self._socket is not None:
            self._socket.close()

    def _describe(self) -> dict[str, Any]:
        return {
            "app": self._name,
            "pid": os.getpid(),
            "agent": self._agent,
        }


def begin_inspection(
    settings: Inspect | None, origin: Origin, name: str, agent: str
) -> Inspection | None:
    """Record what passes from now on; None: nothing is to be recorded."""
    return None if settings is None else Inspection(settings, origin, name, agent)


def capabilities_of(inspection: Inspection | None) -> tuple[str, ...]:
    """Return what HELLO says of it: an edge asks only where it may."""
    return (INSPECT,) if inspection is not None and inspection.is_remote else ()
