"""A Django app: ``manage.py tunnel``, a tunnel beside ``runserver``, and system checks.

Add ``"asgi_tunnel.contrib.django"`` to ``INSTALLED_APPS``. How to: docs/howto/django.md.
"""
