"""What a guard decides on, and what it decides.

The decisions are left to one file each, their order to ``chain``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ..access.paths import Door
from ..access.policy import Policy
from ..address import group_of
from ..hostname import wildcard_of
from ..network import Networks, normalise_network, number_of
from ..replies import Reply
from ..settings.guards import Pace
from ..shares.rate import RateLimit

if TYPE_CHECKING:
    from ..request import Request
    from ..settings.config import EdgeConfig, GuardsConfig, HostnameConfig

__all__ = [
    "Guard",
    "RateLimit",
    "RequestContext",
    "Rules",
    "VisitorAddress",
    "exempt_of",
    "rules_of",
]

_NONE: Final[Mapping[str, Policy]] = {}


class VisitorAddress:
    """Where requests come from: what is worked out once for an address, not for each request."""

    __slots__ = ("address", "group", "is_exempt", "number")

    def __init__(self, address: str, exempt: Networks) -> None:
        self.address = address
        self.group = group_of(address)  # counted and banned as one: an IPv6 visitor has a /64
        self.number = number_of(address)
        self.is_exempt = exempt.find(self.number, 0.0) is not None


class Rules:
    """The settings that hold for one hostname, taken apart."""

    __slots__ = (
        "allow",
        "deny",
        "door",
        "has_own_rate_limit",
        "hostname_rate_limit",
        "hsts",
        "max_body",
        "max_time",
        "origins",
        "pace",
        "rate_limit",
        "scans",
        "server_timing",
    )

    def __init__(
        self, config: EdgeConfig, own: HostnameConfig, policies: Mapping[str, Policy] = _NONE
    ) -> None:
        self.door = Door.of(own, policies)  # None: everybody may come in
        shared, limits = config.guards, config.limits
        self.max_body = limits.max_body if own.max_body is None else own.max_body
        self.max_time = limits.max_time if own.max_time is None else own.max_time
        rate = limits.min_body_rate if own.min_body_rate is None else own.min_body_rate
        self.pace = Pace.of(rate, own.body_grace or limits.body_grace)
        allow = shared.allow if own.allow is None else own.allow
        self.allow = _networks(allow) if allow else None
        # What the edge denies, no hostname allows again.
        deny = (*shared.deny, *own.deny)
        self.deny = _networks(deny) if deny else None
        self.has_own_rate_limit = own.rate is not None or own.burst is not None
        self.rate_limit = _rate_limit(own.rate, own.burst, shared.rate, shared.burst)
        self.hostname_rate_limit = _rate_limit(
            own.hostname_rate, own.hostname_burst, shared.hostname_rate, shared.hostname_burst
        )
        self.hsts = int(config.tls.hsts if own.hsts is None else own.hsts)
        self.scans = shared.scanner if own.scanner is None else own.scanner
        shown = own.server_timing
        self.server_timing = config.tracing.server_timing if shown is None else shown
        origins = shared.origins if own.origins is None else own.origins
        self.origins = frozenset(one.encode() for one in origins) or None


class RequestContext(NamedTuple):
    """One request, as guards see it."""

    visitor: VisitorAddress
    request: Request
    rules: Rules
    name: str  #: the registered hostname or wildcard that serves it; empty when nobody does


class Guard(Protocol):
    """One reason to turn visitors away."""

    denied: int  #: requests turned away so far

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """Decide about one request; ``now`` is monotonic seconds."""


def rules_of(rules: Mapping[str, Rules], hostname: str | None) -> Rules | None:
    """Return the rules of a hostname: its own, or those of the wildcard above it."""
    if hostname is None:
        return None
    own = rules.get(hostname)
    if own is None:
        wildcard = wildcard_of(hostname)
        if wildcard is not None:
            own = rules.get(wildcard)
    return own


def exempt_of(settings: GuardsConfig) -> Networks:
    """Return the networks whose visitors are neither limited nor banned by themselves."""
    return _networks(settings.exempt)


def _networks(texts: tuple[str, ...]) -> Networks:
    return Networks((normalise_network(text, setting="guards"), math.inf) for text in texts)


def _rate_limit(
    own_rate: float | None, own_burst: int | None, shared_rate: float, shared_burst: int
) -> RateLimit:
    rate = shared_rate if own_rate is None else own_rate
    burst = shared_burst if own_burst is None else own_burst
    return RateLimit(1 / rate, (burst - 1) / rate) if rate else RateLimit(0.0, 0.0)
