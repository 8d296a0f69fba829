"""``asgi-tunnel-edge inbox show``: what is in one request."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgi_tunnel.protocol.head import decode_request
from asgi_tunnel_edge.errors import KeptRequestNotFoundError
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .inbox_file import opened_inbox
from .inbox_list import inbox_fields
from .options import data_option, json_option

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
    config = EdgeConfig.load(data_dir)
    with opened_inbox(config) as inbox:
        found = None if inbox is None else inbox.find(request_id)
    if found is None:
        raise KeptRequestNotFoundError(request_id)
    row, payload = found
    _, head, begin = decode_request(payload)
    body = payload[begin:]
    names = {one.id: one.name for one in Store(config.database_path).read()[1]}
    fields = inbox_fields(row, names)
    if as_json:
        request = {
            "method": head.method.decode("latin-1"),
            "target": head.target.decode("latin-1"),
            "visitor": head.arrival.peer_host.decode("latin-1"),
            "fields": [
                [name.decode("latin-1"), value.decode("latin-1")] for name, value in head.fields
            ],
            "body": base64.b64encode(body).decode(),
        }
        click.echo(json.dumps({**fields, **request}))
    elif body_only:
        sys.stdout.flush()
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    else:
        click.echo("\n".join([*(f"{key}: {value}" for key, value in fields.items()), ""]))
        click.echo("\n".join(_lines(head, len(body))))


def _lines(head: RequestHead, size: int) -> list[str]:
    lines = [b" ".join((head.method, head.target))]
    lines += [name + b": " + value for name, value in head.fields]
    # What a stranger sent must not move the terminal's cursor (T38).
    shown = [line.decode("latin-1").encode("unicode_escape").decode() for line in lines]
    return [*shown, "", f"{size} bytes of body; print them with --body"]
