"""Addresses in ``edge.toml``: where to listen, and what visitors type.

The settings that hold them are in ``config``, which calls this for its checks.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import EdgeConfigError, shown

__all__ = ["ListenAddress", "PublicUrl", "parse_listen", "parse_public_url"]


class ListenAddress(NamedTuple):
    """Where the listener binds."""

    host: str  #: an address or a name, without brackets
    port: int  #: 0: any free port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str, *, setting: str, file: str | None = None) -> ListenAddress:
    """Take ``HOST:PORT`` or ``[IPv6]:PORT`` apart.

    Args:
        text: What was written.
        setting: Its name, for the error.
        file: The file it stands in; None for an option.

    Raises:
        EdgeConfigError: It is something else.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]/@]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        why = f"expected HOST:PORT, got {shown(text)}"
        fix = "write for example 0.0.0.0:443, or [::]:443 for IPv6 too"
        raise EdgeConfigError(setting, why, fix, file=file)
    return ListenAddress(match[1] or match[2], int(match[3]))


class PublicUrl(NamedTuple):
    """A URL's parts: ``scheme`` http or https, ``host`` without brackets, ``port`` never 0."""

    scheme: str
    host: str
    port: int


def parse_public_url(text: str, *, setting: str, file: str | None = None) -> PublicUrl:
    """Take ``https://HOST[:PORT]`` apart; the port is the scheme's where none is written.

    Raises:
        EdgeConfigError: It is something else, or has a path.
    """
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        url, host, port = urlsplit(""), None, None
    bare = text.removesuffix("/") == f"{url.scheme}://{url.netloc}"
    plain = text.isascii() and text.isprintable() and not set(" @") & set(text)
    if url.scheme not in ("http", "https") or not host or port == 0 or not bare or not plain:
        why = f"expected http://HOST or https://HOST, perhaps with a port, got {shown(text)}"
        raise EdgeConfigError(setting, why, "write for example https://example.org", file=file)
    return PublicUrl(url.scheme, host, port or (443 if url.scheme == "https" else 80))
