"""Operations on hostnames."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from asgi_tunnel_edge.operations import hosts
from asgi_tunnel_edge.operations.hosts import (
    HostView,
    MaintenanceView,
    NewMaintenance,
    maintenance_view,
)

from .operation import Call, Operation
from .paging import Page, PageQuery, page_of

__all__ = ["HOSTS"]


class NewHosts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hostnames that a token is to have, too."""

    hostnames: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]
    end_to_end: bool = False  #: TLS ends in the app
    unchecked: bool = False  #: do not look whether the DNS leads here


class AddedHosts(Struct, frozen=True, kw_only=True):
    """What a token has now."""

    hostnames: tuple[str, ...]  #: all of the token's
    added: tuple[str, ...]
    urls: tuple[str, ...]  #: of those that were added


def list_hosts(call: Call) -> Page[HostView]:
    """Return the hostnames that are theirs, sorted."""
    views = hosts.host_views(call.config, call.scope.snapshot)
    return page_of([one for one in views if call.scope.sees_token(one.token_id)], call.query)


def add_hosts(call: Call) -> AddedHosts:
    """Let a token serve more hostnames."""
    new: NewHosts = call.body
    done = hosts.add_hosts(
        call.config,
        call.scope.token(call.path["token"]).id,
        new.hostnames,
        end_to_end=new.end_to_end,
        unchecked=new.unchecked,
    )
    return AddedHosts(hostnames=done.record.hostnames, added=done.added, urls=done.urls)


def remove_host(call: Call) -> None:
    """Take a hostname from its token."""
    hosts.remove_hosts(call.config, [call.scope.hostname(call.path["hostname"])])


def close_host(call: Call) -> MaintenanceView:
    """Close a hostname for visitors."""
    name = call.scope.hostname(call.path["hostname"])
    [record] = hosts.close_hosts(call.config, [name], call.body)
    return maintenance_view(record)


def open_host(call: Call) -> None:
    """Open a hostname again."""
    hosts.open_hosts(call.config, [call.scope.hostname(call.path["hostname"])])


HOSTS: Final = (
    Operation(
        id="listHosts",
        method="GET",
        path="/hosts",
        run=list_hosts,
        summary="Hostnames, sorted, and the token that each belongs to",
        role="owner",
        query=PageQuery,
        result=Page[HostView],
        commands=("host list",),
    ),
    Operation(
        id="addHosts",
        method="POST",
        path="/tokens/{token}/hosts",
        run=add_hosts,
        summary="Let a token serve more hostnames, all or none",
        role="operator",
        body=NewHosts,
        result=AddedHosts,
        commands=("host add",),
    ),
    Operation(
        id="removeHost",
        method="DELETE",
        path="/hosts/{hostname}",
        run=remove_host,
        summary="Take a hostname from its token",
        role="owner",
        commands=("host rm",),
    ),
    Operation(
        id="closeHost",
        method="PUT",
        path="/hosts/{hostname}/maintenance",
        run=close_host,
        summary="Close a hostname for visitors",
        role="owner",
        body=NewMaintenance,
        result=MaintenanceView,
        commands=("host maintenance on",),
    ),
    Operation(
        id="openHost",
        method="DELETE",
        path="/hosts/{hostname}/maintenance",
        run=open_host,
        summary="Open a hostname for visitors again",
        role="owner",
        commands=("host maintenance off",),
    ),
)
