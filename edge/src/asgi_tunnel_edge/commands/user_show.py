"""``asgi-tunnel-edge user show``: one user, with passkeys, logins and what is open to them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.errors import AccountError
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore

from .access_fields import session_fields, user_fields
from .options import data_option, json_option, utc_second, utc_time

__all__ = ["show_user"]


@click.command("show")
@click.argument("name")
@data_option
@json_option
def show_user(*, name: str, data_dir: Path, as_json: bool) -> None:
    """Show one user: groups, passkeys, sessions, and the policies that let the user in."""
    config = EdgeConfig.load(data_dir)
    store = AccessStore(config.database_path)
    found = next((one for one in store.users() if one[0].name == name), None)
    if found is None:
        fix = "list them with `asgi-tunnel-edge user list`"
        raise AccountError(name, "is no user of this edge", fix)
    record, has_password, passkeys = found
    keys = store.passkeys(name)
    sessions = [one for one in store.sessions() if one.subject == f"user:{name}"]
    policies = [
        policy
        for policy, rule in config.policies.items()
        if {name, "*"} & {*rule.users} or {*record.groups} & {*rule.groups}
    ]
    if as_json:
        document = {
            **user_fields(record, has_password=has_password, passkeys=passkeys),
            "access": policies,
            "keys": [
                {
                    "hostname": hostname,
                    "label": label,
                    "created_at": utc_second(made),
                    "last_used_at": utc_second(used),
                }
                for _, hostname, label, made, used in keys
            ],
            "sessions": [session_fields(one) for one in sessions],
        }
        click.echo(json.dumps(document))
        return
    disabled = record.disabled_at
    state = "active" if disabled is None else f"disabled since {utc_time(disabled)}"
    lines = [
        f"User {name}, made {utc_time(record.created_at)}, {state}",
        f"e-mail:    {record.email or '-'}",
        f"groups:    {', '.join(record.groups) or '-'}",
        f"policies:  {', '.join(policies) or 'none lets this user in'}",
        f"password:  {'yes' if has_password else 'no'}",
    ]
    for _, hostname, label, made, used in keys:
        last = "never used" if used is None else f"last used {utc_time(used)}"
        lines.append(f"passkey:   {label or '-'} for {hostname}, made {utc_time(made)}, {last}")
    lines += [
        f"session:   {one.id} at {one.hostname} by {one.method}, since "
        f"{utc_time(one.created_at)} from {one.address or '-'}"
        for one in sessions
    ]
    click.echo("\n".join(lines))
