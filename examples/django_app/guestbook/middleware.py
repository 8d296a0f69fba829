"""One middleware: the cookies of an https page are marked Secure."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def secure_cookies(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Mark every cookie Secure when the visitor came by https.

    SESSION_COOKIE_SECURE and CSRF_COOKIE_SECURE would need a setting that differs between the
    public address and http://localhost. The scheme of the request is true, so it decides.
    """
    if iscoroutinefunction(get_response):

        async def middleware_async(request: HttpRequest) -> HttpResponse:
            return _mark(request, await get_response(request))

        return middleware_async

    def middleware(request: HttpRequest) -> HttpResponse:
        return _mark(request, get_response(request))

    return middleware


def _mark(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Set the attribute on the response's cookies."""
    if request.is_secure():
        for cookie in response.cookies.values():
            cookie["secure"] = True
    return response
