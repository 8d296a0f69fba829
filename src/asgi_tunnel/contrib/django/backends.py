"""An authentication backend of Django: users by what a door of the edge says of the visitor.

For :mod:`.middleware`, which hands visitors in; nothing else can.
"""

from __future__ import annotations

import logging
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password

from asgi_tunnel.identity import Visitor

__all__ = ["VisitorBackend"]

_log = logging.getLogger("asgi_tunnel.contrib.django")


class VisitorBackend(ModelBackend):
    """Signs visitors in as users of the project; change what is yours in a subclass.

    Attributes:
        create_unknown_user: Whether a visitor who has no user yet gets one, without a password.
    """

    create_unknown_user = True

    def authenticate(self, request: Any, visitor: Visitor) -> Any:
        """Return the user of a visitor; None: there is none, or it is not active.

        Named arguments alone decide which backend Django asks, so no form and no header gets here.
        """
        model = get_user_model()
        name = self.get_username(visitor)
        longest = model._meta.get_field(model.USERNAME_FIELD).max_length  # noqa: SLF001 - as Django
        if not name or (longest is not None and len(name) > longest):
            # Not cut: two visitors could become one user.
            _log.warning("the username of %r has not 1 to %s characters", visitor.subject, longest)
            return None
        key = {model.USERNAME_FIELD: name}
        if self.create_unknown_user:
            user, is_new = model._default_manager.get_or_create(  # noqa: SLF001 - as Django
                **key, defaults={"password": make_password(None)}
            )
        else:
            user, is_new = model._default_manager.filter(**key).first(), False  # noqa: SLF001
        if user is None or not self.user_can_authenticate(user):
            return None
        return self.configure_user(request, user, visitor, created=is_new)

    async def aauthenticate(self, request: Any, visitor: Visitor) -> Any:
        """The same.  Cancelling it may leave a user that was created."""
        return await sync_to_async(self.authenticate)(request, visitor)

    def get_username(self, visitor: Visitor) -> str:
        """Return the username of a visitor: the subject, which no form of Django accepts as one.

        So no user whom you have made yourself is meant by accident.  Whoever returns something
        else decides which visitor may be which user.
        """
        return visitor.subject

    def configure_user(self, request: Any, user: Any, visitor: Visitor, *, created: bool) -> Any:
        """Return the user, changed as you like; called at each sign-in.

        As it is, a new user gets the visitor's e-mail address.
        """
        field = user.get_email_field_name()
        if created and visitor.email and hasattr(user, field):
            setattr(user, field, visitor.email)
            user.save(update_fields=[field])
        return user
