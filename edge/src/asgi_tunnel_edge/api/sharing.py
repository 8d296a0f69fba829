"""Operations on what opens a door without a login: share links and service tokens."""

from __future__ import annotations

import time
from typing import Final

from msgspec import Struct

from asgi_tunnel_edge.errors import HostnameNotFoundError
from asgi_tunnel_edge.operations import links, service_tokens
from asgi_tunnel_edge.operations.links import LinkView, NewLink, link_view, split_target
from asgi_tunnel_edge.operations.service_tokens import (
    NewServiceToken,
    ServiceTokenView,
    service_token_view,
)

from .operation import Call, Operation
from .paging import Page, PageQuery, page_of

__all__ = ["SHARING"]


class IssuedLink(Struct, frozen=True, kw_only=True):
    """A share link with its address, which is in no later response."""

    url: str
    link: LinkView


class IssuedServiceToken(Struct, frozen=True, kw_only=True):
    """A service token with its secret, which is in no later response."""

    secret: str
    service_token: ServiceTokenView


def list_links(call: Call) -> Page[LinkView]:
    """Return the links to hostnames of theirs, oldest first."""
    now = time.time()
    mine = call.scope.links(links.list_links(call.config))
    return page_of([link_view(one, now) for one in mine], call.query)


def create_link(call: Call) -> IssuedLink:
    """Make a link."""
    new: NewLink = call.body
    hostname, _ = split_target(new.target)
    if not call.scope.sees_hostname(hostname):
        raise HostnameNotFoundError(hostname)
    done = links.create_link(call.config, new)
    return IssuedLink(url=done.url, link=link_view(done.record, time.time()))


def revoke_link(call: Call) -> None:
    """Take a link back."""
    link_id = call.path["link"]
    call.scope.check_link(link_id, links.list_links(call.config))
    links.revoke_link(call.config, link_id)


def list_service_tokens(call: Call) -> Page[ServiceTokenView]:
    """Return all service tokens, oldest first."""
    now = time.time()
    found = service_tokens.list_service_tokens(call.config)
    return page_of([service_token_view(one, now) for one in found], call.query)


def create_service_token(call: Call) -> IssuedServiceToken:
    """Make a service token."""
    done = service_tokens.create_service_token(call.config, call.body)
    view = service_token_view(done.record, time.time())
    return IssuedServiceToken(secret=done.secret, service_token=view)


def revoke_service_token(call: Call) -> None:
    """Take a service token back."""
    service_tokens.revoke_service_token(call.config, call.path["service_token"])


SHARING: Final = (
    Operation(
        id="listLinks",
        method="GET",
        path="/links",
        run=list_links,
        summary="Share links, oldest first",
        role="owner",
        query=PageQuery,
        result=Page[LinkView],
        commands=("link list",),
    ),
    Operation(
        id="createLink",
        method="POST",
        path="/links",
        run=create_link,
        summary="Make a link to one path; its address is shown once",
        role="owner",
        body=NewLink,
        result=IssuedLink,
        status=201,
        commands=("link create",),
    ),
    Operation(
        id="revokeLink",
        method="DELETE",
        path="/links/{link}",
        run=revoke_link,
        summary="Take a share link back",
        role="owner",
        commands=("link revoke",),
    ),
    Operation(
        id="listServiceTokens",
        method="GET",
        path="/service-tokens",
        run=list_service_tokens,
        summary="Service tokens, oldest first",
        role="operator",
        query=PageQuery,
        result=Page[ServiceTokenView],
        commands=("service-token list",),
    ),
    Operation(
        id="createServiceToken",
        method="POST",
        path="/service-tokens",
        run=create_service_token,
        summary="Make a service token; its secret is shown once",
        role="operator",
        body=NewServiceToken,
        result=IssuedServiceToken,
        status=201,
        commands=("service-token create",),
    ),
    Operation(
        id="revokeServiceToken",
        method="DELETE",
        path="/service-tokens/{service_token}",
        run=revoke_service_token,
        summary="Take a service token back, by id or name",
        role="operator",
        commands=("service-token revoke",),
    ),
)
