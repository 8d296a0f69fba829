"""``check``: can the settings in the file be used, and which of them differ from those in use?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..errors import EdgeError
from ..settings.config import EdgeConfig

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]


async def answer(edge: LiveEdge, _request: dict[str, Any]) -> dict[str, Any]:
    """Return the names of settings that differ; or, with ``ok`` False, the one sentence why not."""
    try:
        new = await asyncio.to_thread(EdgeConfig.load, edge.config.data_dir)
    except EdgeError as error:
        return {"ok": False, "error": str(error)}
    changed = _differing(edge.config, new)
    if edge.addresses and str(edge.addresses[0]) == new.listen:
        changed = [one for one in changed if one != "listen"]  # the port that 0 became
    return {"changed": changed}


def _differing(old: Any, new: Any, path: str = "") -> list[str]:
    found: list[str] = []
    for name in old.__struct_fields__:
        one, other = getattr(old, name), getattr(new, name)
        if one == other:
            continue
        if hasattr(one, "__struct_fields__"):
            found += _differing(one, other, f"{path}{name}.")
        else:
            found.append(f"{path}{name}")
    return found
