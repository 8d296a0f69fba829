"""A visitor's request through the public URL, where an app serves it now. Called by ``doctor``."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import ssl
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..findings import Finding, ok, problem, skipped, warning
from ..proxy import find_proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import TunnelConfig
    from ..protocol.handshake import Welcome

__all__ = ["check_visits"]

VISIT_TIMEOUT: Final = 15.0
"""Seconds for one response: the edge holds a request for 10 s while the app is away."""

MAX_VISITS: Final = 3
"""Hostnames that are visited: what is wrong is seldom wrong with one of them alone."""

_LABEL: Final = "doctor"  # in the place of the star of a wildcard


async def check_visits(config: TunnelConfig, welcome: Welcome, path: str) -> list[Finding]:
    """Name the hostnames, and visit those that an app serves now.

    Args:
        config: The app's settings.
        welcome: What the edge said of the token.
        path: What is asked for, with GET.

    Takes ``VISIT_TIMEOUT`` for each at the most. Cancelling it leaves a thread that ends by itself.
    """
    if not welcome.hostnames:
        fix = "give it one with `asgi-tunnel-edge host add`"
        return [problem("hostnames", "the token has none", why="nobody finds the app", fix=fix)]
    found = [ok("hostnames", ", ".join(welcome.urls))]
    served = [
        (name, url)
        for name, url in zip(welcome.hostnames, welcome.urls, strict=False)
        if name in welcome.shared
    ]
    if not served:
        what = "no app is connected with this token now; start it, and run this again"
        return [*found, skipped("round-trip", what)]
    for name, url in served[:MAX_VISITS]:
        found.append(await asyncio.to_thread(_visit, config, welcome, name, url, path))
    return found


def _visit(config: TunnelConfig, welcome: Welcome, name: str, url: str, path: str) -> Finding:
    place = url.replace("*", _LABEL, 1) + path
    if find_proxy(url.replace("http", "ws", 1)) is not None:
        what = f"{place} is not visited: this machine reaches the internet through a proxy"
        return skipped("round-trip", what)
    pins = () if name in welcome.end_to_end else welcome.pins
    began = time.monotonic()
    try:
        status = _get(place, pins, config)
    except (OSError, http.client.HTTPException) as error:
        said = "no response in time" if isinstance(error, TimeoutError) else str(error)
        return problem(
            "round-trip",
            f"GET {place} fails ({said})",
            why="visitors cannot reach it from here",
            fix="look whether the name leads to the edge, and its certificate is for the name",
        )
    answered = f"GET {place} was answered with {status} in {time.monotonic() - began:.2f} s"
    return _judged(answered, status, name.replace("*", _LABEL, 1))


def _judged(answered: str, status: int, host: str) -> Finding:
    if status == 400:
        return warning(
            "round-trip",
            answered,
            why="Django does so for a Host that it does not know",
            fix=f"add {host!r} to ALLOWED_HOSTS, if this is Django",
        )
    if status == 421:
        return problem(
            "round-trip",
            answered,
            why="the app does not know its public hostname, as a server of the MCP SDK does",
            fix=f"name {host} among its allowed hosts (transport_security, allowed_hosts)",
        )
    if status in (502, 503, 504):
        return problem(
            "round-trip",
            answered,
            why="the app did not answer, or not in time",
            fix="look at the app's log and the edge's",
        )
    if status >= 500:
        return warning(
            "round-trip", answered, why="the app has failed", fix="look at the app's log"
        )
    return ok("round-trip", answered)


def _get(url: str, pins: Sequence[str], config: TunnelConfig) -> int:
    """Return the status of a response; its body is not read."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=VISIT_TIMEOUT, context=_context(pins, config)
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=VISIT_TIMEOUT)
    try:
        connection.connect()
        if pins and isinstance(connection.sock, ssl.SSLSocket):
            shown = connection.sock.getpeercert(binary_form=True) or b""
            if "sha256:" + hashlib.sha256(shown).hexdigest() not in pins:
                raise ConnectionError("the certificate is not the edge's")
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        connection.request("GET", target, headers={"User-Agent": "asgi-tunnel-doctor"})
        response = connection.getresponse()
        return response.status
    finally:
        connection.close()


def _context(pins: Sequence[str], config: TunnelConfig) -> ssl.SSLContext:
    """As a browser checks it; with pins, the certificate is compared instead."""
    context = ssl.create_default_context(cafile=config.ca_file)
    if pins:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
