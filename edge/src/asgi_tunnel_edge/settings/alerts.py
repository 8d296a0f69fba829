"""``[alerts]``: where the edge says that something is wrong, and what of it."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from ..errors import EdgeConfigError
from .types import FilePath, Seconds, Text

__all__ = ["ALL_EVENTS", "AlertsConfig", "Event", "check_alerts", "check_webhook"]

Event = Literal[
    "tunnel_down",
    "certificate_failing",
    "certificate_expiring",
    "database_unreadable",
    "overload",
]

ALL_EVENTS: Final[tuple[Event, ...]] = (
    "tunnel_down",
    "certificate_failing",
    "certificate_expiring",
    "database_unreadable",
    "overload",
)

Events = Annotated[
    tuple[Event, ...],
    Meta(description=f"a list of {', '.join(ALL_EVENTS)}", examples=[["tunnel_down"]]),
]
TokenNames = Annotated[
    tuple[str, ...], Meta(description="a list of names of tokens", examples=[["shop"]])
]


class AlertsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook, and when it is called. ``ASGI_TUNNEL_EDGE_ALERTS_URL`` comes before ``url``."""

    url: Annotated[Text, Meta(examples=["https://hooks.example.net/edge"])] | None = None
    secret_file: Annotated[FilePath, Meta(examples=["alerts.secret"])] | None = None
    after: Seconds = 60.0  #: how long a tunnel is down before it is said
    events: Events = ALL_EVENTS
    tokens: TokenNames = ()  #: whose tunnels are watched; empty: all


def check_alerts(config: AlertsConfig, *, file: str) -> None:
    """Check what types cannot say.

    Raises:
        EdgeConfigError: The URL is none that can be called.
    """
    if config.url is not None:
        check_webhook(config.url, setting="alerts.url", file=file)


def check_webhook(url: str, *, setting: str, file: str | None = None) -> None:
    """Refuse what is no URL of a webhook; the sentence does not repeat it: it may be a secret.

    Raises:
        EdgeConfigError: See above.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    is_clean = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not host or not is_clean or "@" in parts.netloc:
        why = "expected an http:// or https:// URL without user and password"
        raise EdgeConfigError(
            setting, why, "write for example https://hooks.example.net/edge", file=file
        )
