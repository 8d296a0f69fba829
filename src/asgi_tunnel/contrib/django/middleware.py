"""Middleware of Django: signs in whom a door of the edge has let in.

Behind ``AuthenticationMiddleware``, with ``VisitorBackend`` among ``AUTHENTICATION_BACKENDS``.  It
asks the scope alone: ``REMOTE_USER`` and headers have no effect.  How to: docs/howto/visitor.md.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import auth
from django.core.exceptions import ImproperlyConfigured
from django.utils.deprecation import MiddlewareMixin

from asgi_tunnel.identity import visitor

from .backends import VisitorBackend

__all__ = ["VisitorMiddleware"]

_SUBJECT: Final = "_asgi_tunnel_subject"
"""Key of a session: for whom it was begun."""


class VisitorMiddleware(MiddlewareMixin):
    """See the module.

    A session that was begun here ends when the next request is another visitor's, or nobody's: who
    signs out at the edge is signed out here.  Whoever has signed in to the project itself stays so.
    """

    def process_request(self, request: Any) -> None:
        """Sign the visitor in, or out.

        Raises:
            ImproperlyConfigured: ``AuthenticationMiddleware`` does not stand before this one.
        """
        if not hasattr(request, "user"):
            raise ImproperlyConfigured(
                "VisitorMiddleware needs request.user: put it behind "
                "django.contrib.auth.middleware.AuthenticationMiddleware in MIDDLEWARE."
            )
        found = visitor(request)
        if _is_ours(request.session):
            if found is not None and request.session.get(_SUBJECT) == found.subject:
                return
            auth.logout(request)
        elif request.user.is_authenticated:
            return
        if found is None:
            return
        user = auth.authenticate(request, visitor=found)
        if user is not None:
            auth.login(request, user)
            request.session[_SUBJECT] = found.subject


def _is_ours(session: Any) -> bool:
    """Whether somebody was signed in here, and not by a form of the project."""
    path = session.get(auth.BACKEND_SESSION_KEY)
    if path is None:
        return False
    try:
        return isinstance(auth.load_backend(path), VisitorBackend)
    except ImportError:
        return _SUBJECT in session  # the backend is gone
