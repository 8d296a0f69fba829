"""``[tracing]``: what the edge tells of where the time of an exchange goes."""

from __future__ import annotations

from msgspec import Struct

from .types import Switch

__all__ = ["TracingConfig"]


class TracingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For all hostnames that do not say otherwise."""

    server_timing: Switch = False  #: responses have a Server-Timing field
