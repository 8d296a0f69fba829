"""The login's pages as one ASGI app: which page there is, and what is refused on all of them.

Each way to log in hands its routes in; what they have in common (place, origin, errors) is here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..access.cookies import SESSION_COOKIE
from ..access.doors import ACCESS_PATH, LOGIN_PATH
from ..access.policy import Policy
from ..access.session import Claims
from ..accounts import UserRecord
from .place import FindDoor, Place, is_own_origin, place_of
from .sessions import LoginError, Sessions, end_cookie, not_admitted
from .site import Site

__all__ = ["LoginApp", "Method", "form_of", "query_of"]

MAX_FIELDS: Final = 20
"""Fields of a form; ours have three."""

_USER_METHODS: Final = ("passkey", "password", "basic")

Handler = Callable[[Request, Place], Awaitable[Response]]


class Method:
    """One way to log in: what it adds to the pages. A base class, with nothing of its own.

    Attributes:
        name: As settings have it.
    """

    name: str = ""

    def routes(self, app: LoginApp) -> Sequence[Route]:
        """Return its pages; their paths begin with ``ACCESS_PATH``."""
        return ()

    def offer(self, place: Place) -> dict[str, object]:
        """Return what the login page needs to offer it at a place, where a policy takes it."""
        return {}


class LoginApp:
    """See the module.

    Args:
        find: The doors of this edge.
        sessions: Begins and ends sessions.
        site: How pages look.
        methods: The ways to log in.
    """

    def __init__(
        self, find: FindDoor, sessions: Sessions, site: Site, methods: Sequence[Method]
    ) -> None:
        self.find = find
        self.sessions = sessions
        self.site = site
        self._methods = methods
        routes = [
            Route(f"{ACCESS_PATH}login", self.page(self._login)),
            Route(f"{ACCESS_PATH}logout", self.form(self._logout), methods=["POST"]),
            Route(f"{ACCESS_PATH}style.css", self._style),
        ]
        for method in methods:
            routes += method.routes(self)
        self.asgi = Starlette(routes=routes, exception_handlers={HTTPException: self._missing})

    def page(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Wrap what shows a page: it is asked at a place, and its errors are shown there."""
        return self._wrap(handler, is_form=False)

    def form(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Wrap what takes a POST: of this hostname's own pages only."""
        return self._wrap(handler, is_form=True)

    def script(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Wrap what takes a POST of a script of this hostname's own pages; errors are JSON."""
        return self._wrap(handler, is_form=True, is_script=True)

    def place(self, request: Request, target: str) -> Place:
        """Return where a request is, and that it leads back to another target."""
        place = place_of(request, self.find, target)
        assert place is not None  # `page` and `form` have asked
        return place

    def login_page(
        self, place: Place, *, problem: str = "", user: str = "", status: int = 200
    ) -> Response:
        """Return the page that offers each way to log in."""
        values: dict[str, object] = {
            "hostname": place.hostname,
            "target": place.target,
            "problem": problem,
            "user": user,
            "password": False,
            "passkey": False,
            "providers": [],
        }
        for method in self._methods:
            if method.name in place.methods:
                values |= method.offer(place)
        return self.site.page("login.html", values, status=status)

    def current(self, request: Request, place: Place) -> Claims | None:
        """Return the session that a request comes with, if it holds."""
        cookie = request.cookies.get(SESSION_COOKIE.decode())
        return self.sessions.current(cookie, place.hostname)

    def ways_of(self, user: UserRecord, place: Place) -> frozenset[str]:
        """Return with what a user of this edge passes some door of a hostname."""
        sessions = self.sessions
        return frozenset(
            method
            for method in _USER_METHODS
            for policy in self._policies(place)
            if sessions.doors.admits(sessions.claims_for_user(user.name, method, place), (policy,))
        )

    def place_for(self, claims: Claims, place: Place) -> Place:
        """Return a place of a hostname for a session that leads to no door of its own.

        Raises:
            LoginError: No door of the hostname lets it in.
        """
        admits = self.sessions.doors.admits
        policies = tuple(one for one in self._policies(place) if admits(claims, (one,)))
        if not policies:
            raise not_admitted(claims)
        return place._replace(policies=policies)

    def to_account(self, done: str) -> Response:
        """Lead to the account's page.

        Args:
            done: What it says, as the page knows it.
        """
        return RedirectResponse(f"{ACCESS_PATH}?{urlencode({'done': done})}", status_code=303)

    def _policies(self, place: Place) -> tuple[Policy, ...]:
        door = self.find(place.hostname)
        return () if door is None else door.policies

    def _wrap(
        self, handler: Handler, *, is_form: bool, is_script: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            place = place_of(request, self.find)
            if place is None:
                raise HTTPException(404)
            try:
                if not place.is_private:
                    text = "Open this page with https:// in its address."
                    raise LoginError("Logins are over https only", text)
                if is_form and not is_own_origin(request, place):
                    text = "Another site, or a program, sent this form. Log in from here instead."
                    raise LoginError("This did not come from here", text)
                return await handler(request, place)
            except LoginError as error:
                if is_script:
                    said = {"problem": f"{error.title}. {error.text}", "reason": error.reason}
                    return self.site.data(said, status=error.status)
                return self._error(error, place)

        return serve

    def _error(self, error: LoginError, place: Place) -> Response:
        values = {
            "title": error.title,
            "text": error.text,
            "link": place.login_url,
            "link_text": "Log in another way",
        }
        if error.target:
            query = urlencode({"again": 1, "to": error.target})
            values |= {"link": f"{LOGIN_PATH}?{query}", "link_text": "Log in"}
        return self.site.page("message.html", values, status=error.status)

    async def _login(self, request: Request, place: Place) -> Response:
        claims = self.current(request, place)
        is_again = request.query_params.get("again") == "1"
        if claims is not None and not is_again:
            is_account = place.target == ACCESS_PATH
            if is_account or self.sessions.doors.admits(claims, place.policies):
                return RedirectResponse(place.target, status_code=303)
        return self.login_page(place)

    async def _logout(self, request: Request, place: Place) -> Response:
        form = await form_of(request)
        claims = self.current(request, place)
        if claims is not None:
            await self.sessions.end(claims, everywhere=form.get("everywhere") == "1")
        values = {
            "title": "You are signed out",
            "text": f"Your session at {place.hostname} has ended.",
            "link": place.login_url,
            "link_text": "Log in again",
        }
        response = self.site.page("message.html", values)
        end_cookie(response)
        return response

    async def _style(self, request: Request) -> Response:
        return self.site.style(request.url.query)

    async def _missing(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        values = {
            "title": "There is no such page",
            "text": "The address is not one of the login's pages.",
            "link": "/",
            "link_text": "Go to the first page",
        }
        return self.site.page("message.html", values, status=status)


def query_of(text: str) -> dict[str, str]:
    """Return the parameters of a query; none where one comes twice (OAuth 2.1 section 3.1)."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form; each once, the first value of its name.

    The body is bounded by the edge (``endpoints.endpoint.MAX_BODY``). Cancelling it loses nothing.
    """
    text = (await request.body()).decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found
