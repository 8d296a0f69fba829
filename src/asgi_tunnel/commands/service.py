"""``asgi-tunnel service``: shows and edits the file of the services.

A running ``asgi-tunnel run`` follows the file, so an edit is in force within a second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services.service import Service

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and those below it; each sets ``function``, which returns the exit code."""
    service = commands.add_parser(
        "service",
        help="show and edit the services of asgi-tunnel.toml",
        description="Show and edit the services of asgi-tunnel.toml, or of pyproject.toml.",
    )
    below = service.add_subparsers(required=True, metavar="COMMAND")

    add = below.add_parser("add", help="add a service at the end", description="Add a service.")
    add.add_argument("name", metavar="HOSTNAME[/PATH]", help="what it is asked for")
    add.add_argument("to", metavar="TO", help="a URL, unix:/SOCKET, MODULE:APP or a folder")
    add.add_argument("--strip", action="store_true", help="the service sees the path without PATH")
    add.add_argument("--host", metavar="HOST", help="sent as Host in place of the visitor's")
    add.set_defaults(function=_add)

    listing = below.add_parser("list", help="list the services", description="List the services.")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.set_defaults(function=_list)

    rm = below.add_parser("rm", help="remove a service", description="Remove a service.")
    rm.add_argument("name", metavar="HOSTNAME[/PATH]", help="as `list` shows it")
    rm.set_defaults(function=_rm)

    check = below.add_parser(
        "check",
        help="look for what is wrong",
        description="Look whether each service is reached, listens and speaks what `to` says, and "
        "whether the token of ASGI_TUNNEL_TOKEN serves its hostname. Apps are imported.",
    )
    check.add_argument("--json", action="store_true", help="for programs")
    check.add_argument("--env-file", metavar="FILE", help="read ASGI_TUNNEL_TOKEN=... from it")
    check.add_argument("--app-dir", default=".", metavar="DIR", help="where modules are looked for")
    check.set_defaults(function=_check)

    for one in (add, listing, rm, check):
        one.add_argument(
            "--services", metavar="FILE", help="the file, in place of the one in this folder"
        )


def _add(options: argparse.Namespace) -> int:
    from ..services.file import append_service, load_file
    from ..services.table import Table

    hostname, slash, path = options.name.partition("/")
    table: dict[str, str | bool] = {"hostname": hostname}
    if path:
        table["path"] = slash + path
    table["to"] = options.to
    if options.strip:
        table["strip"] = True
    if options.host:
        table["host"] = options.host
    file = _file(options, creates=True)
    append_service(file, table)
    print(f"added to {file}: {options.name} -> {options.to}")
    services = load_file(file)
    for service, by in Table(services).shadowed():
        if service is services[-1]:
            print(f"no request reaches it: {by.name} stands above it; move it up in the file")
    return 0


def _list(options: argparse.Namespace) -> int:
    from ..services.file import load_file

    services = load_file(_file(options))
    if options.json:
        entries = [
            {"hostname": one.hostname, "path": one.path, "to": _shown(one)} for one in services
        ]
        print(json.dumps(entries, indent=2))
        return 0
    width = max((len(one.name) for one in services), default=0)
    for one in services:
        print(f"{one.name:<{width}}  {_shown(one)}")
    if not services:
        print("no services; add one with `asgi-tunnel service add`")
    return 0


def _rm(options: argparse.Namespace) -> int:
    from ..services.file import remove_service

    file = _file(options)
    remove_service(file, options.name)
    print(f"removed from {file}: {options.name}")
    return 0


def _check(options: argparse.Namespace) -> int:
    import asyncio

    from ..env_file import load_env_file
    from ..services.file import load_file

    if options.env_file:
        load_env_file(Path(options.env_file), os.environ)
    sys.path.insert(0, str(Path(options.app_dir).absolute()))
    found, unchecked = asyncio.run(_look(load_file(_file(options))))
    if options.json:
        entries = [{"name": name, "problems": problems} for name, problems in found.items()]
        print(json.dumps(entries, indent=2))
    else:
        for name, problems in found.items():
            for problem in problems or ["ok"]:
                print(f"{name}: {problem}")
    if unchecked:
        print(
            f"asgi-tunnel: whether the token serves the hostnames was not checked: {unchecked}",
            file=sys.stderr,
        )
    return 1 if any(found.values()) else 0


async def _look(services: tuple[Service, ...]) -> tuple[dict[str, list[str]], str]:
    """Return what is wrong with each service, and why the hostnames were not checked, or nothing.

    The edge is asked beside a tunnel that runs, which notices nothing of it.
    """
    from ..config import TOKEN, TunnelConfig
    from ..errors import ConfigError, TunnelError
    from ..names import advice, is_covered
    from ..probe import probe
    from ..services.check import check_services

    found: dict[str, list[str]] = {}
    for one in await check_services(services):
        found.setdefault(one.name, []).extend([one.problem] if one.problem else [])
    try:
        config = TunnelConfig.from_env()
    except ConfigError as error:
        return found, str(error)
    if config is None:
        return found, f"{TOKEN} is not set; set it, or name a file that has it with --env-file"
    edge = config.token.edge
    try:
        granted = (await probe(config)).hostnames
    except TimeoutError:
        return found, f"the edge at {edge} did not reply in time; is it running?"
    except TunnelError as error:
        return found, f"the edge refuses the token, or cannot be trusted: {error}"
    except OSError as error:
        return found, f"the edge at {edge} was not reached: {error}"
    said: set[str] = set()
    for service in services:
        name = service.hostname
        if name not in said and not is_covered(name, granted):
            said.add(name)
            found[service.name].append(advice(name, config.token.id))
    return found, ""


def _file(options: argparse.Namespace, *, creates: bool = False) -> Path:
    """Return the file to show or edit.

    Raises:
        ConfigError: There is none.
    """
    from ..errors import ConfigError
    from ..services.file import OWN_FILE, find_file

    if options.services:
        return Path(options.services).absolute()
    found = find_file(Path.cwd())
    if found is not None:
        return found
    if creates:
        return Path.cwd() / OWN_FILE
    raise ConfigError(
        OWN_FILE, "is not in this folder", "add a service with `asgi-tunnel service add`"
    )


def _shown(service: Service) -> str:
    """Return what answers, in a few words."""
    from ..services.service import RedirectTarget, StatusTarget

    target = service.target
    if isinstance(target, RedirectTarget):
        return f"{target.status} {target.url}"
    return str(target.status) if isinstance(target, StatusTarget) else service.to
