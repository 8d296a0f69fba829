"""The app of ``INSTALLED_APPS``: registers checks, and opens the tunnel beside ``runserver``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from django.apps import AppConfig
from django.core.checks import register
from django.utils.autoreload import DJANGO_AUTORELOAD_ENV

__all__ = ["AsgiTunnelConfig"]


class AsgiTunnelConfig(AppConfig):
    """See the module."""

    name = "asgi_tunnel.contrib.django"
    label = "asgi_tunnel"
    verbose_name = "asgi-tunnel"

    def ready(self) -> None:
        """Register the checks; in the process of ``runserver`` that serves, open a tunnel."""
        from .checks import check_hosts, check_proxy_settings

        register(check_hosts)
        register(check_proxy_settings)
        if is_serving(sys.argv, os.environ):
            from .serving import open_beside_runserver

            open_beside_runserver()


def is_serving(arguments: list[str], environ: Mapping[str, str]) -> bool:
    """Whether this process is the one of ``runserver`` that serves, not the one that watches files.

    Daphne's ``runserver`` has the same arguments.
    """
    if arguments[1:2] != ["runserver"]:
        return False
    return environ.get(DJANGO_AUTORELOAD_ENV) == "true" or "--noreload" in arguments
