"""The body that a webhook gets, and its signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from asgi_tunnel_edge.alerts.message import Alert, encode_alerts, signed_fields

DOWN = Alert(
    event="tunnel_down",
    state="firing",
    subject="shop",
    since=1_795_421_647.9,
    message="no app is connected with the token shop",
)


def test_body() -> None:
    """What the page says."""
    body = encode_alerts([DOWN], edge="example.org", now=1_795_421_707, left_out=2)
    assert json.loads(body) == {
        "type": "alerts",
        "edge": "example.org",
        "time": "2026-11-23T08:15:07Z",
        "text": "example.org: no app is connected with the token shop",
        "alerts": [
            {
                "event": "tunnel_down",
                "state": "firing",
                "subject": "shop",
                "since": "2026-11-23T08:14:07Z",
                "message": "no app is connected with the token shop",
            }
        ],
        "left_out": 2,
    }


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None),
        ("a secret", b"a secret"),
        ("whsec_no base64", b"whsec_no base64"),
    ],
)
def test_signature(secret: str, key: bytes | None) -> None:
    """That of Standard Webhooks, over id, time and body."""
    if key is None:
        key = base64.b64decode(secret.removeprefix("whsec_"))
    fields = signed_fields(b'{"a":1}', identifier="msg_1", now=1_614_265_330.4, secret=secret)
    digest = hmac.new(key, b'msg_1.1614265330.{"a":1}', hashlib.sha256).digest()
    assert fields == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def test_a_known_signature() -> None:
    """The example of the specification's own libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    fields = signed_fields(
        b'{"test": 2432232314}',
        identifier="msg_p5jXN8AQM9LWM0D4loKWxJek",
        now=1_614_265_330,
        secret=secret,
    )
    assert fields["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_without_a_secret() -> None:
    """No signature; who it is, is still said."""
    assert set(signed_fields(b"", identifier="i", now=0, secret="")) == {
        "webhook-id",
        "webhook-timestamp",
    }
