"""Django in one file: asynchronous and synchronous views."""

from __future__ import annotations

from collections.abc import AsyncIterator

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from . import common


def _about(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "client": request.META["REMOTE_ADDR"],
            "port": int(request.META["REMOTE_PORT"]),
            "scheme": request.scheme,
            "url": request.build_absolute_uri(),
            "started": None,
        }
    )


async def about(request: HttpRequest) -> JsonResponse:
    """Say what the framework sees."""
    return _about(request)


def about_in_thread(request: HttpRequest) -> JsonResponse:
    """Say the same from a synchronous view."""
    return _about(request)


def echo(request: HttpRequest) -> HttpResponse:
    """Return the body, from a synchronous view."""
    return HttpResponse(request.read(), content_type="application/octet-stream")


async def stream(request: HttpRequest, key: str) -> StreamingHttpResponse:
    """Send one line, and the other one when the gate is open."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await common.wait_for_gate(key)
        yield b"last\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


def release(request: HttpRequest, key: str) -> HttpResponse:
    """Open a gate."""
    common.gate(key).set()
    return HttpResponse()


urlpatterns = [
    path("about", about),
    path("sync/about", about_in_thread),
    path("echo", echo),
    path("stream/<key>", stream),
    path("release/<key>", release),
]

settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for tests only", MIDDLEWARE=[]
)
django.setup()
app = get_asgi_application()
