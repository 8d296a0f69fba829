"""What the edge is to refuse before it costs the app anything, said by the app's own code.

::

    from asgi_tunnel.policy import ban, edge


    @app.post("/login")
    @edge(rate="5/minute", max_body="10KB")
    async def login(request: Request): ...

Rules are read from the app's routes when its tunnel opens (``collect``), or come from a table:
``Tunnel(app, policy={"POST /login": edge(rate="5/minute")})``. The edge may be stricter, and never
less strict than its own settings. ``ban`` and ``allow`` are for handlers.
"""

from __future__ import annotations

from ..errors import BanError
from .bans import allow, ban
from .rule import EdgePolicy, edge

__all__ = ["BanError", "EdgePolicy", "allow", "ban", "edge"]
