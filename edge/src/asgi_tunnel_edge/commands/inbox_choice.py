"""Which kept requests a command is about: ``inbox retry`` and ``inbox drop``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asgi_tunnel_edge.operations.inbox import Chosen

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["choice_options", "chosen"]


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the ids, or ``--failed`` in their place."""
    which = "Of all that failed, those for its apps."
    for option in (
        click.option("--token", metavar="ID_OR_NAME", help=which),
        click.option("--failed", is_flag=True, help="All that failed."),
        click.argument("ids", metavar="[ID]...", nargs=-1),
    ):
        command = option(command)
    return command


def chosen(choice: dict[str, Any]) -> Chosen:
    """Return what was typed."""
    return Chosen(**choice)
