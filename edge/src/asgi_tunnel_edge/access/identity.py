"""Who a visitor is, once a door has let them in; and the line that says it to an app.

The app finds it in ``scope["extensions"]["asgi_tunnel"]["visitor"]`` (docs/protocol.md section
5.1). It never travels as a header field, so no visitor can send one.
"""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

__all__ = ["Identity", "Method"]

Method = Literal["password", "passkey", "oidc", "link", "basic", "token"]
"""How a visitor has shown who they are."""


class Identity(NamedTuple):
    """One visitor."""

    subject: str  #: unique for ever: ``user:anna``, ``oidc:google:1042``, ``link:ID``, ``token:ID``
    name: str  #: for people; may be empty
    email: str  #: empty: not known
    groups: tuple[str, ...]  #: in the order of the store or the provider
    method: Method
    since: int  #: of the login, in seconds since 1970
    policy: str  #: the ``[access.NAME]`` that let them in

    def encode(self) -> bytes:
        """Return it as one line of JSON, ASCII only: what an app's side reads."""
        return json.dumps(self._asdict(), separators=(",", ":")).encode()
