"""Logins with real providers of OpenID Connect, in a real browser; run with ``make oidc``."""
