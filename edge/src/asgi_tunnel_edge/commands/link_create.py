"""``asgi-tunnel-edge link create``: show one path to whoever has a link."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from asgi_tunnel_edge.operations import links
from asgi_tunnel_edge.operations.links import MAX_USES, NewLink, link_view
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, utc_time

__all__ = ["create_link"]


@click.command("create")
@click.argument("target", metavar="HOST/PATH")
@click.option(
    "--expires", default="7d", metavar="TIME", help='"never", or from now.', show_default=True
)
@click.option(
    "--uses",
    type=click.IntRange(1, MAX_USES),
    metavar="N",
    help="Browsers that may open it. [default: any number]",
)
@click.option("--note", default="", metavar="TEXT", help="For whom it is; apps see it, too.")
@data_option
@json_option
def create_link(
    *, target: str, expires: str, uses: int | None, note: str, data_dir: Path, as_json: bool
) -> None:
    """Print a link, once, that lets whoever has it see PATH and what is below.

    It opens the door that stands at PATH. A path below with another policy stays shut.
    """
    new = NewLink(target=target, expires=expires, uses=uses, note=note)
    done = links.create_link(EdgeConfig.load(data_dir), new)
    record = done.record
    if as_json:
        fields = msgspec.structs.asdict(link_view(record, record.created_at))
        click.echo(json_text({**fields, "url": done.url}))
        return
    until = "it is revoked" if record.expires_at is None else utc_time(record.expires_at)
    often = "" if uses is None else f", for {uses} browser{'s' if uses > 1 else ''}"
    where = f"{record.hostname}{record.path}"
    click.echo(f"Link {record.id} to {where}, until {until}{often}:\n\n  {done.url}")
