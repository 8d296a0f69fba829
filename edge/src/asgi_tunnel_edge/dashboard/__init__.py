"""The edge's own pages, for its operators and for who owns a token.

An ASGI app inside the edge's process, behind a door like any other (``settings.dashboard``): the
login, its sessions and passkeys are those of ``login``. A page is one module of :mod:`.pages`. An
edge without a dashboard loads nothing of it.
"""
