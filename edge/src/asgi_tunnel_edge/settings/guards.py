"""The settings of the guards: ``[guards]`` for everybody, ``[hostnames."..."]`` for one name.

What a guard does with them is left to the package ``guards``, which calls for them; ``config``
holds both tables.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from ..errors import EdgeConfigError, shown
from ..network import normalise_network
from .types import BytesOrZero, Count, Rate, Seconds, SecondsOrZero, Switch, Text

__all__ = ["LOOPBACK", "GuardsConfig", "HostnameConfig", "Pace", "check_lists"]

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

Addresses = Annotated[
    tuple[str, ...], Meta(description="a list of addresses and networks", examples=[[*LOOPBACK]])
]
Origins = Annotated[
    tuple[str, ...],
    Meta(description="a list of origins", examples=[["https://shop.example.org"]]),
]

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_OTHER_ORIGINS: Final = frozenset({"null", "none"})


class Pace(NamedTuple):
    """How fast a body has to move, either way."""

    grace: float  #: seconds after which it is judged, again and again
    need: float  #: bytes that it has moved by then, if it goes on

    @classmethod
    @lru_cache  # of a handful of settings, asked for by each connection
    def of(cls, rate: int, grace: float) -> Pace:
        """Return that of ``min_body_rate`` and ``body_grace``; without a rate it is one byte."""
        return cls(grace, max(rate * grace, 1.0))


class GuardsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[guards]``: who is turned away before an app hears of it. Titles say what each does."""

    exempt: Annotated[
        Addresses, Meta(title="never limited by rate, never banned by the scanner guard")
    ] = LOOPBACK
    allow: Annotated[
        Addresses, Meta(title="the only visitors that are served; others: 403; none: all are")
    ] = ()
    deny: Annotated[Addresses, Meta(title="visitors that are not served: 403")] = ()
    rate: Annotated[
        Rate, Meta(title="requests a second of one address (IPv6: of one /64); more: 429; 0: any")
    ] = 200.0
    burst: Annotated[Count, Meta(title="requests that such an address may send at once")] = 1000
    hostname_rate: Annotated[
        Rate, Meta(title="requests a second to one hostname, of everybody; more: 429; 0: any")
    ] = 0.0
    hostname_burst: Annotated[
        Count, Meta(title="requests that may arrive for one hostname at once")
    ] = 1000
    scanner: Annotated[
        Switch, Meta(title="answer the probes of scanners with 404, and ban who sends several")
    ] = True
    scanner_ban: Annotated[
        SecondsOrZero,
        Meta(title="how long such a ban lasts, for one token's hostnames; 0: no ban, only 404"),
    ] = 600.0
    hide_offline: Annotated[
        Switch,
        Meta(title="answer for names that no token has as for those whose app is offline: 503"),
    ] = False
    origins: Annotated[
        Origins, Meta(title="the only Origin fields that open a WebSocket; others: 403; none: all")
    ] = ()


class HostnameConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[hostnames."shop.example.org"]``: what differs for one hostname or wildcard.

    None, or a key that is not written, means the value of ``[guards]``, ``[limits]`` or ``[tls]``.
    """

    max_body: Annotated[BytesOrZero, Meta(examples=[10485760])] | None = None
    max_time: Annotated[SecondsOrZero, Meta(examples=[60.0])] | None = None
    min_body_rate: Annotated[BytesOrZero, Meta(examples=[500])] | None = None
    body_grace: Annotated[Seconds, Meta(examples=[20.0])] | None = None
    allow: Addresses | None = None
    deny: Addresses = ()
    rate: Annotated[Rate, Meta(examples=[20.0])] | None = None
    burst: Annotated[Count, Meta(examples=[100])] | None = None
    hostname_rate: Annotated[Rate, Meta(examples=[500.0])] | None = None
    hostname_burst: Annotated[Count, Meta(examples=[1000])] | None = None
    scanner: Annotated[Switch, Meta(examples=[False])] | None = None
    origins: Origins | None = None
    hsts: Annotated[SecondsOrZero, Meta(examples=[31536000.0])] | None = None
    server_timing: Annotated[Switch, Meta(examples=[True])] | None = None
    access: Annotated[Text, Meta(examples=["family"])] | None = None  #: who is let in; None: all
    access_paths: Annotated[
        dict[str, str],
        Meta(description='a table such as { "POST /hooks" = "public" }'),
    ] = {}  #: what differs below some paths; the longest decides


def check_lists(settings: GuardsConfig | HostnameConfig, *, path: str, file: str) -> None:
    """Check what types cannot say: each address and each origin of the lists.

    Args:
        settings: One table.
        path: Where it stands, for errors: ``guards``.
        file: The file's name, for errors.

    Raises:
        EdgeConfigError: An entry is none.
    """
    for name in ("exempt", "allow", "deny"):
        for text in getattr(settings, name, None) or ():
            normalise_network(text, setting=f"{path}.{name}", file=file)
    for text in settings.origins or ():
        if text not in _OTHER_ORIGINS and not _ORIGIN.fullmatch(text):
            why = f"expected an origin in lower case, without a path, got {shown(text)}"
            fix = 'write for example "https://shop.example.org", "null" or "none" (no Origin field)'
            raise EdgeConfigError(f"{path}.origins", why, fix, file=file)
