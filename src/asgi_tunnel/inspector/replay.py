"""Sends a recorded request to the app again, as it was or with edits.

It is an ASGI call in the app's own process, and recorded as an exchange of its own that names the
first one. Nothing leaves the machine: the visitor gets no second response.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from string import punctuation
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

from .edits import Edits
from .recorded import (
    Detail,
    Fields,
    body_bytes,
    is_complete,
    redactions,
    request_body,
    request_fields,
    value_of,
)
from .redaction import REDACTED
from .reply import RefusedError
from .signatures import sign_again

__all__ = ["Message", "Player", "Prepared", "prepare", "replay"]

_LOCAL: Final = "127.0.0.1"  # of a visitor whose address nobody knows
_PORTS: Final = {"http": 80, "ws": 80}  # else 443

Message = tuple[bytes | str, int]
"""A message of a visitor, and how many the app had sent before it."""


class Prepared(NamedTuple):
    """A request that the app can be called with.

    Attributes:
        scope: Of ASGI: method, target, fields and where it came from.
        body: Complete; empty for a WebSocket.
        messages: Of the visitor of a WebSocket, in order; None: it is none.
        missing: What was not recorded and was not given either, by name.
    """

    scope: dict[str, Any]
    body: bytes
    messages: Sequence[Message] | None
    missing: list[str]


class Player(Protocol):
    """Calls the app, and records that; :class:`.view.View` is one."""

    async def call(
        self,
        scope: dict[str, Any],
        body: bytes,
        *,
        replay_of: str,
        messages: Sequence[Message] | None = None,
    ) -> str:
        """Return the id of the new exchange; RuntimeError: it cannot be made now."""


async def replay(detail: Detail, edits: Edits, player: Player) -> dict[str, Any]:
    """Replay an exchange.

    Returns:
        ``{"id", "missing"}``: the new exchange, and what of the request was not recorded.

    Raises:
        RefusedError: It cannot be done; see :func:`prepare`.

    Cancelling it ends the wait, and not the app's call.
    """
    request = prepare(detail, edits, now=time.time())
    try:
        name = await player.call(
            request.scope,
            request.body,
            replay_of=str(detail["id"]),
            messages=request.messages,
        )
    except (RuntimeError, ValueError) as error:
        raise RefusedError(409, f"it cannot be replayed now: {error}") from None
    return {"id": name, "missing": request.missing}


def prepare(detail: Detail, edits: Edits, *, now: float) -> Prepared:
    """Return the request of an exchange with the edits made.

    Args:
        detail: The exchange.
        edits: What is different; without any, every byte that was recorded stays as it is.
        now: Seconds since 1970, for a signature.

    Raises:
        RefusedError: Not enough was kept of it, or the edits do not fit.
    """
    is_websocket = detail["kind"] == "websocket"
    if detail["level"] != "full":
        raise RefusedError(
            409,
            "only numbers were recorded of it, so there is nothing to replay; set the level to "
            "full and send the request again",
        )
    messages = _messages(detail, edits) if is_websocket else None
    body = b"" if is_websocket else _body(detail, edits)
    fields = _fields(detail, edits)
    if edits.body is not None or value_of(fields, "content-length") not in (None, str(len(body))):
        # Edited, or a secret was taken out of it: the length that it had is wrong.
        fields = _with_length(fields, body)
    if edits.secret is not None:
        fields = sign_again(fields, body, secret=edits.secret, now=int(now))
    path = str(detail["path"]) if edits.path is None else edits.path
    method = "GET" if is_websocket else edits.method or str(detail["method"])
    scope = _scope(detail, method, path, fields)
    return Prepared(scope, body, messages, _missing(detail, edits))


def _body(detail: Detail, edits: Edits) -> bytes:
    if edits.body is not None:
        return edits.body
    body = detail["request"].get("body") or {"size": 0, "kept": 0}
    if not is_complete(body):
        raise RefusedError(
            409,
            f"only {body['kept']} of the {body['size']} bytes of its body were kept; give the "
            "whole body, or raise max_body of the inspector",
        )
    if _is_due(detail, body["size"]):
        raise RefusedError(
            409,
            f"its visitor sent {body['size']} bytes of the body so far, which is not all of it; "
            "wait for the rest, or give the whole body",
        )
    return request_body(detail)


def _is_due(detail: Detail, size: int) -> bool:
    """Whether more of the request's body was announced than its visitor has sent."""
    fields = request_fields(detail)
    length = value_of(fields, "content-length") or "0"
    if detail["state"] == "open" and value_of(fields, "transfer-encoding") is not None:
        return True
    return length.isdecimal() and len(length) < 20 and int(length) > size


