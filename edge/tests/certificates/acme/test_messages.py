from __future__ import annotations

import json

import pytest

from asgi_tunnel_edge.certificates.acme.messages import (
    Authorization,
    Challenge,
    Directory,
    Order,
    Problem,
    RenewalInfo,
    read,
)
from asgi_tunnel_edge.errors import AcmeError

DIRECTORY = {
    "newNonce": "https://ca.test/n",
    "newAccount": "https://ca.test/a",
    "newOrder": "https://ca.test/o",
    "revokeCert": "https://ca.test/r",
    "renewalInfo": "https://ca.test/i",
    "keyChange": "https://ca.test/k",
    "meta": {
        "termsOfService": "https://ca.test/terms",
        "caaIdentities": ["ca.test"],
        "externalAccountRequired": True,
        "profiles": {"classic": "https://ca.test/profiles#classic"},
        "website": "https://ca.test",
    },
    "Zyx": "https://ca.test/why-there-are-keys-nobody-knows",
}

TOO_MANY = json.dumps(["ca.test"] * 11).encode()


def test_directory() -> None:
    """What is known is read, what is not is passed over."""
    found = read(json.dumps(DIRECTORY).encode(), Directory)
    assert found.renewal_info == "https://ca.test/i"
    assert found.meta.external_account_required
    assert list(found.meta.profiles) == ["classic"]


def test_renewal_info() -> None:
    """RFC 9773 section 4.2, as it stands there."""
    text = b"""{"suggestedWindow": {"start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z"},
      "explanationURL": "https://ca.test/docs/ari"}"""
    found = read(text, RenewalInfo)
    assert found.suggested_window.end == "2025-01-03T04:00:00Z"
    assert found.explanation_url == "https://ca.test/docs/ari"


def test_persistent_challenge() -> None:
    """dns-persist-01 has names of the CA and no token."""
    text = b'{"type":"dns-persist-01","url":"https://ca.test/c","issuer-domain-names":["ca.test"]}'
    assert read(text, Challenge).issuer_domain_names == ["ca.test"]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", Order),
        (b"<html>", Directory),
        (b"\xff", Problem),
        (b"[" * 100_000, Problem),
        (b'{"subproblems":[' * 50_000, Problem),
        (json.dumps({**DIRECTORY, "newOrder": 3}).encode(), Directory),
        (b'{"status":"pending","authorizations":[' + b'"https://a",' * 200 + b'"b"]}', Order),
        (b'{"status":"' + b"x" * 1000 + b'","authorizations":[],"finalize":"https://a"}', Order),
        (b'{"type":"http-01","url":"https://a","token":"../../etc/passwd"}', Challenge),
        (b'{"type":"http-01","url":"https://a","token":"abc\\n"}', Challenge),
        (b'{"type":"http-01","url":"https://a","token":"' + b"a" * 600 + b'"}', Challenge),
        (b'{"type":"x","url":"https://a","issuer-domain-names":%s}' % TOO_MANY, Challenge),
        (b'{"status":"valid","identifier":{"type":"dns"},"challenges":[]}', Authorization),
    ],
)
def test_refused(body: bytes, what: type[Order]) -> None:
    """A reply that is something else, too deep or too long is one sentence, never a traceback."""
    with pytest.raises(AcmeError, match="look whether the URL of the directory is right"):
        read(body, what)
