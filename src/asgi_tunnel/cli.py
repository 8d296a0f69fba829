"""The command ``asgi-tunnel``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ._version import __version__
from .commands.doctor import add_parser as add_doctor_parser
from .commands.inspect import add_parser as add_inspect_parser
from .commands.service import add_parser as add_service_parser
from .commands.status import add_parser as add_status_parser
from .commands.token import add_parser as add_token_parser
from .commands.url import add_parser as add_url_parser

THREADS_TIMEOUT: Final = 3.0
"""Seconds for the app's own threads after its shutdown: `docker stop` kills after 10."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for arguments that cannot be used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    if not given:
        parser.print_help(sys.stderr)
        return 2
    if ":" in given[0] or given[0].endswith(".py"):
        print(f"asgi-tunnel: write `asgi-tunnel run {' '.join(given)}`", file=sys.stderr)
        return 2
    # Without a value, and never with the MODULE:APP that may follow as its value.
    given = ["--inspect=metadata" if one == "--inspect" else one for one in given]
    options = parser.parse_args(given)
    function = getattr(options, "function", None)
    if function is not None:
        return _short(function, options)
    if arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Nothing has begun: until the runner listens to signals, Ctrl-C need not show a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = _run(options)
    if arguments is None:  # this process is ours, and all that is left of it is its end
        _end_in_time(code)
    return code


