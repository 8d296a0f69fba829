"""A rate as GCRA wants it (ITU-T I.371); what is counted by it is left to who counts."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RateLimit"]


class RateLimit(NamedTuple):
    """A rate and its burst."""

    interval: float  #: seconds between two requests at the rate; 0: no limit
    tolerance: float  #: seconds that a burst may be ahead of the rate
