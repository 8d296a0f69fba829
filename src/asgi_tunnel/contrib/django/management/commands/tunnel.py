"""``manage.py tunnel``: serves the project through its tunnel alone, without a port."""

from __future__ import annotations

import sys
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import autoreload

from asgi_tunnel.contrib.django.serving import application, open_in_thread
from asgi_tunnel.errors import ConfigError
from asgi_tunnel.runner import run_process

__all__ = ["Command"]


class Command(BaseCommand):
    """See the module."""

    help = "Serve this project through its tunnel (ASGI_TUNNEL_TOKEN); nothing listens on a port."
    requires_system_checks: tuple[str, ...] = ()  # in the process that serves, as runserver does
    suppressed_base_arguments = frozenset({"--verbosity", "--traceback"})

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--noreload",
            action="store_true",
            help="Do not start again when a file changes: as in production.",
        )
        parser.add_argument("--connections", type=int, help="Connections kept to the edge.")

    def handle(self, *_: Any, **options: Any) -> None:
        """Serve until SIGINT or SIGTERM."""
        if options["noreload"]:
            self.check(display_num_errors=True)
            sys.exit(self._serve(options))
        autoreload.run_with_reloader(self._serve_in_thread, options)

    def _serve(self, options: dict[str, Any]) -> int:
        return run_process(
            application(),
            lifespan="auto",
            factory=False,
            access_log=True,
            connections=options["connections"],
        )

    def _serve_in_thread(self, options: dict[str, Any]) -> None:
        # An exception that was kept from a file that did not compile ends this thread, and the
        # reloader waits for a change.
        autoreload.raise_last_exception()
        self.check(display_num_errors=True)
        try:
            open_in_thread(connections=options["connections"])
        except ConfigError as error:
            raise CommandError(str(error)) from error
        threading.Event().wait()
