"""Signs a webhook anew, so that an app that checks signatures takes an edited or an old one.

A sender signs the body, often with a time that the app compares with its clock. Which scheme it is
shows in the fields: GitHub, Stripe, and Standard Webhooks, which Svix and many others use.

Sources: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
https://docs.stripe.com/webhooks#verify-manually
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from .recorded import Fields, value_of
from .reply import RefusedError

__all__ = ["is_signed", "sign_again"]

MAX_SECRET: Final = 1024
"""Bytes of a secret; those of the three schemes have up to a hundred."""

_PREFIX: Final = "whsec_"
_GITHUB: Final = "x-hub-signature-256"
_GITHUB_OLD: Final = "x-hub-signature"
_STRIPE: Final = "stripe-signature"
_STANDARD: Final = ("webhook", "svix")  # before -id, -timestamp and -signature


def is_signed(fields: Fields) -> bool:
    """Whether a request has a signature of a scheme that is known here."""
    return _scheme_of(fields) is not None


def sign_again(fields: Fields, body: bytes, *, secret: str, now: int) -> Fields:
    """Return the fields with signatures of this body, and of this time where the scheme has one.

    Args:
        fields: As they were sent; they say which scheme it is. The id of a message stays.
        body: Byte for byte.
        secret: As the sender shows it: ``whsec_...`` for Stripe and Standard Webhooks.
        now: Seconds since 1970.

    Raises:
        RefusedError: No scheme is known that has these fields, or the secret has another form.
    """
    if not 0 < len(secret.encode()) <= MAX_SECRET:
        raise RefusedError(400, f"the secret to sign with has to have 1 to {MAX_SECRET} bytes")
    sign = _scheme_of(fields)
    if sign is None:
        raise RefusedError(
            409,
            f"this request has no signature to make anew: none of {_GITHUB}, {_STRIPE}, "
            "webhook-signature and svix-signature is among its fields",
        )
    return _replaced(fields, sign(_Signer(fields, body, secret, now)))


_Signed = dict[str, str]


class _Signer:
    """Makes the signatures of one request; see :func:`sign_again`."""

    def __init__(self, fields: Fields, body: bytes, secret: str, now: int) -> None:
        self._fields = fields
        self._body = body
        self._secret = secret
        self._now = now

    def github(self) -> _Signed:
        """Of the body alone, for the fields that are there."""
        key = self._secret.encode()
        signed = {
            _GITHUB: "sha256=" + hmac.new(key, self._body, hashlib.sha256).hexdigest(),
            _GITHUB_OLD: "sha1=" + hmac.new(key, self._body, hashlib.sha1).hexdigest(),
        }
        there = {name.lower() for name, _ in self._fields}
        return {name: value for name, value in signed.items() if name in there}

    def stripe(self) -> _Signed:
        """Of the time and the body; the secret's prefix is part of it."""
        content = b"%d." % self._now + self._body
        signature = hmac.new(self._secret.encode(), content, hashlib.sha256).hexdigest()
        return {_STRIPE: f"t={self._now},v1={signature}"}

    def standard(self) -> _Signed:
        """Of the message's id, the time and the body."""
        fields = self._fields
        prefix = next(one for one in _STANDARD if value_of(fields, f"{one}-signature") is not None)
        message = value_of(fields, f"{prefix}-id") or ""
        try:
            key = base64.b64decode(self._secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            why = "the secret of this scheme is Base64, with whsec_ before it"
            raise RefusedError(400, f"{why}; copy it from the sender's page") from None
        content = f"{message}.{self._now}.".encode() + self._body
        signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        return {f"{prefix}-timestamp": str(self._now), f"{prefix}-signature": f"v1,{signature}"}


def _scheme_of(fields: Fields) -> Callable[[_Signer], _Signed] | None:
    names = {name.lower() for name, _ in fields}
    if _GITHUB in names or _GITHUB_OLD in names:
        return _Signer.github
    if _STRIPE in names:
        return _Signer.stripe
    return _Signer.standard if any(f"{one}-signature" in names for one in _STANDARD) else None


def _replaced(fields: Fields, signed: _Signed) -> Fields:
    """Return the fields with some values replaced, each where it stood, and once."""
    found, left = [], dict(signed)
    for name, value in fields:
        if name.lower() not in signed:
            found.append((name, value))
        elif name.lower() in left:
            found.append((name, left.pop(name.lower())))
    return [*found, *left.items()]
