"""``asgi-tunnel-edge user show``: one user, with passkeys, logins and what is open to them."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations import users
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

__all__ = ["show_user"]


@click.command("show")
@click.argument("name")
@data_option
@json_option
def show_user(*, name: str, data_dir: Path, as_json: bool) -> None:
    """Show one user: groups, passkeys, sessions, and the policies that let the user in."""
    user = users.show_user(EdgeConfig.load(data_dir), name)
    if as_json:
        click.echo(json_text(user))
        return
    state = "active" if user.disabled_at is None else f"disabled since {user.disabled_at}"
    lines = [
        f"User {name}, made {user.created_at}, {state}",
        f"e-mail:    {user.email or '-'}",
        f"groups:    {', '.join(user.groups) or '-'}",
        f"policies:  {', '.join(user.access) or 'none lets this user in'}",
        f"password:  {'yes' if user.has_password else 'no'}",
    ]
    for key in user.keys:
        last = "never used" if key.last_used_at is None else f"last used {key.last_used_at}"
        label = key.label or "-"
        lines.append(f"passkey:   {label} for {key.hostname}, made {key.created_at}, {last}")
    lines += [
        f"session:   {one.id} at {one.hostname} by {one.method}, since "
        f"{one.created_at} from {one.address or '-'}"
        for one in user.sessions
    ]
    click.echo("\n".join(lines))
