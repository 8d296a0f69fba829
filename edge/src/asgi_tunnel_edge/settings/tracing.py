"""``[tracing]``: where the time of an exchange goes, for its visitor and for a trace collector."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from ..errors import EdgeConfigError, shown
from .types import Share, Switch, Text

__all__ = ["TracingConfig", "check_tracing"]


class TracingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the edge tells of the exchanges that it relays."""

    server_timing: Switch = False  #: responses have a Server-Timing field
    enabled: Switch = False  #: each exchange is a span of OpenTelemetry
    exporter: Annotated[Text, Meta(description="the name of an exporter")] = "otlp_proto_http"
    endpoint: Annotated[Text, Meta(examples=["http://127.0.0.1:4318/v1/traces"])] | None = None
    sample: Share = 1.0  #: of the traces that begin here
    trust_visitors: Switch = False  #: go on with the trace that a visitor names


def check_tracing(config: TracingConfig, *, file: str) -> None:
    """Check what types cannot say.

    Raises:
        EdgeConfigError: The endpoint is no URL.
    """
    if config.endpoint is None:
        return
    try:
        url = urlsplit(config.endpoint)
        is_url = url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:
        is_url = False
    if not is_url:
        why = f"expected a URL, got {shown(config.endpoint)}"
        fix = "write for example http://127.0.0.1:4318/v1/traces"
        raise EdgeConfigError("tracing.endpoint", why, fix, file=file)
