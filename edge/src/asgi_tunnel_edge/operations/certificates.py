"""Certificates: those a CA has issued, those that are wanted, and ordering them again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct

from asgi_tunnel_edge.certificates.internal import (
    InternalCertificate,
    create_next_certificate,
    fingerprint,
    next_certificate,
    show_next_certificate,
)
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.issuance import is_wildcard_missing, wanted_certificates
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.acme import AcmeStore

from .texts import utc_second

if TYPE_CHECKING:
    from asgi_tunnel_edge.certificates.acme.records import AcmeState
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = [
    "CertificateView",
    "ChangedOwn",
    "change_own_certificate",
    "list_certificates",
    "order_again",
    "require_acme",
]


class CertificateView(Struct, frozen=True, kw_only=True):
    """What a program is told of a certificate that there is, or that is wanted."""

    names: tuple[str, ...]
    issuer: str | None
    not_before: str | None
    not_after: str | None
    renew_at: str | None
    serial: str | None
    state: str  #: ``valid``, ``failing``, ``wanted``, ``expired`` or ``unused``
    error: str | None
    retry_at: str | None


class ChangedOwn(Struct, frozen=True, kw_only=True):
    """What became of the edge's own certificate."""

    changed: bool  #: False: a next one was made now, and the old one is still shown
    shown: str  #: the fingerprint of the one that is shown
    next: str  #: and of the one after it


def list_certificates(config: EdgeConfig) -> list[CertificateView]:
    """Return what there is of certificates from the CA, and what is wanted and missing.

    Raises:
        StorageError: The database, or the key that its secrets are encrypted with, cannot be read.
    """
    state = AcmeStore(config.database, config.acme_key_path).load(config.acme.directory)
    wanted = wanted_certificates(
        config,
        Store(config.database).snapshot(),
        has_wildcard=not is_wildcard_missing(config, state),
    )
    names = list(dict.fromkeys([*wanted, *state.certificates, *state.failures]))
    return [_view(one, state, is_wanted=one in wanted) for one in names]


def order_again(config: EdgeConfig, name: str | None) -> list[tuple[str, ...]]:
    """Have certificates ordered again; a running edge begins within a second.

    Args:
        config: Of an edge with certificates from a CA.
        name: One that the certificate is for; None: all certificates.

    Returns:
        The names of each.

    Raises:
        EdgeConfigError: There is none for the name.
    """
    store = AcmeStore(config.database, config.acme_key_path)
    state = store.load(config.acme.directory)
    known = list(dict.fromkeys([*state.certificates, *state.failures]))
    chosen = [one for one in known if name is None or name in one]
    if not chosen:
        what = "no certificate yet" if name is None else f"no certificate for {shown(name)}"
        fix = "see `asgi-tunnel-edge cert list`; those that are wanted are ordered by themselves"
        raise EdgeConfigError("cert renew", f"there is {what}", fix)
    for names in chosen:
        store.request_renewal(config.acme.directory, names)
    return chosen


def change_own_certificate(config: EdgeConfig) -> ChangedOwn:
    """Show the edge's next certificate in the place of its own, and make one after it.

    Where none was made ahead, it is made now, and nothing else changes.
    """
    files = InternalCertificate(certificate=config.certificate_path, key=config.key_path)
    is_changed = not create_next_certificate(config.domain, files)
    if is_changed:
        show_next_certificate(config.domain, files)
    now, later = (
        fingerprint(one.certificate.read_bytes()) for one in (files, next_certificate(files))
    )
    return ChangedOwn(changed=is_changed, shown=now, next=later)


def require_acme(config: EdgeConfig) -> None:
    """See that an edge has certificates from a CA.

    Raises:
        EdgeConfigError: It has others.
    """
    if config.tls.mode != "acme":
        why = f'is "{config.tls.mode}": this edge orders no certificates'
        raise EdgeConfigError("tls.mode", why, 'write mode = "acme"', file="edge.toml")


def _view(names: tuple[str, ...], state: AcmeState, *, is_wanted: bool) -> CertificateView:
    record, failure = state.certificates.get(names), state.failures.get(names)
    if record is None:
        status = "failing" if failure is not None else "wanted"
    elif record.not_after <= time.time():
        status = "expired"
    elif not is_wanted:
        status = "unused"
    else:
        status = "failing" if failure is not None else "valid"
    return CertificateView(
        names=names,
        issuer=None if record is None else record.issuer,
        not_before=None if record is None else utc_second(record.not_before),
        not_after=None if record is None else utc_second(record.not_after),
        renew_at=None if record is None else utc_second(record.renew_at),
        serial=None if record is None else record.serial,
        state=status,
        error=None if failure is None else failure.sentence,
        retry_at=None if failure is None else utc_second(failure.retry_at),
    )
