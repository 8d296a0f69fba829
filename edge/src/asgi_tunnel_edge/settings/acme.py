"""``[acme]``: where certificates come from when ``tls.mode`` is "acme"."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from ..errors import EdgeConfigError, shown
from .types import FilePath, Text

__all__ = ["LETS_ENCRYPT", "AcmeConfig", "DnsMethod", "check_acme"]

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"

DnsMethod = Literal["none", "zone", "persistent", "update", "hook"]
"""How a wildcard is proved: not at all, by a zone that the edge answers itself, by one record that
never changes, by RFC 2136, by a program."""

Names = Annotated[
    tuple[str, ...], Meta(description="a list of hostnames", examples=[["example.org"]])
]
Command = Annotated[
    tuple[str, ...],
    Meta(description="a list, a program and its arguments", examples=[["/usr/local/bin/txt"]]),
]
IPAddresses = Annotated[
    tuple[str, ...], Meta(description="a list of addresses", examples=[["192.0.2.1"]])
]


class AcmeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates from a CA (RFC 8555), ordered and renewed by the edge itself."""

    email: Annotated[Text, Meta(examples=["me@example.org"])] | None = None
    directory: Annotated[Text, Meta(description="a URL")] = LETS_ENCRYPT
    root: Annotated[FilePath, Meta(examples=["acme-root.pem"])] | None = None
    profile: Annotated[Text, Meta(examples=["classic"])] | None = None
    addresses: IPAddresses = ()  #: that get certificates too
    dns: Annotated[
        DnsMethod, Meta(description='"none", "zone", "persistent", "update" or "hook"')
    ] = "none"
    zone: Annotated[Text, Meta(examples=["_acme-challenge.example.org"])] | None = None
    zone_servers: Names = ()
    dns_listen: Annotated[Text, Meta(description="HOST:PORT")] = "[::]:53"
    update_server: Annotated[Text, Meta(examples=["ns1.example.net"])] | None = None
    update_zone: Annotated[Text, Meta(examples=["example.org"])] | None = None
    update_key: Annotated[FilePath, Meta(examples=["tsig.key"])] | None = None
    hook: Command = ()


def check_acme(config: AcmeConfig, *, file: str) -> None:
    """Check what types cannot say.

    Raises:
        EdgeConfigError: A value makes no sense, or one that another needs is missing.
    """
    url = urlsplit(config.directory)
    if url.scheme != "https" or not url.netloc:
        why = f"expected the https:// URL of a CA's directory, got {shown(config.directory)}"
        raise EdgeConfigError("acme.directory", why, f"write for example {LETS_ENCRYPT}", file=file)
    for text in config.addresses:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            why = f"expected an IP address, got {shown(text)}"
            fix = "write for example 192.0.2.1"
            raise EdgeConfigError("acme.addresses", why, fix, file=file) from None
    needed: dict[str, tuple[str, ...]] = {
        "update": ("update_server", "update_key"),
        "hook": ("hook",),
    }
    for name in needed.get(config.dns, ()):
        if not getattr(config, name):
            why = f'is missing, and acme.dns is "{config.dns}"'
            raise EdgeConfigError(f"acme.{name}", why, 'set it, or write dns = "none"', file=file)
