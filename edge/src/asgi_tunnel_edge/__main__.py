"""``python -m asgi_tunnel_edge``: the same as the command ``asgi-tunnel-edge``."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="asgi-tunnel-edge")
