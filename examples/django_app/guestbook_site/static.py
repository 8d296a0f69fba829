"""Static files, served by the app itself; asgi.py puts this around Django."""

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import SuspiciousFileOperation
from django.http import Http404, HttpRequest, HttpResponseBase


class StaticFiles(ASGIStaticFilesHandler):
    """Django's own handler for static files under ASGI.

    WhiteNoise is the usual choice under WSGI, but its middleware is synchronous, and under ASGI
    Django warns that it "must consume synchronous iterators". This handler finds the files inside
    the apps, so there is no collectstatic step, and no hashed names or compression either: a busy
    site would publish its static files beforehand.
    """

    def serve(self, request: HttpRequest) -> HttpResponseBase:
        """Find a file, or raise Http404.

        Django 5.2 lets the error of a path like `/static/../x` out of the application, past its own
        error handling: a 500 with a traceback in the log for every scanner that tries.
        """
        try:
            return super().serve(request)
        except SuspiciousFileOperation as error:
            raise Http404("no such file") from error
