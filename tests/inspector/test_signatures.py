from __future__ import annotations

import subprocess

import pytest

from asgi_tunnel.inspector.reply import RefusedError
from asgi_tunnel.inspector.signatures import is_signed, sign_again

# From the pages that `signatures` names; made with openssl, too:
# `printf ... | openssl dgst -sha256 -hmac ...`.
GITHUB = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
SVIX = "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
STANDARD = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
STRIPE = "10b0a2815816a45e6b874658b928cae03296be10637343405aaf1e8306ddffdc"


def openssl(digest: str, key: bytes, content: bytes) -> bytes:
    """An HMAC of somebody else's making."""
    key_option = ["-macopt", f"hexkey:{key.hex()}"]
    command = ["openssl", "dgst", f"-{digest}", "-mac", "HMAC", *key_option, "-binary"]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


def test_github() -> None:
    """The signature that GitHub's page gives as its example."""
    fields = [("X-Hub-Signature-256", "sha256=old"), ("x-github-event", "push")]
    signed = sign_again(fields, b"Hello, World!", secret="It's a Secret to Everybody", now=0)
    assert signed == [("X-Hub-Signature-256", GITHUB), ("x-github-event", "push")]


def test_github_with_both() -> None:
    """Old receivers look at the SHA-1 one; it is made anew where there was one."""
    fields = [("x-hub-signature", "sha1=old"), ("x-hub-signature-256", "sha256=old")]
    body = bytes(range(256))
    one, two = sign_again(fields, body, secret="s", now=0)
    assert one == ("x-hub-signature", "sha1=" + openssl("sha1", b"s", body).hex())
    assert two == ("x-hub-signature-256", "sha256=" + openssl("sha256", b"s", body).hex())


def test_stripe() -> None:
    """The time is signed with the body, and the secret is taken as it is, prefix included."""
    fields = [("stripe-signature", "t=1,v1=a,v0=b")]
    signed = sign_again(fields, b'{"id": "evt_1"}', secret="whsec_test_secret", now=1_492_774_577)
    assert signed == [("stripe-signature", f"t=1492774577,v1={STRIPE}")]


@pytest.mark.parametrize(
    ("prefix", "secret", "name", "now", "body", "expected"),
    [
        (
            "svix",
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            1_731_705_121,
            b'{"event_type":"ping","data":{"success":true}}',
            SVIX,
        ),
        (
            "webhook",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            b'{"test": 2432232314}',
            STANDARD,
        ),
    ],
)
def test_standard_webhooks(
    prefix: str, secret: str, name: str, now: int, body: bytes, expected: str
) -> None:
    """Id, time and body are signed; the id stays, with which a receiver knows what it has had."""
    fields = [
        (f"{prefix}-id", name),
        (f"{prefix}-timestamp", "1"),
        (f"{prefix}-signature", "v1,old v1a,older"),
    ]
    assert sign_again(fields, body, secret=secret, now=now) == [
        (f"{prefix}-id", name),
        (f"{prefix}-timestamp", str(now)),
        (f"{prefix}-signature", expected),
    ]


@pytest.mark.parametrize(
    ("fields", "secret", "sentence"),
    [
        ([("x-signature", "a")], "s", "this request has no signature to make anew: none of"),
        ([("stripe-signature", "a")], "", "the secret to sign with has to have 1 to 1024 bytes"),
        ([("stripe-signature", "a")], "s" * 1025, "has to have 1 to 1024 bytes"),
        ([("webhook-signature", "a")], "whsec_!", "the secret of this scheme is Base64"),
    ],
)
def test_refusals(fields: list[tuple[str, str]], secret: str, sentence: str) -> None:
    """A sentence, and the secret is not in it."""
    with pytest.raises(RefusedError) as refused:
        sign_again(fields, b"", secret=secret, now=0)
    assert sentence in str(refused.value)
    assert len(secret) < 2 or secret not in str(refused.value)


def test_is_signed() -> None:
    """By the fields alone."""
    assert is_signed([("Svix-Signature", "a")])
    assert not is_signed([("authorization", "a")])
