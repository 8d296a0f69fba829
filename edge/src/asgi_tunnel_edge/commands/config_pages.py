"""``asgi-tunnel-edge config pages``: write the pages that visitors would see, to look at them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.pages import load_pages
from asgi_tunnel_edge.pages.words import WORDS
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option

if TYPE_CHECKING:
    from asgi_tunnel_edge.pages import Pages

__all__ = ["write_pages"]

_DETAIL: Final = "here stands one sentence for the operator"
_NOTICE: Final = "Here stands what you write with --message."
_REQUEST: Final = b"0123456789abcdef0123456789abcdef"
_POLICY: Final = re.compile(r"content-security-policy: ([^\r\n]*)")


@click.command("pages")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite pages that are there.")
@data_option
@json_option
def write_pages(*, folder: Path, force: bool, data_dir: Path, as_json: bool) -> None:
    """Write each page of the settings in edge.toml into FOLDER, to look at it in a browser.

    A running edge stays as it is. The pages allow what they would allow there, and look in vain
    for their app.
    """
    config = EdgeConfig.load(data_dir)
    pages = load_pages(config)
    if config.pages.templates is not None and folder.exists():
        own = config.data_dir / config.pages.templates
        if folder.samefile(own):
            why = f"{folder} is where your templates are"
            raise EdgeConfigError("FOLDER", why, "name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / f"{reason}.html": _page(pages, reason) for reason in WORDS}
    found = next((path for path in files if path.exists()), None)
    if found is not None and not force:
        why = f"{found} is there already"
        raise EdgeConfigError("FOLDER", why, "name another folder, or add --force")
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "reasons": list(WORDS)}))
    else:
        click.echo(f"{len(files)} pages are in {folder}; begin with offline.html.")


def _page(pages: Pages, reason: str) -> str:
    """One page with values of the kind that it gets, and its policy in it."""
    reply = Reply(WORDS[reason].status, _DETAIL, 60, reason=reason)
    if reason == "maintenance":
        reply = reply._replace(notice=_NOTICE, until=int(time.time()) + 3600)
    body, fields = pages.render(reply, accept=b"text/html", request_id=_REQUEST, is_get=True)
    policy = _POLICY.search(fields.decode())
    assert policy is not None
    meta = f'<head><meta http-equiv="Content-Security-Policy" content="{policy[1]}">'
    return body.decode().replace("<head>", meta, 1)
