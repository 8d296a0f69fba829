"""The Django app, wrapped in ``Tunnel``.

Apart from it, because making a ``Tunnel`` under Daphne starts it: Channels brings its own.
"""

from __future__ import annotations

from asgi_tunnel import Tunnel

from .django_app import app

served = Tunnel(app)
