"""What is in the edge's folder: settings, database, secrets, certificate, room on the disk.

Called by ``doctor``. Nothing is changed.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from typing import TYPE_CHECKING, Final

from cryptography import x509

from asgi_tunnel.findings import Finding, ok, problem, problem_of, skipped, warning
from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.certificates.files import server_context
from asgi_tunnel_edge.certificates.internal import InternalCertificate, next_certificate
from asgi_tunnel_edge.certificates.validity import validity_warnings
from asgi_tunnel_edge.errors import CertificateError, EdgeConfigError, StorageError
from asgi_tunnel_edge.operations.certificates import list_certificates
from asgi_tunnel_edge.settings.cluster import is_verified
from asgi_tunnel_edge.settings.config import CONFIG_FILE
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.database import HEAD_REVISION

from .options import shell_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = [
    "check_certificate",
    "check_configuration",
    "check_database",
    "check_disk",
    "check_secrets",
]

MIN_FREE: Final = 64 << 20
"""Bytes free on the disk below which the next write may fail: the database alone needs some."""

LOW_FREE: Final = 512 << 20
"""Bytes free on the disk below which a day of logs may fill it."""

_OTHERS: Final = 0o077  # permissions of anybody but the owner
_WRITE_OTHERS: Final = 0o022


def check_configuration(data_dir: Path, mistakes: Sequence[EdgeConfigError]) -> list[Finding]:
    """The mistakes in ``edge.toml``, each a finding."""
    why = "the edge does not start with it"
    if not mistakes:
        return [ok("configuration", f"{data_dir / CONFIG_FILE} can be used")]
    return [
        problem("configuration", f"{one.setting}: {one.why}", why=why, fix=one.fix)
        for one in mistakes
    ]


def check_database(config: EdgeConfig) -> Finding:
    """Whether the database is there, whole, and of this version."""
    store = Store(config.database)
    path = store.label
    why = "the edge goes on without it, with the tokens that it knew last, or does not start"
    restart = store.repair
    try:
        damage = store.find_damage()
        revision = store.revision()
    except StorageError as error:
        return problem_of("database", str(error), why=why)
    if damage:
        return problem("database", f"{path} is broken ({damage})", why=why, fix=restart)
    if revision is None:
        return problem("database", f"{path} has no tables", why=why, fix=restart)
    if revision > HEAD_REVISION:
        return problem(
            "database",
            f"{path} is of revision {revision}, and this version knows {HEAD_REVISION}",
            why="a newer version made it, and this one does not start with it",
            fix="upgrade asgi-tunnel-edge",
        )
    if revision < HEAD_REVISION:
        return warning(
            "database",
            f"{path} is of revision {revision}, and this version writes {HEAD_REVISION}",
            why="commands refuse it until the edge was started once",
            fix="start the edge: it brings the database up to date",
        )
    if config.store is not None and not is_verified(config.store):
        return warning(
            "database",
            f"{path} answers, of revision {revision}, and nothing proves that it is the right one",
            why="who is between it and this edge can read and change all that is kept",
            fix="add ?sslmode=verify-full&sslrootcert=FILE to `store`",
        )
    state = "whole" if config.store is None else "there"
    return ok("database", f"{path} is {state}, of revision {revision}")


def check_secrets(config: EdgeConfig) -> list[Finding]:
    """Whether others may read what has to stay secret, or write what the edge trusts."""
    if os.name != "posix":
        return [skipped("permissions", "this system has no permissions of files that are known")]
    pair = InternalCertificate(certificate=config.certificate_path, key=config.key_path)
    secret = [pair.key, next_certificate(pair).key, config.acme_key_path, config.database_path]
    if config.acme.update_key is not None:
        secret.append(config.data_dir / config.acme.update_key)
    found = []
    for path in secret:
        if not path.exists():
            continue
        mode = path.stat().st_mode & 0o777
        if mode & _OTHERS:
            why = "whoever reads it can be this edge, or learns what it keeps"
            what = f"{path} can be read or written by others (mode {mode:04o})"
            found.append(problem("permissions", what, why=why, fix=f"chmod 600 {path}"))
        elif not os.access(path, os.R_OK):
            what = f"{path} cannot be read by this user"
            why, fix = "neither can an edge of this user", "run this as the edge's user"
            found.append(problem("permissions", what, why=why, fix=fix))
    for folder in dict.fromkeys([config.data_dir, config.key_path.parent]):
        if folder.is_dir() and folder.stat().st_mode & _WRITE_OTHERS:
            what = f"{folder} can be written by others"
            why, fix = "they may put their own keys and settings there", f"chmod go-w {folder}"
            found.append(problem("permissions", what, why=why, fix=fix))
    return found or [ok("permissions", "secrets can be read by the edge's user alone")]


def check_certificate(config: EdgeConfig) -> list[Finding]:
    """Whether what the edge shows is valid, and for how long."""
    if config.tls.mode == "off":
        return [skipped("certificate", "tls.mode is off: what stands in front speaks TLS")]
    if config.tls.mode == "acme":
        return _issued(config)
    path = config.certificate_path
    renew = (
        f"see `{shell_command('cert', 'renew')}`"
        if config.tls.mode == "internal"
        else "put a new one in its place"
    )
    try:
        server_context(path, config.key_path)
        pem = path.read_bytes()
    except CertificateError as error:
        return [problem_of("certificate", str(error), why="the edge does not start")]
    names = _dialed(config) if config.tls.mode == "files" else []
    found = []
    for sentence in validity_warnings(pem, names, dt.datetime.now(dt.UTC)):
        what = f"{path} {sentence}"
        if sentence.startswith(("expires", "cannot")):
            why = "visitors and apps refuse it from then on"
            found.append(warning("certificate", what, why=why, fix=renew))
        else:
            why = "visitors and apps refuse it"
            found.append(problem("certificate", what, why=why, fix=renew))
    if found:
        return found
    end = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    return [ok("certificate", f"{path} is valid until {end:%Y-%m-%d}")]


def _dialed(config: EdgeConfig) -> list[str]:
    """The names that visitors and apps dial."""
    names = [config.domain]
    try:
        names[0] = public_address(config).host
        _, records = Store(config.database).read()
    except (EdgeConfigError, StorageError):  # findings of their own
        return names
    names += [host for one in records for host in one.hostnames if host not in one.end_to_end]
    return list(dict.fromkeys(names))


def _issued(config: EdgeConfig) -> list[Finding]:
    try:
        states = list_certificates(config)
    except StorageError as error:
        return [problem_of("certificate", str(error), why="nothing can be shown")]
    found = []
    for one in states:
        shown, end = ", ".join(one.names), one.not_after or ""
        fix = one.error or "see `asgi-tunnel-edge cert list`, and the edge's log"
        if one.state == "unused":
            continue
        if one.state == "expired":
            what = f"the certificate for {shown} expired on {end}"
            found.append(problem("certificate", what, why="visitors refuse it", fix=fix))
        elif not end:
            what = f"there is no certificate for {shown} yet"
            why = "visitors of these names get a TLS alert"
            state = problem if one.state == "failing" else warning
            found.append(state("certificate", what, why=why, fix=fix))
        elif _is_late(one.renew_at or end, end):
            what = f"the certificate for {shown} expires on {end}, and should be renewed by now"
            found.append(warning("certificate", what, why="visitors refuse it then", fix=fix))
    return found or [ok("certificate", "those of the CA are there, and valid")]


def _is_late(renew_at: str, end: str) -> bool:
    """Whether half of the time for a renewal is over, of a certificate with any lifetime."""
    planned, over = dt.datetime.fromisoformat(renew_at), dt.datetime.fromisoformat(end)
    return dt.datetime.now(dt.UTC) > planned + (over - planned) / 2


def check_disk(config: EdgeConfig) -> Finding:
    """Whether there is room for the database and the logs."""
    free = shutil.disk_usage(config.data_dir).free
    what = f"{free >> 20} MiB are free at {config.data_dir}"
    fix = "make room, or move the folder to a larger disk"
    if free < MIN_FREE:
        why = "tokens, certificates and logs cannot be written"
        return problem("disk", what, why=why, fix=fix)
    if free < LOW_FREE:
        return warning("disk", what, why="a day of logs may fill it", fix=fix)
    return ok("disk", what)
