"""The public edge of asgi-tunnel: what `asgi-tunnel-edge` runs on a machine of its owner's."""

from __future__ import annotations

from ._version import __version__

__all__ = ["__version__"]
