"""``asgi-tunnel inspect``: what passed through the tunnels of this machine, and what to do with it.

The actions are in :mod:`.inspect_list`, :mod:`.inspect_one` and :mod:`.inspect_many`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from .options import plain, print_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["add_parser"]

LIST_LENGTH: Final = 20
"""Exchanges that are listed, unless ``-n`` says how many: a screen has room for them."""

_ID: Final = "`last`, a number of the list, an id, or the beginning of one"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; it sets ``function``, which returns the exit code."""
    inspect = commands.add_parser(
        "inspect",
        help="show what passed through the tunnel, replay it, save it as a test",
        description="Show what passed through the tunnels of this user's processes on this machine "
        "that have an inspector, the newest last.",
        usage="asgi-tunnel inspect [OPTIONS] [COMMAND]",
    )
    inspect.add_argument("-n", type=int, default=LIST_LENGTH, metavar="N", help="at most so many")
    inspect.add_argument("-f", "--follow", action="store_true", help="go on, until Ctrl-C")
    inspect.add_argument("--status", metavar="5xx", help="only responses such as 404 or 5xx")
    inspect.add_argument("--method", metavar="METHOD", help="only requests of this method")
    inspect.add_argument("--path", metavar="TEXT", help="only targets with this text")
    inspect.add_argument("--host", metavar="NAME", help="only this hostname")
    _add_common(inspect, "inspect_list.list_exchanges")
    actions = inspect.add_subparsers(metavar="COMMAND", prog="asgi-tunnel inspect")

    def add(name: str, what: str, function: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        _add_common(made, function, has_json=name in ("show", "replay", "diff"))
        return made

    add("show", "show all that was recorded of an exchange", "inspect_one.show").add_argument(
        "id", metavar="ID", help=_ID
    )
    replay = add("replay", "send a recorded request to the app again", "inspect_one.replay")
    replay.add_argument("id", metavar="ID", help=_ID)
    replay.add_argument("--method", dest="new_method", metavar="METHOD", help="another method")
    replay.add_argument("--path", dest="new_path", metavar="PATH", help="another path and query")
    replay.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        dest="headers",
        metavar="'NAME: VALUE'",
        help="another value of this field; without a value it is left out; may be repeated",
    )
    replay.add_argument("--data", metavar="TEXT", help="another body; @FILE: that of a file")
    replay.add_argument(
        "--resign",
        metavar="SECRETFILE",
        help="sign the webhook anew with the secret in this file: GitHub, Stripe, Svix",
    )
    save = add("save", "save an exchange as a pytest case", "inspect_one.save")
    save.add_argument("id", metavar="ID", help=_ID)
    save.add_argument("file", metavar="FILE", help="such as tests/test_bug.py")
    save.add_argument("--app", metavar="MODULE:APP", help="where the app is")
    save.add_argument("--force", action="store_true", help="write over what is there")
    add("curl", "print a request as a curl command", "inspect_one.curl").add_argument(
        "id", metavar="ID", help=_ID
    )
    har = add("har", "print exchanges as a HAR, for other programs", "inspect_many.export")
    har.add_argument("ids", nargs="*", metavar="ID", help=f"{_ID}; none: all exchanges")
    load = add("load", "add the exchanges of a HAR to what is recorded", "inspect_many.load")
    load.add_argument("file", metavar="FILE.har", help="of a browser, or of `inspect har`")
    diff = add("diff", "compare two exchanges", "inspect_one.compare")
    diff.add_argument("a", metavar="A", help=_ID)
    diff.add_argument("b", metavar="B", help=_ID)
    add("clear", "forget all that is recorded", "inspect_many.clear")
    level = add("level", "change what is recorded from now on", "inspect_many.change_level")
    level.add_argument("level", choices=("metadata", "full", "off"))


def _add_common(parser: argparse.ArgumentParser, function: str, *, has_json: bool = True) -> None:
    """Add what all have; ``function`` is the module and the function that gets the options."""
    import argparse

    parser.add_argument(
        "--pid", type=int, default=argparse.SUPPRESS, help="only the app of this process"
    )
    if has_json:
        parser.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="print JSON, for a program",
        )

    def run(options: argparse.Namespace) -> int:
        return _run(options, function)

    parser.set_defaults(function=run)


def _run(options: argparse.Namespace, function: str) -> int:
    """Run an action; what cannot be done is one sentence."""
    from importlib import import_module

    from ..inspector.reply import RefusedError
    from .inspect_client import find_inspectors

    module, _, name = function.partition(".")
    act: Callable[..., int] = getattr(import_module(f".{module}", __package__), name)
    options.json = getattr(options, "json", False)
    pid = getattr(options, "pid", None)
    try:
        found = [one for one in find_inspectors(_folders()) if pid in (None, one.pid)]
        if not found:
            raise RefusedError(404, f"no app with an inspector runs as process {pid}")
        code = act(options, found)
        sys.stdout.flush()
        return code
    except (RefusedError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # `inspect | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        sentence = plain(_sentence(error))
        if options.json:
            print_json({"error": {"code": "inspect", "message": sentence}})
        else:
            print(f"asgi-tunnel: {sentence}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _folders() -> list[Path]:
    from ..config import STATUS, status_folders
    from ..errors import ConfigError
    from ..own_socket import has_own_sockets

    if not has_own_sockets():
        why = "needs Unix sockets, which Python does not have on Windows"
        raise ConfigError("inspect", why, "look at the edge's dashboard there")
    folders = status_folders(os.environ)
    if not folders:
        why = "is off, so no process here can be asked"
        raise ConfigError(STATUS, why, "leave it out, for the app and for this command")
    return folders


def _sentence(error: Exception) -> str:
    """Say what is wrong with a file as people say it."""
    if isinstance(error, OSError) and error.filename is not None:
        why = f"{error.filename} cannot be opened ({error.strerror or error})"
        return f"{why}; name another file"
    return str(error)
