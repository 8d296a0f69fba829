"""Asking the edge that runs in a folder, for the commands that do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asgi_tunnel_edge.control import ask
from asgi_tunnel_edge.errors import ChangeError, EdgeNotRunningError
from asgi_tunnel_edge.settings.config import CONFIG_FILE, EdgeConfig

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ask_edge", "change_edge"]

ASK_TIMEOUT: Final = 15.0
"""Seconds for a reply of the edge; it gives up on its own parts after 10."""

CHANGE_TIMEOUT: Final = 90.0
"""The same for a reload or an upgrade: 10 for the settings, 30 until the new process serves, 20
until the old one has left it its apps, and some."""


def ask_edge(
    data_dir: Path, command: str, *, timeout: float = ASK_TIMEOUT, **more: object
) -> dict[str, Any]:
    """Return the reply of the running edge to a request.

    Args:
        data_dir: Its folder.
        command: What is asked for.
        timeout: Seconds.
        more: The rest of the request.

    Raises:
        EdgeConfigError: It is no edge's folder.
        EdgeNotRunningError: None runs there, or it does not reply.
    """
    if not (data_dir / CONFIG_FILE).exists():
        EdgeConfig.load(data_dir)  # says why not
    folder = str(data_dir)
    try:
        return ask(folder, {"command": command, **more}, timeout)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise EdgeNotRunningError(folder) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or "it does not reply"
        raise EdgeNotRunningError(folder, why) from error


def change_edge(data_dir: Path, command: str) -> dict[str, Any]:
    """Reload or upgrade the running edge; return what has changed.

    Raises:
        ChangeError: It could not, and serves as before.
    """
    reply = ask_edge(data_dir, command, timeout=CHANGE_TIMEOUT)
    if not reply.get("ok"):
        raise ChangeError(f"{reply.get('error')}; the edge serves as before")
    return reply
