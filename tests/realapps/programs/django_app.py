"""Django's admin, with and without USE_X_FORWARDED_HOST."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app, migrated, with one administrator."""
    import os
    from pathlib import Path

    import django
    from django.conf import settings
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

    folder = Path(os.environ["REALAPPS_FOLDER"])
    settings.configure(
        DEBUG=True,
        SECRET_KEY="0" * 50,
        ALLOWED_HOSTS=["localhost"],
        USE_X_FORWARDED_HOST=bool(os.environ.get("FORWARDED_HOST")),
        ROOT_URLCONF=__name__,
        STATIC_URL="/static/",
        USE_TZ=True,
        SESSION_COOKIE_SECURE=True,
        CSRF_COOKIE_SECURE=True,
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "site.db")}
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.staticfiles",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
    )
    django.setup()
    from django.core.handlers.asgi import ASGIHandler

    # uvicorn calls a factory on its event loop, where Django refuses to talk to a database.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_fill).result()
    return ASGIStaticFilesHandler(ASGIHandler())


def _fill() -> None:
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.create_superuser("ada", "ada@example.test", "pass")


def __getattr__(name: str) -> Any:
    """Make ``urlpatterns`` when Django asks for them: this file imports without Django."""
    if name != "urlpatterns":
        raise AttributeError(name)
    from django.contrib import admin
    from django.http import JsonResponse
    from django.urls import path

    def url(request: Any) -> Any:
        return JsonResponse({"url": request.build_absolute_uri(), "host": request.get_host()})

    return [path("admin/", admin.site.urls), path("url", url)]


def job(visit: Visit) -> None:
    """Log in, add a group, and try a foreign Origin."""
    with visit.requests() as session:
        visit.response("url", session.get(visit.base + "/url?a=1"))
        visit.response("static", session.get(visit.base + "/static/admin/css/base.css"))
        login = session.get(visit.base + "/admin/")
        visit.note("sent to the login", url=login.url, status=login.status_code)
        done = _post(session, login, username="ada", password="pass")
        visit.response("logged in", done, body=False)
        assert "Log out" in done.text
        form = session.get(visit.base + "/admin/auth/group/add/")
        done = _post(session, form, name="Buyers", _save="Save")
        visit.response("added", done, body=False)
        visit.response("the redirect", done.history[0], status=302, body=False)
        assert "was added successfully" in done.text
        form = session.get(visit.base + "/admin/auth/group/add/")
        session.headers["origin"] = "https://evil.example.test"
        refused = _post(session, form, name="Thieves")
        visit.response("a foreign origin", refused, status=403, body=False)


def _post(session: Any, form: Any, **values: str) -> Any:
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
    assert token, form.text
    data = {**values, "csrfmiddlewaretoken": token[1]}
    headers = {"referer": form.url}
    if "origin" not in session.headers:
        headers["origin"] = "/".join(form.url.split("/")[:3])
    return session.post(form.url, data=data, headers=headers)


def job_in_browser(visit: Visit) -> None:
    """Log in and add a group by hand."""
    with visit.browser() as page:
        page.goto(visit.base + "/admin/")
        page.fill("#id_username", "ada")
        page.fill("#id_password", "pass")
        page.click("[type=submit]")
        page.goto(visit.base + "/admin/auth/group/add/")
        page.fill("#id_name", "Sellers")
        page.click("[name=_save]")
        visit.note("message", text=page.inner_text(".messagelist"))


PROGRAMS = [
    Program(
        name="Django admin",
        module="django_app",
        distribution="django",
        does="static files, login with CSRF, an object added, a foreign Origin refused",
        visitors="requests",
        job=job,
        quick=True,
    ),
    Program(
        name="Django admin with USE_X_FORWARDED_HOST",
        module="django_app",
        distribution="django",
        does="the same",
        visitors="requests",
        job=job,
        env={"FORWARDED_HOST": "1"},
    ),
    Program(
        name="Django admin in a browser",
        module="django_app",
        distribution="django",
        does="login, an object added",
        visitors="Chromium",
        job=job_in_browser,
        needs=("chromium",),
    ),
]
