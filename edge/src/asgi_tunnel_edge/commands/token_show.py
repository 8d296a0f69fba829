"""``asgi-tunnel-edge token show``: what one token is, and when it was used."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from asgi_tunnel_edge.operations.tokens import TokenView, list_tokens, token_urls
from asgi_tunnel_edge.quotas import format_quota
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

__all__ = ["show"]


@click.command()
@click.argument("token", metavar="ID_OR_NAME")
@data_option
@json_option
def show(*, token: str, data_dir: Path, as_json: bool) -> None:
    """Show one token: its hostnames, times and limits; its secret is not kept.

    A running edge writes when its tokens are used once a minute.
    """
    config = EdgeConfig.load(data_dir)
    [view] = list_tokens(config, [token])
    if as_json:
        urls = token_urls(config, view.hostnames)
        click.echo(json_text({**msgspec.structs.asdict(view), "urls": urls}))
    else:
        click.echo("\n".join(_lines(view)))


def _lines(one: TokenView) -> list[str]:
    rows = [
        ("state", one.state),
        ("hostnames", ", ".join(one.hostnames) or "none"),
        ("end to end", ", ".join(one.end_to_end) or "none"),
        ("created", one.created_at or "-"),
        ("expires", one.expires_at or "never"),
        ("last used", one.last_used_at or "never"),
    ]
    if one.owner:
        rows.append(("owner", one.owner))
    if one.revoked_at is not None:
        rows.append(("revoked", one.revoked_at))
    if one.old_secret_until is not None:
        rows.append(("old secret", f"taken until {one.old_secret_until}"))
    own = one.limits.items()
    rows += [(name, format_quota(name, value)) for name, value in own if value is not None]
    width = max(len(label) for label, _ in rows)
    return [f"Token {one.name} ({one.id})", ""] + [
        f"  {label:<{width}}  {value}" for label, value in rows
    ]
