"""``asgi-tunnel doctor``: what keeps visitors from this app, step by step from here to them.

It changes nothing, and a tunnel that runs stays as it is. Each step is in a module of its own:
``doctor_edge`` the way to the edge, ``doctor_visit`` a visitor's request, ``doctor_app`` the app's
own settings.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .options import add_common_options, load_config, print_json

if TYPE_CHECKING:
    import argparse

    from ..findings import Finding

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; it sets ``function``, which returns the exit code."""
    doctor = commands.add_parser(
        "doctor",
        help="find out what keeps visitors from the app",
        description="Look at each step from here to the app's visitors. Nothing is changed, and a "
        "tunnel that runs stays as it is.",
    )
    doctor.add_argument(
        "app", metavar="MODULE:APP", nargs="?", help="import this app and look at its settings too"
    )
    doctor.add_argument(
        "--app-dir", default=".", metavar="DIR", help="where modules are looked for"
    )
    doctor.add_argument(
        "--path", default="/", metavar="PATH", help="what a visitor asks for; / by default"
    )
    add_common_options(doctor)
    doctor.set_defaults(function=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    import asyncio

    from ..findings import as_document, exit_code, render

    findings = asyncio.run(_examine(options))
    if options.json:
        print_json(as_document(findings))
    else:
        print(render(findings))
    return exit_code(findings)


async def _examine(options: argparse.Namespace) -> list[Finding]:
    from ..errors import ConfigError
    from ..findings import ok, problem
    from .doctor_app import check_app
    from .doctor_edge import check_way
    from .doctor_visit import check_visits

    try:
        config = load_config(options)
    except ConfigError as error:
        what = f"{error.setting} {error.why}"
        found = [problem("token", what, why="the app opens no tunnel", fix=error.fix)]
        welcome = None
    else:
        found = [ok("token", f"{config.token.id} of {config.token.edge}{_source()}")]
        way, welcome = await check_way(config)
        found += way
        if welcome is not None:
            found += await check_visits(config, welcome, options.path)
    if options.app is not None:
        names = () if welcome is None else welcome.hostnames
        found += check_app(options.app, options.app_dir, names)
    return found


def _source() -> str:
    from ..config import TOKEN, TOKEN_FILE

    if os.environ.get(TOKEN):
        return f", from {TOKEN}"
    return f", from the file that {TOKEN_FILE} names"
