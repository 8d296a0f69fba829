"""``asgi-tunnel-edge init``: make a directory that ``run`` can start from."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click
from msgspec.structs import replace

from asgi_tunnel_edge.address import is_loopback
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.errors import EdgeConfigError, HostnameError, shown
from asgi_tunnel_edge.files import PRIVATE_DIRECTORY
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.running import has_running_edge
from asgi_tunnel_edge.settings.acme import LETS_ENCRYPT, AcmeConfig
from asgi_tunnel_edge.settings.config import CONFIG_FILE, EdgeConfig, TlsConfig, parse_listen
from asgi_tunnel_edge.settings.file import write_config
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.acme import AcmeStore

from .external_account import HMAC_KEY_VARIABLE, read_external_account
from .options import data_option, shell_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgi_tunnel_edge.certificates.acme.records import ExternalAccountRecord
    from asgi_tunnel_edge.settings.acme import DnsMethod

__all__ = ["init"]

TlsMode = Literal["off", "internal", "files", "acme"]

_LISTEN: Final[dict[TlsMode, str]] = {
    "acme": "[::]:443",
    "internal": "0.0.0.0:443",
    "files": "0.0.0.0:443",
    "off": "127.0.0.1:8080",
}


@click.command()
@data_option
@click.option("--domain", required=True, help="Apps get names below it: shop.DOMAIN.")
@click.option("--email", help="Yours, for the CA that issues certificates by itself.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where visitors and apps arrive. [default: port 443, with --tls off 127.0.0.1:8080]",
)
@click.option(
    "--http-listen",
    metavar="HOST:PORT",
    help="Where visitors of plain HTTP are sent to https. [default: port 80 with --tls acme]",
)
@click.option(
    "--tls",
    "mode",
    type=click.Choice(["acme", "internal", "files", "off"]),
    help="Certificates from a CA by themselves, one of the edge's own, one from files, or plain "
    "HTTP. [default: acme with --email, else internal]",
)
@click.option(
    "--dns",
    type=click.Choice(["zone", "persistent", "update", "hook", "none"]),
    default="zone",
    show_default=True,
    help="How the names below the domain are proved to the CA.",
)
@click.option("--acme-directory", metavar="URL", default=LETS_ENCRYPT, help="Of another CA.")
@click.option(
    "--acme-root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Root certificate to trust that CA's URL by.",
)
@click.option(
    "--eab-key-id", metavar="ID", help="Of your account, where the CA takes its customers only."
)
@click.option(
    "--eab-hmac-key",
    metavar="FILE",
    help=f"Holds the HMAC key that belongs to it; - for standard input. [env: {HMAC_KEY_VARIABLE}, "
    "for the key itself]",
)
@click.option("--check/--no-check", default=True, help="Look at DNS, ports, clock and the CA.")
def init(  # noqa: PLR0913 - one for each option
    *,
    data_dir: Path,
    domain: str,
    email: str | None,
    listen: str | None,
    http_listen: str | None,
    mode: TlsMode | None,
    dns: DnsMethod,
    acme_directory: str,
    acme_root: Path | None,
    eab_key_id: str | None,
    eab_hmac_key: str | None,
    check: bool,
) -> None:
    """Set up an edge: a directory with its settings, store and certificate.

    Again with the same options: look again at what was missing.
    """
    mode = mode or ("internal" if email is None else "acme")
    acme = AcmeConfig(
        email=email,
        directory=acme_directory,
        root=None if acme_root is None else str(acme_root.absolute()),
        dns=dns if mode == "acme" else "none",
    )
    config = _checked(data_dir, domain, listen, http_listen, mode, acme)
    external = read_external_account(eab_key_id, eab_hmac_key, os.environ.get(HMAC_KEY_VARIABLE))
    if external is not None and mode != "acme":
        why = f'is for certificates from a CA, and --tls is "{mode}"'
        raise EdgeConfigError("--eab-key-id", why, "leave it out, or give --tls acme")
    if not _is_the_same(config):
        with _all_or_nothing(config):
            data_dir.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            Store(config.database).migrate()
            if mode != "off":
                config.certificate_path.parent.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
            # A certificate that is there stays: tokens may have pinned it.
            if mode == "internal" and not _has_certificate(config):
                create_internal_certificate(config.domain, config.certificate_path.parent)
            if external is not None:
                _keep(config, external)
            write_config(config)  # last: with it, this is an edge
    elif external is not None:
        there = EdgeConfig.load(data_dir)  # with where its store is
        Store(there.database).migrate()
        _keep(there, external)
    if mode == "acme" and check:
        from .prerequisites import report

        click.echo(report(config))
    click.echo(_next_steps(config))


def _checked(
    data_dir: Path,
    domain: str,
    listen: str | None,
    http_listen: str | None,
    mode: TlsMode,
    acme: AcmeConfig,
) -> EdgeConfig:
    """Settings from the options; nothing is touched yet."""
    try:
        domain = normalise_hostname(domain)
    except HostnameError as error:
        why = f"{shown(domain)} {error.why}"
        raise EdgeConfigError("--domain", why, "write a domain name like example.org") from error
    listen = listen if listen is not None else _LISTEN[mode]
    parse_listen(listen, setting="--listen")
    if http_listen is not None:
        parse_listen(http_listen, setting="--http-listen")
    elif mode == "acme":
        http_listen = "[::]:80"
    if data_dir.exists() and not data_dir.is_dir():
        raise EdgeConfigError("--data", f"{data_dir} is no directory", "choose another one")
    return EdgeConfig(
        data_dir=data_dir,
        domain=domain,
        listen=listen,
        http_listen=http_listen,
        tls=TlsConfig(mode=mode),
        acme=acme,
    )


def _is_the_same(config: EdgeConfig) -> bool:
    """Whether the directory is this edge's already.

    Raises:
        EdgeConfigError: It is another one's.
    """
    if not (config.data_dir / CONFIG_FILE).exists():
        return False
    there = EdgeConfig.load(config.data_dir)
    if config.tls.mode == "acme" and (there.domain, there.tls, there.acme) == (
        config.domain,
        config.tls,
        config.acme,
    ):
        return True
    why = f"{config.data_dir} has an {CONFIG_FILE} already, which init does not overwrite"
    others = replace(there.acme, directory=config.acme.directory, root=config.acme.root)
    if config.tls.mode == there.tls.mode == "acme" and others == config.acme:
        fix = (
            f'write directory = "{config.acme.directory}" there, under [acme], and start the edge '
            "again: what came from another CA is kept apart, and not used with this one"
        )
        raise EdgeConfigError("--acme-directory", why, fix)
    raise EdgeConfigError("--data", why, "edit that file, or choose another directory")


def _keep(config: EdgeConfig, external: ExternalAccountRecord) -> None:
    store = AcmeStore(config.database, config.acme_key_path)
    store.save_external_account(config.acme.directory, external)


def _has_certificate(config: EdgeConfig) -> bool:
    return config.certificate_path.exists() and config.key_path.exists()


@contextmanager
def _all_or_nothing(config: EdgeConfig) -> Iterator[None]:
    """Take away what was made when not everything could be made; what was there before stays."""
    database = config.database_path
    directory = config.data_dir.absolute()
    paths = [
        config.data_dir / CONFIG_FILE,
        config.key_path,
        config.certificate_path,
        config.acme_key_path,
        config.certificate_path.parent,
        *(database.with_name(database.name + end) for end in ("-wal", "-shm", "")),
        directory,
        *directory.parents,
    ]
    new = [path for path in paths if not path.exists()]
    try:
        yield
    except BaseException:
        for path in new:
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        raise


def _next_steps(config: EdgeConfig) -> str:
    data = config.data_dir
    steps = []
    if config.tls.mode == "files":
        steps.append(
            f"Put the certificate at {config.certificate_path}\n"
            f"   and its key at {config.key_path}."
        )
    if config.tls.mode != "acme" and not is_loopback(config.listen_address.host):
        steps.append(
            f"Let {config.domain} and *.{config.domain} point to this machine, in the DNS."
        )
    if not has_running_edge(data):
        steps.append(f"Start the edge:\n   {shell_command('run', '--data', data)}")
    create = shell_command("token", "create", "shop", "--data", data)
    steps.append(f"Make a token for an app, here one named shop:\n   {create}")
    lines = [f"The edge of {config.domain} is set up in {data}. Next:", ""]
    lines += [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join(lines)
