"""Logins with a provider of OpenID Connect: the authorization code flow, with PKCE.

``login`` has the pages, ``attempt`` what a browser keeps of one login, ``flow`` the steps between
the edge and the provider, ``id_token`` the checks of what it says, ``provider`` what is known of
it, ``fetch`` the bounded requests. An edge loads it where ``edge.toml`` has ``[oidc]``.
"""
