"""The ASGI application: Django, its static files, a body limit, and the tunnel around them."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from asgi_tunnel import Tunnel
from guestbook_site.body_limit import BodyLimit
from guestbook_site.static import StaticFiles

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guestbook_site.settings")

django_application = StaticFiles(get_asgi_application())

# Outermost, because Django raises on the lifespan scope: Tunnel answers it, and so knows when to
# dial. Without ASGI_TUNNEL_TOKEN it only passes calls on.
application = Tunnel(BodyLimit(django_application, max_size=settings.BODY_MAX_SIZE))
