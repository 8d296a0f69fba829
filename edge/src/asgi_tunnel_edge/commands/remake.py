"""``asgi-tunnel-edge remake``: make anew what was lost, and say what that costs."""

from __future__ import annotations

import time
from pathlib import Path

import click

from asgi_tunnel_edge.certificates.files import server_context
from asgi_tunnel_edge.certificates.internal import (
    create_internal_certificate,
    next_certificate,
)
from asgi_tunnel_edge.errors import CertificateError, EdgeConfigError, StorageError
from asgi_tunnel_edge.files import PRIVATE_DIRECTORY
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store, load_snapshot_file

from .options import data_option, shell_command

__all__ = ["certificate", "database"]

_force = click.option("--force", is_flag=True, help="Also when the one that is there can be used.")


@click.command()
@data_option
@_force
def certificate(*, data_dir: Path, force: bool) -> None:
    """Make the edge's own certificate anew.

    Every token names the old one, so that each app needs a new token after this; a certificate
    that is there gives way to the next one without that: `cert renew`.
    """
    config = EdgeConfig.load(data_dir)
    if config.tls.mode != "internal":
        why = f'is "{config.tls.mode}", and this command makes certificates of "internal"'
        fix = "put the certificate and its key where [tls] says"
        raise EdgeConfigError("tls.mode", why, fix, file="edge.toml")
    if not force and _is_usable(config):
        why = f"{config.certificate_path} and its key can be used, and every token names them"
        raise EdgeConfigError("remake", why, "leave them, or give --force to replace them")
    if config.key_path.parent != config.certificate_path.parent or (
        config.certificate_path.name,
        config.key_path.name,
    ) != ("certificate.pem", "key.pem"):
        why = "names other files than certificate.pem and key.pem in one folder"
        raise EdgeConfigError("tls", why, "take certificate and key out", file="edge.toml")
    config.certificate_path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    files = create_internal_certificate(config.domain, config.certificate_path.parent)
    # Whoever has seen the old key may have seen this one; the edge makes another when it starts.
    coming = next_certificate(files)
    for path in (coming.key, coming.certificate):
        path.unlink(missing_ok=True)
    lines = [
        f"{config.certificate_path} is new. Apps that know the old one refuse it. Next:",
        "",
        f"1. Start the edge again:\n   {shell_command('run', '--data', data_dir)}",
        "2. Take back the token of each app and make a new one, for example:",
    ]
    names = _live_tokens(config) or ["shop"]
    for name in names:
        lines.append(f"   {shell_command('token', 'revoke', name, '--data', data_dir)}")
        lines.append(f"   {shell_command('token', 'create', name, '--data', data_dir)}")
    click.echo("\n".join(lines))


@click.command()
@data_option
@_force
def database(*, data_dir: Path, force: bool) -> None:
    """Make the database anew, from the snapshot of the edge that ran last where there is one.

    Without a snapshot all tokens and bans are gone, and each app needs a new token. A database that
    is there is kept under another name. Of a PostgreSQL only an empty database is filled.
    """
    config = EdgeConfig.load(data_dir)
    store = Store(config.database)
    if not force and _is_readable(config):
        why = f"{store.label} can be read"
        raise EdgeConfigError("remake", why, "leave it, or give --force to replace it")
    snapshot = None
    if config.snapshot_path.exists():
        try:
            snapshot = load_snapshot_file(config.snapshot_path)
        except StorageError as error:
            click.echo(f"warning: {error}", err=True)
    kept = _put_away(config)
    store.migrate()
    if snapshot is not None:
        store.restore(snapshot)
    if kept is not None:
        click.echo(f"The old database is kept as {kept}.")
    if snapshot is not None:
        click.echo(
            f"{store.label} is new, with the {len(snapshot.tokens)} tokens and "
            f"{len(snapshot.bans)} bans of {config.snapshot_path}. What was changed after that, "
            "and the history, is lost: take back again what was taken back since."
        )
    else:
        create = shell_command("token", "create", "shop", "--data", data_dir)
        click.echo(
            f"{store.label} is new and empty: all tokens and bans are gone. "
            f"Each app needs a new token:\n   {create}"
        )


def _put_away(config: EdgeConfig) -> Path | None:
    """Make room for a new database; return where the old one is now, None: there was none.

    Raises:
        EdgeConfigError: It is a server's, and has tables: others may use them.
    """
    if config.store is not None:
        store = Store(config.store)
        if store.revision() is None:
            return None
        why = f"{store.label} has tables, and nothing of a PostgreSQL is replaced"
        fix = "put a copy back with its own tools, or name a new, empty database in `store`"
        raise EdgeConfigError("remake", why, fix)
    path = config.database_path
    kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    for end in ("-wal", "-shm", ""):
        old = path.with_name(path.name + end)
        if old.exists():
            old.rename(kept.with_name(kept.name + end))
    return kept if kept.exists() else None


def _is_usable(config: EdgeConfig) -> bool:
    try:
        server_context(config.certificate_path, config.key_path)
    except CertificateError:
        return False
    return True


def _is_readable(config: EdgeConfig) -> bool:
    try:
        Store(config.database).snapshot()
    except StorageError as error:
        if "locked" in str(error):
            raise
        return False
    return True


def _live_tokens(config: EdgeConfig) -> list[str]:
    try:
        _, records = Store(config.database).read()
    except StorageError:
        return []
    now = time.time()
    return [record.name for record in records if record.state(now) == "active"]
