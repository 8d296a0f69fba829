"""The inbox: requests that wait for an app, or that it did not take.

A running edge sees what is changed here within a second.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from asgi_tunnel.protocol.head import RequestHead, decode_request
from asgi_tunnel_edge.errors import EdgeConfigError, KeptRequestNotFoundError
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.inbox import InboxRow, InboxStore

from .texts import utc_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = [
    "Chosen",
    "KeptRequest",
    "KeptRequestDetail",
    "KeptRequestView",
    "drop_requests",
    "kept_detail",
    "kept_view",
    "list_requests",
    "retry_requests",
    "show_request",
]


class Chosen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests are meant: some ids, or all that have failed."""

    ids: tuple[str, ...] = ()
    failed: bool = False
    token: str | None = None  #: with ``failed``, those of one token: its id or name


class KeptRequest(Struct, frozen=True, kw_only=True):
    """One request as its sender sent it."""

    row: InboxRow
    token: str
    head: RequestHead
    body: bytes


class KeptRequestView(Struct, frozen=True, kw_only=True):
    """What a program is told of a request."""

    id: str
    token: str  #: the name; its id, where it is forgotten
    hostname: str
    rule: str  #: such as ``POST /hooks/stripe``
    received_at: str
    size: int  #: bytes
    state: str  #: ``waiting`` or ``failed``
    attempts: int
    outcome: str  #: of the last delivery; empty: there was none


class KeptRequestDetail(KeptRequestView, frozen=True, kw_only=True):
    """The same, with what its sender sent, secrets included."""

    method: str
    target: str
    visitor: str  #: an address
    fields: tuple[tuple[str, str], ...]
    body: str  #: base64


def list_requests(
    config: EdgeConfig, *, token: str | None = None, failed: bool = False
) -> list[tuple[InboxRow, str]]:
    """Return what is kept, the oldest first; each with the name of its token.

    Args:
        config: Of the edge.
        token: Only those of one, by id or name.
        failed: Only those that are not delivered any more.

    Raises:
        TokenNotFoundError: The token is unknown.
    """
    token_id = None if token is None else Store(config.database).find_token(token).id
    names = _names(config)
    with _opened(config) as inbox:
        rows = [] if inbox is None else inbox.rows(token_id)
    return [
        (one, names.get(one.lane.token_id, one.lane.token_id))
        for one in rows
        if not failed or one.state == "failed"
    ]


def show_request(config: EdgeConfig, request_id: str) -> KeptRequest:
    """Return one request as its sender sent it, secrets included.

    Raises:
        KeptRequestNotFoundError: The id is unknown.
    """
    with _opened(config) as inbox:
        found = None if inbox is None else inbox.find(request_id)
    if found is None:
        raise KeptRequestNotFoundError(request_id)
    row, payload = found
    _, head, begin = decode_request(payload)
    token = _names(config).get(row.lane.token_id, row.lane.token_id)
    return KeptRequest(row=row, token=token, head=head, body=payload[begin:])


def retry_requests(config: EdgeConfig, chosen: Chosen) -> int:
    """Let requests that failed wait again; return how many.

    Raises:
        EdgeConfigError: Neither ids nor ``failed`` are given, or both.
        KeptRequestNotFoundError: An id is unknown.
        TokenNotFoundError: The token is.
    """
    return _change(config, chosen, InboxStore.retry)


def drop_requests(config: EdgeConfig, chosen: Chosen) -> int:
    """Forget requests; return how many. It raises as :func:`retry_requests`."""
    return _change(config, chosen, InboxStore.delete)


def kept_view(row: InboxRow, token: str) -> KeptRequestView:
    """Return what a program is told of a request."""
    return KeptRequestView(
        id=row.id,
        token=token,
        hostname=row.lane.hostname,
        rule=row.lane.rule,
        received_at=utc_time(row.seq / 1e9),
        size=row.size,
        state=row.state,
        attempts=row.attempts,
        outcome=row.outcome,
    )


def kept_detail(kept: KeptRequest) -> KeptRequestDetail:
    """Return what a program is told of a request and what is in it."""
    view, head = kept_view(kept.row, kept.token), kept.head
    return KeptRequestDetail(
        **{name: getattr(view, name) for name in view.__struct_fields__},
        method=head.method.decode("latin-1"),
        target=head.target.decode("latin-1"),
        visitor=head.arrival.peer_host.decode("latin-1"),
        fields=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in head.fields
        ),
        body=base64.b64encode(kept.body).decode(),
    )


def _change(config: EdgeConfig, chosen: Chosen, change: Callable[[InboxStore, str], int]) -> int:
    with _opened(config) as inbox:
        ids = _chosen_ids(config, inbox, chosen)
        if inbox is None:
            return 0
        with inbox.transaction():
            return sum(change(inbox, one) for one in ids)


def _chosen_ids(config: EdgeConfig, inbox: InboxStore | None, chosen: Chosen) -> Sequence[str]:
    ids, failed, token = chosen.ids, chosen.failed, chosen.token
    if bool(ids) == failed:
        why = "expected ids of requests, or --failed" + (", not both" if ids else "")
        raise EdgeConfigError("ID", why, "see what there is with `asgi-tunnel-edge inbox list`")
    token_id = None if token is None else Store(config.database).find_token(token).id
    rows = [] if inbox is None else inbox.rows(token_id)
    if failed:
        return [one.id for one in rows if one.state == "failed"]
    known = {one.id for one in rows}
    for one in ids:
        if one not in known:
            raise KeptRequestNotFoundError(one)
    return list(dict.fromkeys(ids))


@contextmanager
def _opened(config: EdgeConfig) -> Iterator[InboxStore | None]:
    """The file within the block; None where no app has ever marked a route."""
    if not config.inbox_path.exists():
        yield None
        return
    store = InboxStore(config.inbox_path, config.acme_key_path)
    store.open()
    try:
        yield store
    finally:
        store.close()


def _names(config: EdgeConfig) -> dict[str, str]:
    return {one.id: one.name for one in Store(config.database).read()[1]}
