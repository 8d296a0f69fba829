"""System checks: settings with which visitors of a tunnel get errors, or could forge who they are.

They are warnings, and only where there is a token: a project without a tunnel hears nothing.
"""

from __future__ import annotations

import os
from typing import Any, Final

from django.conf import settings
from django.core import checks

from asgi_tunnel.config import TOKEN, TOKEN_FILE

__all__ = ["check_hosts", "check_proxy_settings"]

_LOCAL: Final = frozenset({"localhost", ".localhost", "127.0.0.1", "[::1]", "testserver"})
_FORGED: Final = {
    "USE_X_FORWARDED_HOST": "the Host of a request is the visitor's own already",
    "USE_X_FORWARDED_PORT": "the port of a request is the visitor's own already",
    "SECURE_PROXY_SSL_HEADER": "request.scheme is the visitor's own already",
}


def check_hosts(**_: Any) -> list[checks.CheckMessage]:
    """Warn where Django refuses each request with a public hostname."""
    allowed = set(settings.ALLOWED_HOSTS)
    if not _has_token() or allowed - _LOCAL:
        return []
    return [
        checks.Warning(
            "ALLOWED_HOSTS has no public hostname: Django answers each visitor of the tunnel with "
            "400 Bad Request.",
            hint='Add the hostname of the tunnel, for example "shop.example.org".',
            id="asgi_tunnel.W001",
        )
    ]


def check_proxy_settings(**_: Any) -> list[checks.CheckMessage]:
    """Warn of settings that trust what a proxy says, where there is none.

    The tunnel drops such fields of visitors, but a local port beside it does not.
    """
    if not _has_token():
        return []
    return [
        checks.Warning(
            f"{name} is set, and through the tunnel it is not needed: {why}.",
            hint="Leave it out, unless the app is also served behind a proxy that sets the field.",
            id="asgi_tunnel.W002",
        )
        for name, why in _FORGED.items()
        if getattr(settings, name, None)
    ]


def _has_token() -> bool:
    return bool(os.environ.get(TOKEN) or os.environ.get(TOKEN_FILE))
