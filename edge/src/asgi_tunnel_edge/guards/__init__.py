"""Guards: who is turned away before an app hears of it, one file for each reason.

A guard is one class with one decision, ``check(context, now) -> None | Deny``; it keeps no clock
and does no I/O. ``chain`` asks them in their order, ``guard`` says what they know. No guard sees a
malformed request: it is refused before.
"""

from __future__ import annotations

from .chain import Guards
from .guard import Deny, Guard, RequestContext, Rules, VisitorAddress

__all__ = ["Deny", "Guard", "Guards", "RequestContext", "Rules", "VisitorAddress"]
