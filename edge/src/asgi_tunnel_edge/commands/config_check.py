"""``asgi-tunnel-edge config check``: everything that is wrong with the settings, at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgi_tunnel_edge.certificates.files import server_context
from asgi_tunnel_edge.errors import CertificateError, EdgeConfigError, EdgeError, StorageError
from asgi_tunnel_edge.operations.doors import DoorMap
from asgi_tunnel_edge.pages import load_pages
from asgi_tunnel_edge.settings.config import CONFIG_FILE
from asgi_tunnel_edge.settings.survey import find_mistakes
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.database import HEAD_REVISION

from .doctor_access import doors_without_effect
from .doctor_dashboard import hostname_of_a_token
from .options import data_option, json_option

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["check"]


@click.command()
@data_option
@json_option
def check(*, data_dir: Path, as_json: bool) -> int:
    """Read all that `run` reads, start nothing, and say each thing that is wrong.

    The exit code is 2 where something is.
    """
    config, mistakes = find_mistakes(data_dir)
    wrong: list[EdgeError] = [*mistakes]
    if config is not None:
        wrong += _wrong_files(config)
    if as_json:
        errors = [{"setting": _setting(one), "message": str(one)} for one in wrong]
        document = {"ok": not wrong, "file": str(data_dir / CONFIG_FILE), "errors": errors}
        click.echo(json.dumps(document))
    elif wrong:
        for one in wrong:
            click.echo(f"error: {one}", err=True)
    else:
        click.echo(f"{data_dir / CONFIG_FILE} and what it names can be used.")
    return 2 if wrong else 0


def _setting(error: EdgeError) -> str | None:
    return error.setting if isinstance(error, EdgeConfigError) else None


def _wrong_files(config: EdgeConfig) -> list[EdgeError]:
    """What an edge would not find, or could not use, when it starts."""
    found: list[EdgeError] = []
    if config.tls.mode in ("internal", "files"):
        try:
            server_context(config.certificate_path, config.key_path)
        except CertificateError as error:
            found.append(error)
    if config.tls.mode == "acme":
        named = {"acme.root": config.acme_root_path}
        if config.acme.update_key is not None:
            named["acme.update_key"] = config.data_dir / config.acme.update_key
        found += [
            EdgeConfigError(
                setting, f"{path} cannot be read", "put the file there", file=CONFIG_FILE
            )
            for setting, path in named.items()
            if path is not None and not os.access(path, os.R_OK)
        ]
    try:
        load_pages(config)
    except EdgeConfigError as error:
        found.append(error)
    log = config.access_log_path
    if log is not None and not os.access(log if log.exists() else log.parent, os.W_OK):
        why, fix = f"{log} cannot be written", "make its folder, writable for the edge's user"
        found.append(EdgeConfigError("access_log.path", why, fix, file=CONFIG_FILE))
    try:
        store = Store(config.database)
        revision = store.revision() or ""
        if not revision and config.store is not None:
            store.read()  # an edge does not start with it, and this says why
        if revision > HEAD_REVISION:
            sentence = f"the database {store.label} was made by a newer version"
            found.append(StorageError(f"{sentence} of asgi-tunnel-edge; upgrade this one"))
        elif config.policies and revision == HEAD_REVISION:
            doors = DoorMap.load(config)
            found += doors_without_effect(doors)
            taken = hostname_of_a_token(config, doors.snapshot)
            found += [] if taken is None else [taken]
    except StorageError as error:
        if not config.snapshot_path.exists():  # with it an edge starts
            found.append(error)
    return found
