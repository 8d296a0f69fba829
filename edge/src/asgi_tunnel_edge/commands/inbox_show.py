"""``asgi-tunnel-edge inbox show``: what is in one request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from asgi_tunnel_edge.operations import inbox
from asgi_tunnel_edge.operations.inbox import kept_detail, kept_view
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

if TYPE_CHECKING:
    from asgi_tunnel.protocol.head import RequestHead

__all__ = ["show_request"]


@click.command("show")
@click.argument("request_id", metavar="ID")
@click.option("--body", "body_only", is_flag=True, help="Print the body, byte for byte.")
@data_option
@json_option
def show_request(*, request_id: str, body_only: bool, data_dir: Path, as_json: bool) -> None:
    """Show one request as its sender sent it, secrets included."""
    kept = inbox.show_request(EdgeConfig.load(data_dir), request_id)
    if as_json:
        click.echo(json_text(kept_detail(kept)))
    elif body_only:
        sys.stdout.flush()
        sys.stdout.buffer.write(kept.body)
        sys.stdout.buffer.flush()
    else:
        fields = msgspec.structs.asdict(kept_view(kept.row, kept.token))
        click.echo("\n".join([*(f"{key}: {value}" for key, value in fields.items()), ""]))
        click.echo("\n".join(_lines(kept.head, len(kept.body))))


def _lines(head: RequestHead, size: int) -> list[str]:
    lines = [b" ".join((head.method, head.target))]
    lines += [name + b": " + value for name, value in head.fields]
    # What a stranger sent must not move the terminal's cursor (T38).
    shown = [line.decode("latin-1").encode("unicode_escape").decode() for line in lines]
    return [*shown, "", f"{size} bytes of body; print them with --body"]
