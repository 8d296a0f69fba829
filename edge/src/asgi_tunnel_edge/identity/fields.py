"""Header fields by which a proxy says who the visitor is, and what it asked for.

Apps and their middleware take them for the word of a proxy in front of them, so nobody else may
send them: they are removed from every request (T15).  What the edge itself knows, the app's side
adds again.  Asked by :mod:`..http1.head` once for each name, which remembers the answer.

One table with a reason for each family, the same as in ``docs/reference/identity-fields.md``.  A
name with ``*`` at its end stands for all that begin so.  Names are written with hyphens; ``_`` in
the place of any of them is the same name, because WSGI and CGI make no difference between the two.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["IDENTITY_FIELDS", "NO_IDENTITY_FIELDS", "is_identity"]

IDENTITY_FIELDS: Final[dict[str, str]] = {
    "the visitor's address": (
        "forwarded* x-forward* x-real-* client-ip x-client-ip x-client-port true-client-ip "
        "x-true-client-ip x-cluster-client-ip cluster-client-ip proxy-client-ip wl-proxy-* "
        "cf-connecting-* cf-pseudo-ipv4 fastly-client-* fly-client-ip do-connecting-ip "
        "x-appengine-* x-azure-clientip x-azure-socketip x-nf-client-connection-ip "
        "x-vercel-forwarded-for x-vercel-proxied-for cloudfront-viewer-* x-sucuri-clientip "
        "incap-client-ip ali-cdn-real-ip cdn-src-ip cdn-real-ip x-envoy-* x-originating-* "
        "x-remote-* remote-* x-custom-ip-authorization x-proxyuser-ip x-peer-ip x-host-ip"
    ),
    "the scheme": (
        "x-scheme x-url-scheme x-request-scheme x-client-scheme x-client-proto x-proto x-protocol "
        "x-https https front-end-* x-front-end-https cf-visitor cloudfront-forwarded-proto x-ssl* "
        "x-http-scheme"
    ),
    "the host and the path that were asked for": (
        "x-host x-http-host x-http-host-override x-host-override x-proxy-host x-client-host "
        "x-original-* x-rewrite-* x-request-uri x-request-url x-script-name script-name "
        "x-path-info path-info x-ingress-path disguised-host x-waws-*"
    ),
    "who has logged in": (
        "x-auth-request-* x-authentik-* x-authelia-* x-webauth-* x-authenticated-* x-consumer-* "
        "x-credential-* x-anonymous-consumer x-pomerium-* x-vouch-* x-goog-iap-* "
        "x-goog-authenticated-user-* x-apigateway-api-userinfo x-endpoint-api-userinfo x-amzn-* "
        "x-ms-client-principal* x-ms-token-* tailscale-* cf-access-* ngrok-auth-* oidc-* x-oidc-* "
        "x-jwt-assertion auth-user x-proxy-user x-logon-user logon-user x-iisnode-* sm-user* "
        "sm-universalid iv-user iv-groups iv-creds shib-* mellon-* x-replit-user-* x-sandstorm-* "
        "ynh-user"
    ),
    "the visitor's certificate": (
        "client-cert* x-client-cert* x-clientcert* x-client-dn x-client-s-dn x-client-i-dn "
        "x-client-subject-dn x-client-issuer-dn x-client-verify x-client-verified x-client-ssl-* "
        "x-client-tls-* ssl-* tls-client-* x-tls-* x-mtls-* x-arr-* cf-client-cert-* cf-cert-* "
        "cf-tls-*"
    ),
    "that it has passed a proxy": "x-azure-fdid",
    "what this edge says of a request that it has kept": "x-asgi-tunnel-inbox-*",
    "nothing of HTTP: CGI makes the variable HTTP_PROXY of it": "proxy",
}
"""Which names say what."""

NO_IDENTITY_FIELDS: Final = frozenset(
    {
        b"x-amzn-trace-id",  # tracing, set by any program that uses AWS X-Ray
        b"x-amzn-requestid",
        b"x-original-content-length",
        b"x-original-content-type",
        b"x-original-filename",  # of an upload, as browsers' scripts send it
        b"x-original-name",
        b"x-original-size",
    }
)
"""Names that begin like one of those and say nothing about the visitor."""

_NAMES: Final = sorted({name for row in IDENTITY_FIELDS.values() for name in row.split()})
_EXACT: Final = frozenset(name.encode() for name in _NAMES if not name.endswith("*"))
_BEGINS: Final = re.compile(
    b"|".join(re.escape(name[:-1]).encode() for name in _NAMES if name.endswith("*"))
).match


def is_identity(name: bytes) -> bool:
    """Whether a field says who the visitor is.

    Args:
        name: In lower case, with a hyphen for each underscore.
    """
    if name in _EXACT:
        return True
    return _BEGINS(name) is not None and name not in NO_IDENTITY_FIELDS
