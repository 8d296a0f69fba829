"""Operations on tokens."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from asgi_tunnel_edge.operations import tokens
from asgi_tunnel_edge.operations.tokens import OVERLAP, NewToken, TokenView
from asgi_tunnel_edge.quotas import QUOTA_NAMES, TokenQuotas

from .operation import Call, Operation
from .paging import Page, PageQuery, page_of

__all__ = ["TOKENS"]


class IssuedToken(Struct, frozen=True, kw_only=True):
    """A token with its secret, which is in no later response."""

    secret: str  #: the whole text: what the app has in ASGI_TUNNEL_TOKEN
    token: TokenView
    urls: list[str]  #: where visitors find the app
    warnings: list[str]  #: what does not do what it says


class TokenDetail(TokenView, frozen=True, kw_only=True):
    """One token."""

    urls: list[str] | None  #: where visitors find the app; None: the edge's port is not known


class TokenChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a token; what is left out stays."""

    owner: str | UnsetType = UNSET  #: a user of this edge; empty: the operators alone
    limits: TokenQuotas | UnsetType = UNSET  #: all of its own; null: as for every other token


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a token gets another secret."""

    overlap: str = OVERLAP  #: how long the old one is taken too: 90d, 12h or 30m; 0: not at all


def list_tokens(call: Call) -> Page[TokenView]:
    """Return the tokens that are theirs, oldest first."""
    ids = [one.id for one in call.scope.tokens()]
    return page_of(tokens.list_tokens(call.config, ids) if ids else [], call.query)


def show_token(call: Call) -> TokenDetail:
    """Return one token."""
    return _detail(call, call.scope.token(call.path["token"]).id)


def create_token(call: Call) -> IssuedToken:
    """Make a token."""
    done = tokens.create_token(call.config, call.body)
    [view] = tokens.list_tokens(call.config, [done.record.id])
    return IssuedToken(
        secret=done.token.format(),
        token=view,
        urls=list(done.urls),
        warnings=list(done.warnings),
    )


def change_token(call: Call) -> TokenDetail:
    """Change whose a token is, or what it may take."""
    token_id = call.scope.token(call.path["token"]).id
    change: TokenChange = call.body
    if change.owner is not UNSET:  # first: there may be no such user
        tokens.give_token(call.config, token_id, change.owner)
    if change.limits is not UNSET:
        limits = {name: getattr(change.limits, name) for name in QUOTA_NAMES}
        tokens.limit_token(call.config, token_id, limits)
    return _detail(call, token_id)


def rotate_token(call: Call) -> IssuedToken:
    """Give a token another secret."""
    token_id = call.scope.token(call.path["token"]).id
    done = tokens.rotate_token(call.config, token_id, overlap=call.body.overlap)
    [view] = tokens.list_tokens(call.config, [token_id])
    urls = tokens.token_urls(call.config, view.hostnames) or []
    return IssuedToken(secret=done.token.format(), token=view, urls=urls, warnings=[])


def revoke_token(call: Call) -> None:
    """Take a token back."""
    tokens.revoke_tokens(call.config, [call.scope.token(call.path["token"]).id])


def _detail(call: Call, token_id: str) -> TokenDetail:
    [view] = tokens.list_tokens(call.config, [token_id])
    urls = tokens.token_urls(call.config, view.hostnames)
    return TokenDetail(**{one: getattr(view, one) for one in view.__struct_fields__}, urls=urls)


TOKENS: Final = (
    Operation(
        id="listTokens",
        method="GET",
        path="/tokens",
        run=list_tokens,
        summary="Tokens, oldest first",
        role="owner",
        query=PageQuery,
        result=Page[TokenView],
        commands=("token list",),
    ),
    Operation(
        id="createToken",
        method="POST",
        path="/tokens",
        run=create_token,
        summary="Make a token; its secret is shown once",
        role="operator",
        body=NewToken,
        result=IssuedToken,
        status=201,
        commands=("token create",),
    ),
    Operation(
        id="showToken",
        method="GET",
        path="/tokens/{token}",
        run=show_token,
        summary="One token, by id or name",
        role="owner",
        result=TokenDetail,
        commands=("token show",),
    ),
    Operation(
        id="changeToken",
        method="PATCH",
        path="/tokens/{token}",
        run=change_token,
        summary="Change whose a token is, or what it may take",
        role="operator",
        body=TokenChange,
        result=TokenDetail,
        commands=("token change", "token limit"),
    ),
    Operation(
        id="revokeToken",
        method="DELETE",
        path="/tokens/{token}",
        run=revoke_token,
        summary="Take a token back: its app is away, and its hostnames are free",
        role="owner",
        commands=("token revoke",),
    ),
    Operation(
        id="rotateToken",
        method="POST",
        path="/tokens/{token}/rotate",
        run=rotate_token,
        summary="Give a token another secret, which is shown once",
        role="owner",
        body=Rotation,
        result=IssuedToken,
        commands=("token rotate",),
    ),
)