def _fields(detail: Detail, edits: Edits) -> Fields:
    """Return the fields, each new value where the first one of its name stood, else at the end."""
    fields = request_fields(detail) if edits.fields is None else edits.fields
    values = dict(edits.values)
    found = []
    for name, value in fields:
        lower = name.lower()
        if lower not in edits.values:
            found.append((name, value))
        elif lower in values:
            found.append((name, values.pop(lower)))
    return [*found, *values.items()]


def _with_length(fields: Fields, body: bytes) -> Fields:
    framing = ("content-length", "transfer-encoding")
    left = [one for one in fields if one[0].lower() not in framing]
    return [*left, ("content-length", str(len(body)))]


def _messages(detail: Detail, edits: Edits) -> list[Message]:
    """Return what its visitor sent, each with the count of the app's messages before it."""
    if edits.body is not None or edits.method is not None or edits.secret is not None:
        raise RefusedError(
            409, "a WebSocket has neither method, body nor signature to change; leave them out"
        )
    kept = detail["exchange_messages"]
    if len(kept) < detail["messages"] or not all(
        is_complete(one) for one in kept if one["from"] == "visitor"
    ):
        raise RefusedError(
            409,
            "not all that its visitor sent was kept, so the app would see something else; raise "
            "max_body of the inspector",
        )
    found: list[Message] = []
    before = 0
    for one in kept:
        if one["from"] == "app":
            before += 1
        else:
            data = body_bytes(one)
            found.append((data.decode() if one["type"] == "text" else data, before))
    return found


def _missing(detail: Detail, edits: Edits) -> list[str]:
    """Name what was not recorded and is not among the edits."""
    replaced = set(edits.values)
    if edits.path is not None:
        replaced.add("query")
    if edits.body is not None:
        replaced.add("body")
    if edits.fields is not None:
        kept = {name for name, value in edits.fields if REDACTED in value}
        replaced.update({name.lower() for name, _ in request_fields(detail)} - kept)
    missing = [one for one in redactions(detail) if one.partition(":")[0] not in replaced]
    return [*missing, "visitor"] if detail["visitor"] else missing


def _scope(detail: Detail, method: str, path: str, fields: Fields) -> dict[str, Any]:
    """Return what of an ASGI scope comes from the request; the rest is the tunnel's own."""
    if value_of(fields, "host") is None:  # in HTTP/2, and so in a browser's HAR, it is no field
        fields = [("host", str(detail["host"])), *fields]
    # Of a recorded target it changes nothing; a file may have other characters than ASCII.
    target, _, query = quote(path, safe=punctuation, errors="replace").partition("?")
    scheme = str(detail["scheme"])
    return {
        "type": detail["kind"],
        "method": method,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [(_bytes(name.lower()), _bytes(value)) for name, value in fields],
        "scheme": scheme,
        "http_version": str(detail["http_version"]),
        "client": (str(detail["client"] or _LOCAL), 0),
        "server": (_LOCAL, _PORTS.get(scheme, 443)),
    }


def _bytes(text: str) -> bytes:
    """Return the bytes of a part of a head; in a file it may be text that is no latin-1."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
