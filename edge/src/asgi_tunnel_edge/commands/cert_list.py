"""``asgi-tunnel-edge cert list``: which certificates a CA has issued for this edge."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.issuance import is_wildcard_missing, wanted_certificates
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.acme import AcmeStore

from .options import (
    data_option,
    json_option,
    require_acme,
    shell_command,
    table,
    utc_second,
    utc_time,
)
from .running import is_running

if TYPE_CHECKING:
    from asgi_tunnel_edge.certificates.acme.records import AcmeState

__all__ = ["certificate_states", "list_certificates"]

_HEAD: Final = ("NAMES", "ISSUER", "EXPIRES", "RENEWAL", "STATE")


@click.command("list")
@data_option
@json_option
def list_certificates(*, data_dir: Path, as_json: bool) -> None:
    """Show the certificates from the CA: those there are, and those that are still wanted."""
    config = EdgeConfig.load(data_dir)
    require_acme(config)
    found = certificate_states(config)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(table([_HEAD, *(_row(one) for one in found)]))
    for one in found:
        if one["error"]:
            click.echo(f"\n{', '.join(_texts(one['names']))}: {one['error']}")
            when = str(one["retry_at"])
            click.echo(f"next try: {'now' if when <= utc_time(time.time()) else when}")
    if any(one["state"] in ("failing", "wanted") for one in found) and not is_running(data_dir):
        start = shell_command("run", "--data", data_dir)
        click.echo(f"\nNo edge runs here, and so nothing is ordered; start it with `{start}`")


def certificate_states(config: EdgeConfig) -> list[dict[str, object]]:
    """What there is of certificates from the CA, and what is wanted and missing.

    Raises:
        StorageError: The database, or the key that its secrets are encrypted with, cannot be read.
    """
    state = AcmeStore(config.database_path, config.acme_key_path).load(config.acme.directory)
    wanted = wanted_certificates(
        config,
        Store(config.database_path).snapshot(),
        has_wildcard=not is_wildcard_missing(config, state),
    )
    names = list(dict.fromkeys([*wanted, *state.certificates, *state.failures]))
    return [_fields(one, state, is_wanted=one in wanted) for one in names]


def _fields(names: tuple[str, ...], state: AcmeState, *, is_wanted: bool) -> dict[str, object]:
    record, failure = state.certificates.get(names), state.failures.get(names)
    if record is None:
        status = "failing" if failure is not None else "wanted"
    elif record.not_after <= time.time():
        status = "expired"
    elif not is_wanted:
        status = "unused"
    else:
        status = "failing" if failure is not None else "valid"
    return {
        "names": list(names),
        "issuer": None if record is None else record.issuer,
        "not_before": None if record is None else utc_second(record.not_before),
        "not_after": None if record is None else utc_second(record.not_after),
        "renew_at": None if record is None else utc_second(record.renew_at),
        "serial": None if record is None else record.serial,
        "state": status,
        "error": None if failure is None else failure.sentence,
        "retry_at": None if failure is None else utc_second(failure.retry_at),
    }


def _row(fields: dict[str, object]) -> tuple[str, ...]:
    def text(key: str) -> str:
        return str(fields[key] or "-")

    return (
        ", ".join(_texts(fields["names"])),
        text("issuer"),
        text("not_after"),
        text("renew_at"),
        text("state"),
    )


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
