"""Where a request to one of the login's pages comes from, and where it leads back to.

Each way to log in asks here, so that none leads to another site by mistake.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from ..access.doors import ACCESS_PATH, LOGIN_PATH, MAX_RETURN
from ..access.paths import HostDoor
from ..access.policy import Policy
from ..address import group_of
from ..hostname import host_from_header
from ..oauth.authorization import resource_target

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["FindDoor", "Place", "is_own_origin", "place_of", "safe_target"]

FindDoor = Callable[[str], HostDoor | None]
"""Returns the doors of a hostname; None: it has none."""

_FIRST_PAGE: Final = "/"


class Place(NamedTuple):
    """One visitor at one hostname, on the way to one page."""

    hostname: str
    origin: str  #: as browsers write it: scheme, host and port
    target: str  #: what the login leads back to: a path with its query
    policies: tuple[Policy, ...]  #: that stand in front of it
    group: str  #: of the visitor's address, for rates
    address: str
    agent: str  #: what the browser calls itself

    @property
    def methods(self) -> frozenset[str]:
        """The ways to log in that each of the policies takes."""
        methods = [policy.methods for policy in self.policies]
        return frozenset.intersection(*methods) if methods else frozenset()

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way reads what is typed: https, or this machine itself."""
        if self.origin.startswith("https:"):
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False

    @property
    def login_url(self) -> str:
        """The login's first page, with the way back."""
        return f"{LOGIN_PATH}?{urlencode({'to': self.target})}"


def place_of(request: Request, find: FindDoor, target: str | None = None) -> Place | None:
    """Return where a request is; None: its hostname has no door.

    Args:
        request: To one of the login's pages.
        find: The doors of this edge.
        target: Where it leads back to; None: what its query says.
    """
    host = request.headers.get("host", "")
    hostname = host_from_header(host.encode("latin-1", "replace"))
    door = None if hostname is None else find(hostname)
    if hostname is None or door is None:
        return None
    back = safe_target(request.query_params.get("to", "") if target is None else target)
    # A page without a door of its own leads to the first one that there is.
    wanted = resource_target(back).encode("ascii", "replace")
    policies = door.policies_of(b"GET", wanted) or door.policies[:1]
    client = request.client
    address = "" if client is None else client.host
    return Place(
        hostname=hostname,
        origin=f"{request.url.scheme}://{host.lower()}",
        target=back,
        policies=policies,
        group=group_of(address),
        address=address,
        agent=request.headers.get("user-agent", "")[:200],
    )


def safe_target(text: str) -> str:
    r"""Return a target of this hostname; the first page in the place of everything else.

    Browsers take ``//host`` and ``/\host`` for another site, and drop tabs and line feeds.
    """
    is_path = text.startswith("/") and not text.startswith(("//", "/\\"))
    if not is_path or len(text) > MAX_RETURN or not text.isascii() or not text.isprintable():
        return _FIRST_PAGE
    if " " in text or "\\" in text:
        return _FIRST_PAGE
    # Of the login's own pages only the account's can be the reason for a login.
    return _FIRST_PAGE if text.startswith(ACCESS_PATH) and text != ACCESS_PATH else text


def is_own_origin(request: Request, place: Place) -> bool:
    """Whether a form or a script of this hostname sent a request: no other site can (CSRF).

    Browsers send Origin with each POST. (RFC 6454 section 7)
    """
    return request.headers.get("origin", "").lower() == place.origin
