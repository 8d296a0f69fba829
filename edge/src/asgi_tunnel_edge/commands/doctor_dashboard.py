"""A dashboard that nobody can use as it was meant: called by ``doctor`` and ``config check``.

Nothing is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asgi_tunnel.findings import Finding, ok, problem_of, warning
from asgi_tunnel_edge.errors import EdgeConfigError, StorageError
from asgi_tunnel_edge.settings.config import CONFIG_FILE
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig
    from asgi_tunnel_edge.tokens import Snapshot

__all__ = ["check_dashboard", "hostname_of_a_token"]

_CHECK: Final = "dashboard"


def hostname_of_a_token(config: EdgeConfig, snapshot: Snapshot) -> EdgeConfigError | None:
    """Return an error where a token has the dashboard's hostname: its app is not asked there."""
    hostname = config.dashboard.hostname
    owner = None if hostname is None else snapshot.owners.get(hostname)
    if owner is None:
        return None
    why = f"is {hostname}, which the token {owner.name} has: its app gets no request there"
    fix = f"take another hostname, or give it up with `asgi-tunnel-edge host rm {hostname}`"
    return EdgeConfigError("dashboard.hostname", why, fix, file=CONFIG_FILE)


def check_dashboard(config: EdgeConfig) -> list[Finding]:
    """Whether somebody may operate it, and its hostname is nobody else's."""
    settings = config.dashboard
    if not settings.is_on:
        return []
    try:
        snapshot = Store(config.database).snapshot()
    except StorageError as error:
        return [problem_of(_CHECK, str(error), why="who may operate it is not known")]
    found: list[Finding] = []
    taken = hostname_of_a_token(config, snapshot)
    if taken is not None:
        found.append(warning(_CHECK, f"[dashboard] hostname {taken.why}", why="", fix=taken.fix))
    users = {user.name: user for user in snapshot.access.users if user.disabled_at is None}
    named = [one for one in settings.operators if "@" not in one]
    unknown = [one for one in named if one not in users]
    if unknown:
        what = f"[dashboard] operators names {', '.join(unknown)}, and there is no such user"
        fix = f"make one with `asgi-tunnel-edge user create {unknown[0]}`, or correct the name"
        found.append(warning(_CHECK, what, why="nobody logs in by that name", fix=fix))
    groups = set(settings.operator_groups)
    by_group = [user.name for user in users.values() if not groups.isdisjoint(user.groups)]
    by_provider = config.oidc and (groups or any("@" in one for one in settings.operators))
    if not by_group and not by_provider and len(unknown) == len(named):
        what = "nobody may operate the dashboard"
        why = "owners of tokens see theirs, and nobody sees the rest"
        fix = "name users in [dashboard] operators, or a group of theirs in operator_groups"
        found.append(warning(_CHECK, what, why=why, fix=fix))
    where = [one for one in (settings.hostname, settings.listen) if one]
    return found or [ok(_CHECK, f"at {' and '.join(where)}, and somebody may operate it")]
