"""Guards: who is turned away before an app hears of it, one file for each reason.

A guard is one class with one decision, ``check(facts, now) -> None | Deny``; it keeps no clock and
does no I/O. ``chain`` asks them in their order, ``facts`` says what they know. What is malformed
is none of their business: the ingress has refused it before.
"""

from __future__ import annotations

from .chain import Guards
from .facts import Client, Deny, Facts, Guard, Rules

__all__ = ["Client", "Deny", "Facts", "Guard", "Guards", "Rules"]
