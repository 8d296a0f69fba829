"""Doors that do not do what they seem to: called by ``doctor`` and ``config check``.

Nothing is changed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from asgi_tunnel.findings import Finding, ok, problem, problem_of, warning
from asgi_tunnel_edge.errors import EdgeConfigError, StorageError
from asgi_tunnel_edge.operations.doors import DoorMap
from asgi_tunnel_edge.settings.config import CONFIG_FILE

from .access_list import who_passes

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["check_doors", "doors_without_effect"]

_CHECK: Final = "doors"


def doors_without_effect(doors: DoorMap) -> list[EdgeConfigError]:
    """Return an error for each door where TLS ends in the app, so that the edge asks nobody."""
    return [
        EdgeConfigError(
            f"hostnames.{name}.access",
            f"the TLS of {name} ends in the app, so the edge cannot ask anybody there",
            "take the door away, or let the TLS end at the edge",
            file=CONFIG_FILE,
        )
        for name in doors.hostnames()
        if doors.door(name) is not None and doors.is_end_to_end(name)
    ]


def check_doors(config: EdgeConfig) -> list[Finding]:
    """Whether each door stands, and lets somebody in who is there."""
    if not config.policies:
        return [ok(_CHECK, "no hostname has a door")]
    try:
        doors = DoorMap.load(config)
    except StorageError as error:
        return [problem_of(_CHECK, str(error), why="who may come in is not known")]
    found = [
        problem(_CHECK, one.why, why="everybody may come in", fix=one.fix)
        for one in doors_without_effect(doors)
    ]
    shut = [name for name in doors.hostnames() if doors.door(name) is not None]
    used = {rule.policy for name in shut for rule in doors.rules(name)} - {None}
    now = time.time()
    for name, policy in config.policies.items():
        if name not in used:
            continue
        who = who_passes(name, policy, doors.snapshot, now)
        unknown = who.pop("unknown_users")
        if unknown:
            named = ", ".join(unknown)
            what = f"[access.{name}] names {named}, and there is no such user"
            fix = f"make one with `asgi-tunnel-edge user create {unknown[0]}`, or correct the name"
            found.append(warning(_CHECK, what, why="nobody logs in by that name", fix=fix))
        if not any(who.values()):
            what = f"[access.{name}] lets nobody in"
            why = "what is behind it can be reached by nobody, but for share links"
            fix = "name users, groups, emails or domains, or make a service token"
            found.append(warning(_CHECK, what, why=why, fix=fix))
    return found or [ok(_CHECK, f"each lets somebody in: {', '.join(shut) or 'there is none yet'}")]
