"""Operations on the certificates of an edge."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from asgi_tunnel_edge.operations import certificates
from asgi_tunnel_edge.operations.certificates import CertificateView, require_acme

from .operation import Call, Operation
from .paging import Page, PageQuery, page_of

__all__ = ["CERTIFICATES"]


class Renewal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which certificates are to be ordered again."""

    name: str | None = None  #: one that the certificate is for; None: all


class Ordered(Struct, frozen=True, kw_only=True):
    """What is done now."""

    ordered: list[tuple[str, ...]]  #: the names of each certificate that is ordered
    changed: bool | None = None  #: of the edge's own: it is another one now


def list_certificates(call: Call) -> Page[CertificateView]:
    """Return the certificates of the CA; of an owner those for their hostnames."""
    if call.config.tls.mode != "acme":
        return page_of([], call.query)
    names = call.scope.hostnames()
    found = certificates.list_certificates(call.config)
    mine = [one for one in found if names is None or names.issuperset(one.names)]
    return page_of(mine, call.query)


def renew_certificates(call: Call) -> Ordered:
    """Order certificates again, or change the edge's own."""
    name = call.body.name
    if call.config.tls.mode == "internal" and name is None:
        call.note("certificate.change", call.config.domain)
        changed = certificates.change_own_certificate(call.config).changed
        return Ordered(ordered=[], changed=changed)
    require_acme(call.config)
    call.note("certificate.renew", name or "-")
    return Ordered(ordered=certificates.order_again(call.config, name))


CERTIFICATES: Final = (
    Operation(
        id="listCertificates",
        method="GET",
        path="/certificates",
        run=list_certificates,
        summary="Certificates of the CA: those there are, and those that are wanted",
        role="owner",
        query=PageQuery,
        result=Page[CertificateView],
        commands=("cert list",),
    ),
    Operation(
        id="renewCertificates",
        method="POST",
        path="/certificates/renew",
        run=renew_certificates,
        summary="Order certificates again, or change the edge's own",
        role="operator",
        body=Renewal,
        result=Ordered,
        commands=("cert renew",),
    ),
)
