"""What passes now, for the pages: rates of what two looks at the edge have counted. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..history.tally import Tally
from ..observers.live_counts import BUCKETS, NOBODY

if TYPE_CHECKING:
    from .live import Moment

__all__ = ["HostTraffic", "Traffic", "traffic_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTraffic:
    """One hostname between two looks."""

    name: str
    requests: float  #: a second
    errors: float  #: the share of 5xx, from 0 to 1
    sent: float  #: bytes of bodies a second
    p50: float | None  #: seconds; None: nothing was asked for
    p95: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Some hostnames between two looks; None where there was no look before."""

    hosts: tuple[HostTraffic, ...]  #: the busiest first
    requests: float | None
    errors: float | None
    sent: float | None
    p50: float | None
    p95: float | None


def traffic_of(moment: Moment, is_shown: Callable[[str], bool] = lambda _: True) -> Traffic:
    """Return the rates of hostnames.

    Args:
        moment: The newest look, with the one before.
        is_shown: Whether a registered hostname counts; asked with ``NOBODY`` too.
    """
    if not moment.seconds or not moment.before:
        return Traffic(hosts=(), requests=None, errors=None, sent=None, p50=None, p95=None)
    before = {one["name"]: one for one in moment.before["hostnames"]}
    whole = Tally()
    hosts = []
    for now in moment.traffic["hostnames"]:
        if not is_shown(now["name"]):
            continue
        tally = _difference(now, before.get(now["name"]))
        if tally.requests:
            whole.add(tally)
            hosts.append(_host(now["name"], tally, moment.seconds))
    all_of_them = _host("", whole, moment.seconds)
    return Traffic(
        hosts=tuple(sorted(hosts, key=lambda one: (-one.requests, one.name))),
        requests=all_of_them.requests,
        errors=all_of_them.errors,
        sent=all_of_them.sent,
        p50=all_of_them.p50,
        p95=all_of_them.p95,
    )


def _difference(now: dict[str, Any], before: dict[str, Any] | None) -> Tally:
    """What came between; a count that is smaller than before began anew meanwhile."""
    old = before if before is not None and before["requests"] <= now["requests"] else None
    tally = Tally()
    tally.requests = now["requests"] - (old["requests"] if old else 0)
    tally.sent = now["sent"] - (old["sent"] if old else 0)
    statuses, durations = (old["statuses"], old["durations"]) if old else ([0] * 5, [0] * BUCKETS)
    tally.statuses = [a - b for a, b in zip(now["statuses"], statuses, strict=True)]
    tally.durations = [a - b for a, b in zip(now["durations"], durations, strict=True)]
    return tally


def _host(name: str, tally: Tally, seconds: float) -> HostTraffic:
    return HostTraffic(
        name="other names" if name == NOBODY else name,
        requests=tally.requests / seconds,
        errors=tally.errors / tally.requests if tally.requests else 0.0,
        sent=tally.sent / seconds,
        p50=tally.percentile(0.5),
        p95=tally.percentile(0.95),
    )
