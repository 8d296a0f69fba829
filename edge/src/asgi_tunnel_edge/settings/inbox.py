"""``[inbox]``: how much of what comes for an app that is away is kept, and for how long."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from .types import Bytes, Count, MemoryBytes, Seconds, Switch

__all__ = ["InboxConfig"]


class InboxConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests to routes that apps have marked. The title of a field says what it bounds."""

    enabled: Annotated[
        Switch, Meta(title="keep requests to routes that an app has marked, while it is away")
    ] = True
    max_requests: Annotated[Count, Meta(title="requests kept for one token; more: 503")] = 20000
    max_bytes: Annotated[MemoryBytes, Meta(title="bytes kept for one token; more: 503")] = 67108864
    max_file: Annotated[
        MemoryBytes, Meta(title="bytes of the file inbox.sqlite3, for all tokens; more: 503")
    ] = 1073741824
    max_body: Annotated[Bytes, Meta(title="the body of a request to a marked route; more: 413")] = (
        1048576
    )
    max_age: Annotated[Seconds, Meta(title="a kept request; then it is dropped")] = 604800.0
    max_attempts: Annotated[
        Count, Meta(title="deliveries of one request that fail; then it is set aside")
    ] = 30
    patience: Annotated[
        Seconds, Meta(title="an app's response, until the sender is told 202 in its place")
    ] = 5.0
    timeout: Annotated[
        Seconds, Meta(title="an app's response to a delivery; then it counts as failed")
    ] = 60.0
