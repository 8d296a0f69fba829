"""What a webhook is told: one JSON document for the alerts of one moment, and its signature.

The form is documented (docs/howto/alerts.md); the signature is that of Standard Webhooks
(https://www.standardwebhooks.com), for which there are libraries in many languages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

__all__ = ["Alert", "encode_alerts", "signed_fields"]

_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something is wrong, or is no longer."""

    event: str  #: one of ``settings.alerts.ALL_EVENTS``, or ``test``
    state: Literal["firing", "resolved"]
    subject: str  #: whose: the name of a token, the names of a certificate; empty: the edge's
    since: float  #: seconds since 1970: when it began to be wrong
    message: str  #: one sentence for a person


def encode_alerts(alerts: Sequence[Alert], *, edge: str, now: float, left_out: int = 0) -> bytes:
    """Return the body of a request.

    Args:
        alerts: In their order, one at least.
        edge: The edge's domain.
        now: Seconds since 1970.
        left_out: Alerts before these for which there was no room.
    """
    return json.dumps(
        {
            "type": "alerts",
            "edge": edge,
            "time": _time(now),
            "text": "\n".join(_line(one, edge) for one in alerts),
            "alerts": [
                {
                    "event": one.event,
                    "state": one.state,
                    "subject": one.subject,
                    "since": _time(one.since),
                    "message": one.message,
                }
                for one in alerts
            ],
            "left_out": left_out,
        }
    ).encode()


def signed_fields(body: bytes, *, identifier: str, now: float, secret: str) -> dict[str, str]:
    """Return the fields by which a receiver knows a request, and sees that it is ours.

    Args:
        body: Of the request.
        identifier: The same each time that the request is tried.
        now: Seconds since 1970.
        secret: ``whsec_`` and base64, or any other text, which is taken as it is; empty: no
            signature.
    """
    fields = {"webhook-id": identifier, "webhook-timestamp": str(int(now))}
    if secret:
        signed = f"{identifier}.{int(now)}.".encode() + body
        digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
        fields["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return fields


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except ValueError:
            pass  # a text that only looks like it
    return secret.encode()


def _line(alert: Alert, edge: str) -> str:
    mark = "" if alert.state == "firing" else "resolved: "
    return f"{edge}: {mark}{alert.message}"


def _time(when: float) -> str:
    return datetime.fromtimestamp(int(when), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
