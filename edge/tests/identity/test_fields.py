from __future__ import annotations

import re
from pathlib import Path

import pytest

from asgi_tunnel_edge.http1.head import read_head
from asgi_tunnel_edge.identity.fields import IDENTITY_FIELDS, NO_IDENTITY_FIELDS, is_identity
from asgi_tunnel_edge.settings.config import Limits

PAGE = Path(__file__).parents[3] / "docs/reference/identity-fields.md"

CLAIMS = re.findall(
    r"\S+",
    """
X-Scheme X-Url-Scheme Front-End-Https CF-Visitor X-Original-URL X-Rewrite-URL X-Host Remote-User
X-SSL-Client-Verify X-Forwarded-Prefix X-Forwarded-User X-Forwarded-Client-Cert X-Forwarded
X-Forward-For Forwarded Forwarded-For X-Real-IP X-Real-Port True-Client-IP X-True-Client-IP
CF-Connecting-IP CF-Connecting-IPv6 CF-Access-Jwt-Assertion Cf-Access-Authenticated-User-Email
Fastly-Client-IP Fastly-Client-SSL X-Client-IP Client-IP X-Cluster-Client-IP X-Remote-User
X-Remote-Addr Remote-Addr Remote-Email Remote-Groups Remote-Name X-Auth-Request-Email
X-Authentik-Username X-Webauth-User X-Authenticated-Userid X-Consumer-Username SSL-Client-Cert
SSL-Client-S-DN X-SSL X-SSL-Cipher X-Client-Cert X-Client-Verify X-Client-DN Client-Cert
Client-Cert-Chain X-ARR-SSL X-ARR-ClientCert X-Amzn-OIDC-Data X-Amzn-Mtls-Clientcert-Subject
X-Amzn-Request-Context X-Goog-IAP-JWT-Assertion X-Goog-Authenticated-User-Email
X-MS-Client-Principal X-MS-Client-Principal-Name X-MS-Token-AAD-Id-Token Tailscale-User-Login
X-Original-Host X-Original-For X-HTTP-Host-Override X-Script-Name OIDC-Claim-Sub X-HTTPS Proxy
X-Pomerium-Claim-Email X-Envoy-Original-Path X-AppEngine-User-IP WL-Proxy-Client-IP
""",
)

OWN = re.findall(
    r"\S+",
    """
Accept Authorization Cookie Origin Referer Remoted X-Wap-Profile X-HTTP-Method-Override
X-HTTP-Method X-Method-Override X-Requested-With X-CSRFToken X-Auth-Token X-Auth-User X-Api-Key
X-Client-Version X-Client-Info X-Client-Data X-Amz-Date X-Amz-Sns-Message-Type X-Amzn-Trace-Id
X-Goog-Channel-ID X-GitHub-Event X-CloudScheduler X-Original-Filename Sec-Fetch-Site Via CDN-Loop
CF-IPCountry CF-Ray Traceparent X-B3-TraceId X-Correlation-ID HX-Request Forward-Looking
Client-IPs Destination Depth X-User X-Token Ngrok-Skip-Browser-Warning Proxied X-Hostname
""",
)


def relayed(name: str) -> list[bytes]:
    """The names that are relayed of a request with Host and this field."""
    head = f"GET / HTTP/1.1\r\nHost: a.test\r\n{name}: 1\r\n\r\n".encode()
    return [name for name, _ in read_head(head, len(head), Limits()).fields if name != b"host"]


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_of_a_visitor_are_removed(name: str) -> None:
    """T15: nobody claims an address, scheme, path, login or certificate, however it is spelled."""
    mixed = name.replace("-", "_", 1)
    for spelling in (name, name.lower(), name.upper(), name.replace("-", "_"), mixed):
        assert relayed(spelling) == []


@pytest.mark.parametrize("name", OWN)
def test_fields_of_the_app_are_relayed(name: str) -> None:
    """A field that an app or its visitors have for themselves passes."""
    assert relayed(name) == [name.lower().encode()]


def test_page_has_the_table() -> None:
    """The page lists the same names for the same reasons, in the same order."""
    rows = re.findall(r"^\| ([^|`]+) \| (`[^|]+`) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    table = {reason: re.sub("[`,]", "", names) for reason, names in rows}
    exceptions = table.pop("nothing of these, and relayed").split()
    assert table == IDENTITY_FIELDS
    assert {name.encode() for name in exceptions} == NO_IDENTITY_FIELDS


def test_table_is_short() -> None:
    """No name is there twice, and none that another one of the table covers already."""
    names = [name for row in IDENTITY_FIELDS.values() for name in row.split()]
    assert len(names) == len(set(names))
    begins = [name[:-1] for name in names if name.endswith("*")]
    for name in names:
        bare = name.removesuffix("*")
        assert [one for one in begins if bare.startswith(one)] == [bare] * name.endswith("*")
    assert not any(is_identity(name) for name in NO_IDENTITY_FIELDS)
