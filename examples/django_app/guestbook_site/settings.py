"""Settings of the guest book.

No proxy option is set, because there is no proxy: the tunnel makes an ASGI call in this process
and puts the truth into its scope. `request.scheme`, `request.get_host()` and `REMOTE_ADDR` are the
visitor's, so `SECURE_PROXY_SSL_HEADER`, `USE_X_FORWARDED_HOST` and the like stay at Django's
defaults, and an `X-Forwarded-*` header sent by a visitor changes nothing.
"""

import os
from pathlib import Path

from guestbook_site.storage import load_secret_key, prepare_data_dir

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = prepare_data_dir(BASE_DIR / "data")

SECRET_KEY = load_secret_key(DATA_DIR)
DEBUG = os.environ.get("GUESTBOOK_DEBUG") == "1"  # off by default: the page is made to be public

# The public hostname has to be listed, since visitors choose the Host header. The default serves
# this machine only; ".localhost" covers the names of an edge on trial, such as guestbook.localhost.
_LOCAL_HOSTS = "localhost,.localhost,127.0.0.1,[::1]"
ALLOWED_HOSTS = [
    host.strip()
    for host in (os.environ.get("GUESTBOOK_HOSTS") or _LOCAL_HOSTS).split(",")
    if host.strip()
]
# CSRF_TRUSTED_ORIGINS stays empty: Django compares the Origin header with scheme://host of the
# request, and both are true here.

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "guestbook",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "guestbook.middleware.secure_cookies",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "guestbook_site.urls"
ASGI_APPLICATION = "guestbook_site.asgi.application"
TEMPLATES = [
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
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "guestbook.sqlite3",
        "OPTIONS": {
            # WAL: the open pages read while somebody writes. IMMEDIATE: a writer waits its turn
            # at BEGIN instead of failing with "database is locked" halfway.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 5,  # seconds
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"  # the page shows each visitor their own time zone
USE_TZ = True

STATIC_URL = "static/"
MEDIA_ROOT = DATA_DIR / "pictures"  # has no MEDIA_URL: guestbook.views.picture serves the files

PICTURE_MAX_SIZE = 8 * 1024 * 1024  # bytes; a phone's photo is 3 to 6 MiB
# bytes; the whole form: one picture, its text and the multipart framing. There is room to spare, so
# that a picture a little over its limit reaches the form and gets a readable answer.
BODY_MAX_SIZE = PICTURE_MAX_SIZE + 2 * 1024 * 1024

# Django's own console handler is silent unless DEBUG is on; a home server wants its errors shown.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"django": {"handlers": ["console"], "level": "WARNING", "propagate": False}},
}
