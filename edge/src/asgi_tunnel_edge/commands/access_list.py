"""``asgi-tunnel-edge access list``: who can see what."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asgi_tunnel_edge.operations.doors import DoorMap
from asgi_tunnel_edge.operations.links import state_of
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, table

if TYPE_CHECKING:
    from asgi_tunnel_edge.operations.doors import PathRule
    from asgi_tunnel_edge.settings.access import AccessConfig
    from asgi_tunnel_edge.tokens import Snapshot

__all__ = ["list_access", "who_passes"]

_HEAD: Final = ("HOSTNAME", "PATH", "POLICY", "WHO", "BY")


@click.command("list")
@data_option
@json_option
def list_access(*, data_dir: Path, as_json: bool) -> None:
    """Show each hostname and path, the policy in front of it, and who passes.

    As edge.toml and the store are now; a running edge has the settings of its last start or reload.
    """
    config = EdgeConfig.load(data_dir)
    doors = DoorMap.load(config)
    now = time.time()
    if as_json:
        click.echo(json.dumps([_document(doors, name, now) for name in doors.hostnames()]))
        return
    rows = [
        row
        for name in doors.hostnames()
        for row in (_end_to_end(name) if doors.is_end_to_end(name) else _rows(doors, name, now))
    ]
    if not rows:
        click.echo("There are no hostnames yet.")
        return
    click.echo(table([_HEAD, *rows]))


def _end_to_end(hostname: str) -> list[tuple[str, ...]]:
    return [(hostname, "/", "-", "whom the app lets in: TLS ends there", "-")]


def _rows(doors: DoorMap, hostname: str, now: float) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for rule in doors.rules(hostname):
        where = f"{rule.method} {rule.path}".strip()
        if rule.policy is None:
            rows.append((hostname, where, "public", "everybody", "-"))
            continue
        policy = doors.config.policies[rule.policy]
        found = {
            **who_passes(rule.policy, policy, doors.snapshot, now),
            "links": _links(doors, hostname, rule.policy, now),
        }
        methods = ", ".join(policy.methods)
        rows.append((hostname, where, rule.policy, _sentence(found), methods))
    return rows


def _sentence(found: dict[str, Any]) -> str:
    parts = [*found["users"]]
    parts += [f"{one} (no such user)" for one in found["unknown_users"]]
    parts += found["emails"]
    parts += [f"*@{one}" for one in found["domains"]]
    parts += [f"group {one} of a provider" for one in found["provider_groups"]]
    parts += [f"service token {one}" for one in found["service_tokens"]]
    links = len(found["links"])
    parts += [f"{links} share link{'s' if links > 1 else ''}"] if links else []
    return ", ".join(parts) or "nobody"


def _links(doors: DoorMap, hostname: str, policy: str, now: float) -> list[str]:
    """The paths that share links open at a hostname, where a policy stands."""
    door = doors.door(hostname)
    return [
        one.path
        for one in doors.snapshot.access.links
        if one.hostname == hostname and state_of(one, now) == "active" and door is not None
        if policy in [it.name for it in door.policies_of(b"GET", one.path.encode())]
        if "link" in doors.config.policies[policy].methods
    ]


def who_passes(name: str, policy: AccessConfig, snapshot: Snapshot, now: float) -> dict[str, Any]:
    """Return whom one policy lets in, but for share links.

    Args:
        name: Of the policy.
        policy: As ``edge.toml`` has it.
        snapshot: Of the store.
        now: Seconds since 1970.
    """
    access, methods = snapshot.access, set(policy.methods)
    known = {user.name for user in access.users}
    users = [
        user.name
        for user in access.users
        if user.disabled_at is None
        and ({user.name, "*"} & {*policy.users} or {*user.groups} & {*policy.groups})
    ]
    takes_users = bool(methods & {"password", "passkey", "basic"})
    takes_oidc = "oidc" in methods
    tokens = [
        one.name
        for one in access.service_tokens
        if "token" in methods and name in one.policies and state_of(one, now) == "active"
    ]
    return {
        "users": users if takes_users else [],
        "unknown_users": [one for one in policy.users if one != "*" and one not in known],
        "emails": list(policy.emails) if takes_oidc else [],
        "domains": list(policy.domains) if takes_oidc else [],
        "provider_groups": list(policy.groups) if takes_oidc and policy.providers else [],
        "service_tokens": tokens,
    }


def _document(doors: DoorMap, hostname: str, now: float) -> dict[str, Any]:
    owner = doors.owner(hostname)
    is_end_to_end = doors.is_end_to_end(hostname)
    rules = [] if is_end_to_end else doors.rules(hostname)
    return {
        "hostname": hostname,
        "token": None if owner is None else owner.name,
        "end_to_end": is_end_to_end,
        "paths": [_path(doors, hostname, rule, now) for rule in rules],
    }


def _path(doors: DoorMap, hostname: str, rule: PathRule, now: float) -> dict[str, Any]:
    document: dict[str, Any] = {
        "method": rule.method or None,
        "path": rule.path,
        "policy": rule.policy,
        "methods": [],
        "who": None,
    }
    if rule.policy is not None:
        policy = doors.config.policies[rule.policy]
        who = who_passes(rule.policy, policy, doors.snapshot, now)
        who["links"] = _links(doors, hostname, rule.policy, now)
        document |= {"methods": list(policy.methods), "who": who}
    return document
