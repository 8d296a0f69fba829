"""A Django project that signs visitors in, and what its visitors see of it.

Usage: python -m tests.contrib.django_site FOLDER. In a process of its own, because
Django's settings are those of a process. Prints a JSON object: what came of each of ``SCENES``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import anyio
import django
from asgiref.sync import sync_to_async
from django.conf import settings

MIDDLEWARE: Final = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "asgi_tunnel.contrib.django.middleware.VisitorMiddleware",
]

settings.configure(
    SECRET_KEY="only for this test",
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "asgi_tunnel.contrib.django",
    ],
    MIDDLEWARE=MIDDLEWARE,
    AUTHENTICATION_BACKENDS=[
        "asgi_tunnel.contrib.django.backends.VisitorBackend",
        "django.contrib.auth.backends.ModelBackend",
    ],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(sys.argv[1]) / "db"}
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from django.contrib import auth  # noqa: E402 - after the setup
from django.contrib.auth.models import User  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.urls import path  # noqa: E402

import asgi_tunnel  # noqa: E402
from asgi_tunnel.contrib.django.middleware import VisitorMiddleware  # noqa: E402
from asgi_tunnel.testing import LocalEdge, Visitor  # noqa: E402

ANNA = Visitor(subject="user:anna", email="anna@example.org")
BEN = Visitor(subject="user:ben")
FORGED = {"remote-user": "root", "REMOTE_USER": "root", "Remote_User": "root", "Visitor": "root"}


def who(request: Any) -> JsonResponse:
    """Say who it is, to Django and to the tunnel."""
    found = asgi_tunnel.visitor(request)
    said = [request.user.get_username(), None if found is None else found.subject]
    return JsonResponse(said, safe=False)


async def who_async(request: Any) -> JsonResponse:
    """Say the same from an asynchronous view."""
    user = await request.auser()
    return JsonResponse([user.get_username(), request.user.get_username()], safe=False)


def sign_in(request: HttpRequest) -> JsonResponse:
    """Sign in by the project's own form."""
    user = auth.authenticate(request, username="root", password="secret")
    auth.login(request, user)
    return JsonResponse([user.get_username()], safe=False)


urlpatterns = [path("", who), path("async", who_async), path("in", sign_in)]


class Browser:
    """Keeps the cookie of a session."""

    def __init__(self, edge: LocalEdge) -> None:
        self._edge = edge
        self.cookie = ""

    async def get(
        self, path: str = "/", visitor: Visitor | None = None, **fields: str
    ) -> list[Any]:
        """Ask; return what the view says."""
        headers = {"cookie": self.cookie, **fields}
        response = await self._edge.get(path, headers=headers, visitor=visitor)
        for value in response.headers.get_all("set-cookie"):
            self.cookie = value.partition(";")[0]
        said: list[Any] = response.json()
        return said


async def user(name: str) -> Any:
    """A user of the database."""
    return await User.objects.filter(username=name).afirst()


# -- scenes ----------------------------------------------------------------------------------


async def a_visitor_is_a_user(edge: LocalEdge) -> Any:
    """Made at the first visit, with an e-mail address and no password; the session is kept."""
    browser = Browser(edge)
    said = [await browser.get(visitor=ANNA)]
    cookie = browser.cookie
    said.append(await browser.get(visitor=ANNA))
    made = await user("user:anna")
    return said, cookie == browser.cookie, made.email, made.has_usable_password(), made.is_staff


async def an_asynchronous_view(edge: LocalEdge) -> Any:
    """Has the same user, by both ways."""
    return await Browser(edge).get("/async", ANNA)


async def a_session_follows_the_visitor(edge: LocalEdge) -> Any:
    """Whoever signs out at the edge, or comes past it, is signed out; another one is another."""
    browser = Browser(edge)
    visitors = (ANNA, None, ANNA, BEN, None)
    return [await browser.get(visitor=visitor) for visitor in visitors]


async def a_stolen_session(edge: LocalEdge) -> Any:
    """A session cookie without its visitor is worth nothing."""
    browser, thief = Browser(edge), Browser(edge)
    await browser.get(visitor=ANNA)
    thief.cookie = browser.cookie
    return await thief.get()


async def forged_fields(edge: LocalEdge) -> Any:
    """REMOTE_USER in any spelling is a field like any other, with a visitor and without."""
    return [await Browser(edge).get(visitor=one, **FORGED) for one in (None, ANNA)]


async def call(app: Any, **fields: str) -> Any:
    """Call an ASGI app as a server on a port does; return what it says."""
    sent: list[Any] = []
    pairs = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *pairs],
    }

    async def receive() -> dict[str, Any]:
        if sent:
            await anyio.sleep_forever()
        sent.append({})
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return json.loads(b"".join(one.get("body", b"") for one in sent))


