"""Operations on the requests that are kept for apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta, Struct

from asgi_tunnel_edge.operations import inbox
from asgi_tunnel_edge.operations.inbox import (
    Chosen,
    KeptRequestDetail,
    KeptRequestView,
    kept_detail,
    kept_view,
)

from .operation import Call, Done, Operation
from .paging import Page, PageQuery, page_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["INBOX"]

MAX_IDS: Final = 500
"""Requests that one call names; ``failed`` means all without naming them."""

_SHOWN: Final = 5  # ids that the audit log names


class KeptQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests are wanted."""

    token: str | None = None  #: only those of one, by id or name
    failed: bool = False  #: only those that are not delivered any more


class Choice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests are meant: some ids, or all that have failed."""

    ids: Annotated[tuple[str, ...], Meta(max_length=MAX_IDS)] = ()
    failed: bool = False
    token: str | None = None  #: with ``failed``, those of one token


def list_requests(call: Call) -> Page[KeptRequestView]:
    """Return what is kept, the oldest first."""
    query: KeptQuery = call.query
    token = None if query.token is None else call.scope.token(query.token).id
    rows = inbox.list_requests(call.config, token=token, failed=query.failed)
    return page_of([kept_view(*one) for one in call.scope.kept(rows)], query)


def show_request(call: Call) -> KeptRequestDetail:
    """Return one request as its sender sent it."""
    wanted = call.path["request"]
    call.scope.check_kept([wanted], inbox.list_requests(call.config))
    return kept_detail(inbox.show_request(call.config, wanted))


def retry_requests(call: Call) -> Done:
    """Let requests that failed wait again."""
    return _change(call, "retry", inbox.retry_requests)


def drop_requests(call: Call) -> Done:
    """Forget requests."""
    return _change(call, "drop", inbox.drop_requests)


def _change(call: Call, verb: str, change: Callable[[EdgeConfig, Chosen], int]) -> Done:
    choice: Choice = call.body
    token = None if choice.token is None else call.scope.token(choice.token).id
    ids, failed = choice.ids, choice.failed
    rows = inbox.list_requests(call.config)
    call.scope.check_kept(ids, rows)
    if failed and not ids and not call.scope.is_operator:
        # "All that failed" are all of theirs: named one by one.
        mine = call.scope.kept(rows)
        of_token = [row for row, _ in mine if token in (None, row.lane.token_id)]
        ids, failed = tuple(row.id for row in of_token if row.state == "failed"), False
        if not ids:
            return Done(count=0)
    named = ",".join(ids[:_SHOWN]) or "failed"
    call.note(f"inbox.{verb}", token or "-", f"requests={named} count={len(ids) or 'all'}")
    return Done(count=change(call.config, Chosen(ids=ids, failed=failed, token=token)))


INBOX: Final = (
    Operation(
        id="listInbox",
        method="GET",
        path="/inbox",
        run=list_requests,
        summary="Requests that wait for an app, and those that failed; the oldest first",
        role="owner",
        query=KeptQuery,
        result=Page[KeptRequestView],
        commands=("inbox list",),
    ),
    Operation(
        id="showInbox",
        method="GET",
        path="/inbox/{request}",
        run=show_request,
        summary="One request as its sender sent it, secrets included",
        role="owner",
        result=KeptRequestDetail,
        commands=("inbox show",),
    ),
    Operation(
        id="retryInbox",
        method="POST",
        path="/inbox/retry",
        run=retry_requests,
        summary="Deliver requests that failed once more",
        role="owner",
        body=Choice,
        result=Done,
        commands=("inbox retry",),
    ),
    Operation(
        id="dropInbox",
        method="POST",
        path="/inbox/drop",
        run=drop_requests,
        summary="Forget requests; no app gets them any more",
        role="owner",
        body=Choice,
        result=Done,
        commands=("inbox drop",),
    ),
)
