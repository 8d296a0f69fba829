"""Asking the edge that runs in a folder, for the commands that do."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import click

from asgi_tunnel_edge.control import ask, connect_control
from asgi_tunnel_edge.errors import ChangeError, EdgeNotRunningError
from asgi_tunnel_edge.settings.config import CONFIG_FILE, EdgeConfig

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ask_each", "ask_edge", "change_edge", "is_running", "tunnels_back"]

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
    return _ask(data_dir, {"command": command, **more}, timeout)


def _ask(data_dir: Path, request: dict[str, object], timeout: float) -> dict[str, Any]:
    if not (data_dir / CONFIG_FILE).exists():
        EdgeConfig.load(data_dir)  # says why not
    folder = str(data_dir)
    try:
        return ask(folder, request, timeout)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise EdgeNotRunningError(folder) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or "it does not reply"
        raise EdgeNotRunningError(folder, why) from error


def ask_each(
    data_dir: Path, command: str, *, pid: int | None = None, warns: bool = True, **more: object
) -> list[dict[str, Any]]:
    """Return what each serving process of the running edge says, the newest generation first.

    One that does not reply is named on stderr, and left out: after a reload there may be an old one
    whose event loop is blocked.

    Args:
        data_dir: The edge's folder.
        command: What is asked for.
        pid: Ask this process only.
        warns: Name those that do not reply.
        more: The rest of the request.

    Raises:
        EdgeConfigError: It is no edge's folder.
        EdgeNotRunningError: None runs there, or none of its processes replies.
    """
    to = "all" if pid is None else pid
    reply = _ask(data_dir, {"command": command, "to": to, **more}, ASK_TIMEOUT)
    workers: list[dict[str, Any]] = reply.get("workers", [])
    found = [one for one in workers if one["replies"] and "error" not in one]
    for one in workers:
        if one not in found and warns:
            why = one.get("error", "it does not reply")
            click.echo(f"warning: the process {one['pid']} is left out: {why}", err=True)
    if not found and pid is None:
        why = "no process serves at this moment; try again" if not workers else "no process replies"
        raise EdgeNotRunningError(str(data_dir), why)
    return found


def is_running(data_dir: Path) -> bool:
    """Whether an edge runs in a folder; True where that cannot be known, as on Windows."""
    if not hasattr(socket, "AF_UNIX"):
        return True
    try:
        connect_control(str(data_dir)).close()
    except OSError:
        return False
    return True


def change_edge(data_dir: Path, command: str) -> dict[str, Any]:
    """Reload or upgrade the running edge; return what has changed.

    Raises:
        ChangeError: It could not, and serves as before.
    """
    reply = ask_edge(data_dir, command, timeout=CHANGE_TIMEOUT)
    if not reply.get("ok"):
        raise ChangeError(f"{reply.get('error')}; the edge serves as before")
    return reply


def tunnels_back(reply: dict[str, int]) -> str:
    """Say how many apps' connections are there again after a reload or an upgrade."""
    before = reply.get("tunnels_before", 0)  # of a cluster's apps more may come than there were
    return f"tunnels: {min(reply.get('tunnels', 0), before)} of {before} are back"