async def forged_fields_at_a_port(edge: LocalEdge) -> Any:
    """The same for a program of this machine, through ASGI and through WSGI, under any server."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": BytesIO(),
        "wsgi.url_scheme": "http",
        "REMOTE_USER": "root",
        "HTTP_REMOTE_USER": "root",
    }
    wsgi = await sync_to_async(get_wsgi_application())(environ, lambda status, fields: None)
    return await call(get_asgi_application(), **FORGED), json.loads(b"".join(wsgi))


async def djangos_own_middleware(edge: LocalEdge) -> Any:
    """Takes the word of such a field at a port: what is sent here would do harm elsewhere."""
    with override_settings(
        MIDDLEWARE=[*MIDDLEWARE[:2], "django.contrib.auth.middleware.RemoteUserMiddleware"],
        AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"],
    ):
        return await call(ASGIHandler(), **FORGED)


async def a_user_of_the_project_itself(edge: LocalEdge) -> Any:
    """Stays signed in, whoever the visitor is."""
    browser = Browser(edge)
    said = [await browser.get(visitor=ANNA)]
    said.append(await browser.get("/in", ANNA))
    said += [await browser.get(visitor=visitor) for visitor in (ANNA, BEN, None)]
    return said


async def a_user_who_is_not_active(edge: LocalEdge) -> Any:
    """Is nobody, at once."""
    browser = Browser(edge)
    carl = Visitor(subject="user:carl")
    said = [await browser.get(visitor=carl)]
    await User.objects.filter(username="user:carl").aupdate(is_active=False)
    return [*said, await browser.get(visitor=carl), await Browser(edge).get(visitor=carl)]


async def a_name_that_is_too_long(edge: LocalEdge) -> Any:
    """Is nobody's; not that of a user whose name begins so."""
    name = "user:" + "a" * 145
    first = await Browser(edge).get(visitor=Visitor(subject=name))
    return len(first[0]), (await Browser(edge).get(visitor=Visitor(subject=name + "b")))[0]


async def no_password_and_no_name(edge: LocalEdge) -> Any:
    """The backend takes visitors alone: no form and no other middleware gets there."""
    await Browser(edge).get(visitor=ANNA)
    backends = ["asgi_tunnel.contrib.django.backends.VisitorBackend"]
    with override_settings(AUTHENTICATION_BACKENDS=backends):
        found = [
            await auth.aauthenticate(username="root", password="secret"),
            await auth.aauthenticate(username="user:anna", password=""),
            await auth.aauthenticate(remote_user="user:anna"),
        ]
        known = await auth.aauthenticate(visitor=ANNA)
    return [*found, known.get_username()]


def backend_of_the_page() -> Any:
    """The class that the page shows."""
    page = Path(__file__).parents[2] / "docs/howto/visitor.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    [block] = [one for one in blocks if "class HouseBackend" in one]
    found: dict[str, Any] = {"__name__": __name__}
    exec(block, found)  # noqa: S102 - it is ours
    return found["HouseBackend"]


HouseBackend = backend_of_the_page()


async def a_backend_of_the_projects(edge: LocalEdge) -> Any:
    """Decides who is who, and makes no users."""
    with override_settings(AUTHENTICATION_BACKENDS=[f"{__name__}.HouseBackend"]):
        said = [
            (await Browser(edge).get(visitor=one))[0]
            for one in (
                Visitor(subject="oidc:a:1", email="root@example.org", groups=("operators",)),
                Visitor(subject="oidc:a:2", email="nobody@example.org"),
                Visitor(subject="oidc:a:3"),
            )
        ]
    return [*said, (await user("root")).is_staff]


async def middleware_in_the_wrong_order(edge: LocalEdge) -> Any:
    """Is said in one sentence."""
    with override_settings(MIDDLEWARE=[MIDDLEWARE[0], MIDDLEWARE[2]]):
        async with LocalEdge(ASGIHandler()) as other:
            status = (await other.get("/")).status
    try:
        VisitorMiddleware(lambda request: None).process_request(HttpRequest())
    except ImproperlyConfigured as error:
        return status, str(error)
    return status, ""


SCENES: Final[tuple[Callable[[LocalEdge], Awaitable[Any]], ...]] = (
    a_visitor_is_a_user,
    an_asynchronous_view,
    a_session_follows_the_visitor,
    a_stolen_session,
    forged_fields,
    forged_fields_at_a_port,
    djangos_own_middleware,
    a_user_of_the_project_itself,
    a_user_who_is_not_active,
    a_name_that_is_too_long,
    no_password_and_no_name,
    a_backend_of_the_projects,
    middleware_in_the_wrong_order,
)


async def main() -> None:
    """Play all scenes."""
    results = {}
    async with LocalEdge(get_asgi_application()) as edge:
        for scene in SCENES:
            results[scene.__name__] = await scene(edge)
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    User.objects.create_user("root", "root@example.org", "secret")
    anyio.run(main)
