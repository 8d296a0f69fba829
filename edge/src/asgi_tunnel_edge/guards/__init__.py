"""Guards: who is turned away before an app hears of it, one file for each reason.

A guard is one class with one decision, ``check(context, now) -> None | Reply``; it keeps no clock
and does no I/O. ``chain`` asks them in their order, ``guard`` says what they know. No guard sees a
malformed request: it is refused before.
"""

from __future__ import annotations

from .chain import Guards
from .guard import Guard, RequestContext, Rules, VisitorAddress

__all__ = ["Guard", "Guards", "RequestContext", "Rules", "VisitorAddress"]
