"""The same app with its tunnel inside, for an ASGI server: two lines, as the README shows them."""

from __future__ import annotations

from asgi_tunnel import Tunnel
from benchmarks.app import app as origin

app = Tunnel(origin)
