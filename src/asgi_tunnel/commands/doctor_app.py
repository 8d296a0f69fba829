"""The settings of a named app that keep visitors out. Called by ``doctor``, after an import.

Django's are looked at where the app has loaded them; other frameworks take every hostname.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigError
from ..findings import Finding, ok, problem, skipped

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_app"]

_COOKIE_DOMAINS: Final = ("CSRF_COOKIE_DOMAIN", "SESSION_COOKIE_DOMAIN")
_DEBUG_HOSTS: Final = (".localhost", "127.0.0.1", "[::1]")
"""What Django takes with DEBUG and an empty ALLOWED_HOSTS."""


def check_app(where: str, app_dir: str, hostnames: Sequence[str]) -> list[Finding]:
    """Import an app and look at its settings.

    Args:
        where: ``module:attribute``.
        app_dir: Where modules are looked for.
        hostnames: Of the token; empty: they are not known.
    """
    from ..loading import load_app

    sys.path.insert(0, str(Path(app_dir).absolute()))
    try:
        load_app(where)
    except ConfigError as error:
        what = f"{error.setting} {error.why}"
        return [problem("app", what, why="it cannot be served", fix=error.fix)]
    except Exception as error:  # noqa: BLE001 - the app's own code may raise anything
        what = f"{where} cannot be imported ({type(error).__name__}: {error})"
        fix = "run its module with Python to see where"
        return [problem("app", what, why="it cannot be served", fix=fix)]
    found = [ok("app", f"{where} can be imported")]
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return found
    if not hostnames:
        return [*found, skipped("allowed-hosts", "the token's hostnames are not known")]
    plain = [name.replace("*", "doctor", 1) for name in hostnames]
    return [*found, _allowed_hosts(conf.settings, plain), *_cookie_domains(conf.settings, plain)]


def _allowed_hosts(settings: Any, hostnames: Sequence[str]) -> Finding:
    from django.http.request import validate_host

    allowed = settings.ALLOWED_HOSTS or (_DEBUG_HOSTS if settings.DEBUG else ())
    missing = [name for name in hostnames if not validate_host(name, allowed)]
    if not missing:
        return ok("allowed-hosts", "ALLOWED_HOSTS has the public hostnames")
    return problem(
        "allowed-hosts",
        f"ALLOWED_HOSTS lacks {', '.join(missing)}",
        why="Django answers each visitor with 400 Bad Request",
        fix="add it, as in ALLOWED_HOSTS = " + str(missing),
    )


def _cookie_domains(settings: Any, hostnames: Sequence[str]) -> list[Finding]:
    found = []
    for setting in _COOKIE_DOMAINS:
        domain = getattr(settings, setting, None)
        if not domain:
            continue
        bare = str(domain).lstrip(".")
        outside = [one for one in hostnames if one != bare and not one.endswith(f".{bare}")]
        if outside:
            found.append(
                problem(
                    "cookies",
                    f"{setting} is {domain}, and {outside[0]} is not below it",
                    why="browsers drop the cookie: forms fail with 403, and nobody stays logged in",
                    fix="leave the setting out",
                )
            )
    return found
