"""The inbox of an edge, for the commands; a running edge sees what they change within a second."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from asgi_tunnel_edge.errors import EdgeConfigError, KeptRequestNotFoundError
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.inbox import InboxStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["chosen_requests", "opened_inbox"]


@contextmanager
def opened_inbox(config: EdgeConfig) -> Iterator[InboxStore | None]:
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


def chosen_requests(
    config: EdgeConfig,
    inbox: InboxStore | None,
    ids: Sequence[str],
    *,
    failed: bool,
    token: str | None,
) -> list[str]:
    """Return the ids of the requests that a command is about.

    Args:
        config: Of the edge.
        inbox: Opened; None: there is none.
        ids: As they were typed.
        failed: All that have failed, in their place.
        token: With ``failed``, those of one token.

    Raises:
        EdgeConfigError: Neither ids nor ``failed`` are given, or both.
        KeptRequestNotFoundError: An id is unknown.
        TokenNotFoundError: The token is.
    """
    if bool(ids) == failed:
        why = "expected ids of requests, or --failed" + (", not both" if ids else "")
        raise EdgeConfigError("ID", why, "see what there is with `asgi-tunnel-edge inbox list`")
    token_id = None if token is None else Store(config.database_path).find_token(token).id
    rows = [] if inbox is None else inbox.rows(token_id)
    if failed:
        return [one.id for one in rows if one.state == "failed"]
    known = {one.id for one in rows}
    for one in ids:
        if one not in known:
            raise KeptRequestNotFoundError(one)
    return list(dict.fromkeys(ids))
