"""The pages with which visitors log in, and what dispatch asks at a door.

Below ``/.well-known/asgi-tunnel/access/`` on each hostname that has a door. Who may pass is decided
in ``access``; each way to log in is a module of its own, which ends in :mod:`.sessions`.
"""

from __future__ import annotations

from .entrance import Entrance, Passage

__all__ = ["Entrance", "Passage"]
