"""Reads what a request brings, strictly: a body of JSON and a query, as structs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from .problem import APIError

if TYPE_CHECKING:
    from msgspec import Struct
    from starlette.requests import Request

__all__ = ["read_body", "read_query"]

MAX_BODY: Final = 64 * 1024
"""Bytes of a body: a token with 100 hostnames has 26 KiB."""

_JSON: Final = "application/json"


async def read_body(request: Request, struct: type[Struct]) -> Any:
    """Return the body. Cancelling it loses nothing.

    Raises:
        APIError: It is too large, no JSON, or not what the operation takes.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise APIError(415, "media_type", f"the body has to be JSON: send it as {_JSON}")
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise APIError(413, "too_large", f"the body is larger than {MAX_BODY} bytes")
    try:
        return msgspec.json.decode(data, type=struct)
    except msgspec.ValidationError as error:
        raise APIError(422, "validation", f"the body does not fit: {_plain(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise APIError(400, "json", f"the body is no JSON: {_plain(error)}") from None


def read_query(request: Request, struct: type[Struct]) -> Any:
    """Return the parameters of the query.

    Raises:
        APIError: One is unknown, comes twice, or is not what the operation takes.
    """
    pairs = request.query_params.multi_items()
    values = dict(pairs)
    if len(values) != len(pairs):
        raise APIError(422, "validation", "a parameter of the query comes twice")
    try:
        return msgspec.convert(values, struct, strict=False)
    except msgspec.ValidationError as error:
        sentence = f"the query does not fit: {_plain(error)}"
        raise APIError(422, "validation", sentence) from None


def _plain(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].lower()}{text[1:]}"
