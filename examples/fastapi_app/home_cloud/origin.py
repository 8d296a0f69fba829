"""Refuse requests that another web site makes through a visitor's browser."""

from urllib.parse import urlsplit

from fastapi import HTTPException, WebSocketException, status
from fastapi.requests import HTTPConnection


def require_same_origin(connection: HTTPConnection) -> None:
    """Let pass what comes from this page, or from a program that is no browser.

    Browsers name the site that a request comes from in Origin; curl and scripts send none.

    Raises:
        HTTPException, WebSocketException: The request comes from another site.
    """
    origin = connection.headers.get("origin")
    if origin is None or urlsplit(origin).netloc == connection.headers.get("host"):
        return
    reason = "requests from other web sites are refused"
    if connection.scope["type"] == "websocket":
        raise WebSocketException(status.WS_1008_POLICY_VIOLATION, reason)
    raise HTTPException(status.HTTP_403_FORBIDDEN, reason)