def _end_in_time(code: int) -> None:
    """End the process soon, whatever threads the app has left running.

    Python waits at its end for each thread that is no daemon, for ever: a kernel of a notebook, a
    loop without an end.  uvicorn does not wait, it dies by the signal.  A daemon thread runs on
    while Python waits; where nothing is left to wait for, it goes with the process.
    """
    from .stop import end_with

    def end() -> None:
        names = [one.name for one in threading.enumerate() if not one.daemon and one.is_alive()]
        print(
            f"asgi-tunnel: threads of the app are still running after {THREADS_TIMEOUT:g} s: "
            f"{', '.join(names)}; ending without them; make them daemons, or end them in the "
            "app's shutdown",
            file=sys.stderr,
            flush=True,
        )
        os._exit(code)

    end_with(code)
    timer = threading.Timer(THREADS_TIMEOUT, end)
    timer.daemon = True
    timer.start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="asgi-tunnel", description="Put an ASGI app on the internet from behind NAT."
    )
    parser.add_argument("--version", action="version", version=f"asgi-tunnel {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_service_parser(commands)
    add_status_parser(commands)
    add_inspect_parser(commands)
    add_doctor_parser(commands)
    add_token_parser(commands)
    add_url_parser(commands)
    run = commands.add_parser(
        "run",
        help="serve an app through its tunnel, without a server and without a port",
        description="Serve an app through its tunnel, without a server and without a port.",
        epilog="The token comes from ASGI_TUNNEL_TOKEN, or from the file ASGI_TUNNEL_TOKEN_FILE "
        "names: never from an argument, where other users of the machine could read it.",
    )
    run.add_argument(
        "app",
        metavar="MODULE:APP",
        nargs="?",
        help="where the app is, such as main:app; without it the services of asgi-tunnel.toml",
    )
    run.add_argument(
        "--services", metavar="FILE", help="serve the services of this file, and no MODULE:APP"
    )
    run.add_argument("--app-dir", default=".", metavar="DIR", help="where modules are looked for")
    run.add_argument("--factory", action="store_true", help="MODULE:APP returns the app")
    run.add_argument("--reload", action="store_true", help="start again when a Python file changes")
    run.add_argument(
        "--reload-dir", action="append", metavar="DIR", help="watch this instead of --app-dir"
    )
    run.add_argument("--workers", type=_workers, default=1, metavar="N", help="processes")
    run.add_argument(
        "--hostname",
        action="append",
        dest="hostnames",
        metavar="NAME",
        help="serve only this one of the token's hostnames; may be given several times",
    )
    run.add_argument(
        "--inbox",
        action="append",
        metavar="RULE",
        help="the edge keeps requests to this route while the app is away, such as "
        "'POST /hooks/*'; may be given several times",
    )
    run.add_argument("--connections", type=int, metavar="N", help="connections to the edge, 1 to 8")
    run.add_argument(
        "--grace", type=float, metavar="SECONDS", help="time for requests in progress at the end"
    )
    run.add_argument(
        "--env-file",
        metavar="FILE",
        help="read variables from it, such as ASGI_TUNNEL_TOKEN=...; those that are set stay",
    )
    run.add_argument(
        "--no-access-log",
        action="store_false",
        dest="access_log",
        help="no line of the log for each request",
    )
    run.add_argument(
        "--inspect",
        choices=("metadata", "full", "off"),
        help="keep what passes, to be looked at: numbers and paths; =full: bodies and fields too",
    )
    run.add_argument("--root-path", metavar="PATH", help="put before each path")
    run.add_argument("--lifespan", choices=("auto", "on", "off"), default="auto")
    run.add_argument(
        "--spec-version",
        choices=("2.3", "2.4"),
        default="2.3",
        help="of ASGI HTTP; 2.4 makes send() raise after a disconnect",
    )
    return parser


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 64")
    return int(text)


def _short(function: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a command that ends by itself; what is wrong with a setting is one line."""
    from .errors import ConfigError

    try:
        return function(options)
    except ConfigError as error:
        if getattr(options, "json", False):
            print(json.dumps({"error": {"code": "config", "message": str(error)}}))
        else:
            print(f"asgi-tunnel: {error}", file=sys.stderr)
        return 2


def _served(options: argparse.Namespace) -> str | Path | None:
    """Return what is to be served: where the app is, or the file of the services."""
    from .services.file import find_file

    if options.app is not None and options.services:
        print("asgi-tunnel: give MODULE:APP or --services, not both", file=sys.stderr)
        return None
    if options.app is not None:
        return str(options.app)
    found = Path(options.services) if options.services else find_file(Path(options.app_dir))
    if found is None:
        print(
            "asgi-tunnel: there is nothing to serve; name an app, as in "
            "`asgi-tunnel run main:app`, or add a service with `asgi-tunnel service add`",
            file=sys.stderr,
        )
    elif options.factory:
        print("asgi-tunnel: --factory is about MODULE:APP; write factory = true", file=sys.stderr)
        return None
    return found


def _run(options: argparse.Namespace) -> int:
    from . import parent

    parent.follow()
    return parent.exit_code(_serve(options))


def _serve(options: argparse.Namespace) -> int:
    from .env_file import load_env_file
    from .errors import ConfigError
    from .logs import ensure_handler, fatal

    ensure_handler()
    from .runner import EXIT_USAGE, extend_path, run_process

    if not Path(options.app_dir).is_dir():
        print(
            f"asgi-tunnel: --app-dir {options.app_dir} is no folder; give the one with your module",
            file=sys.stderr,
        )
        return 2
    served = _served(options)
    if served is None:
        return EXIT_USAGE
    env_file = Path(options.env_file) if options.env_file else None
    is_parent = options.reload or options.workers > 1
    if env_file is not None:
        try:
            # A parent only looks whether it can be read: each child reads it anew.
            load_env_file(env_file, dict(os.environ) if is_parent else os.environ)
        except ConfigError as error:
            fatal(logging.getLogger("asgi_tunnel.config"), "%s", error)
            return EXIT_USAGE
    if is_parent:
        from .supervisor import Supervisor, child_command

        watch = [Path(one) for one in options.reload_dir or [options.app_dir]]
        if env_file is not None:
            watch.append(env_file)
        return Supervisor(
            child_command(_child_arguments(options)),
            workers=options.workers,
            watch=watch if options.reload else (),
        ).run()
    extend_path(options.app_dir)
    return run_process(
        served,
        connections=options.connections,
        grace=options.grace,
        root_path=options.root_path,
        hostnames=options.hostnames,
        inbox=options.inbox,
        inspect=options.inspect,
        spec_version=options.spec_version,
        lifespan=options.lifespan,
        factory=options.factory,
        access_log=options.access_log,
    )


def _child_arguments(options: argparse.Namespace) -> list[str]:
    arguments = ["run", "--app-dir", options.app_dir, "--lifespan", options.lifespan]
    if options.app is not None:
        arguments.insert(1, options.app)
    arguments += ["--spec-version", options.spec_version]
    if options.factory:
        arguments.append("--factory")
    if not options.access_log:
        arguments.append("--no-access-log")
    for hostname in options.hostnames or ():
        arguments += ["--hostname", hostname]
    for rule in options.inbox or ():
        arguments += ["--inbox", rule]
    if options.inspect is not None:
        arguments.append(f"--inspect={options.inspect}")
    for name in ("connections", "grace", "root_path", "env_file", "services"):
        value = getattr(options, name)
        if value is not None:
            arguments += ["--" + name.replace("_", "-"), str(value)]
    return arguments
