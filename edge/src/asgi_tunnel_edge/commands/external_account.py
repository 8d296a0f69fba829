"""The options of ``init`` for a CA that takes its customers only (RFC 8555 section 7.3.4)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from asgi_tunnel_edge.certificates.acme import ExternalAccount
from asgi_tunnel_edge.certificates.acme.records import ExternalAccountRecord
from asgi_tunnel_edge.errors import AcmeError, EdgeConfigError

__all__ = ["HMAC_KEY_VARIABLE", "read_external_account"]

HMAC_KEY_VARIABLE: Final = "ASGI_TUNNEL_EDGE_EAB_HMAC_KEY"

MAX_KEY_ID: Final = 1024
"""Characters: what its column holds."""

MAX_KEY_FILE: Final = 4096
"""Bytes: a key has some hundred, and a larger file is another one."""

_FIX: Final = (
    f"put the key that the CA shows into a file, or into {HMAC_KEY_VARIABLE}, or give - and write "
    "it to standard input; one that was typed here is in the shell's history: get another one"
)


def read_external_account(
    key_id: str | None, source: str | None, value: str | None
) -> ExternalAccountRecord | None:
    """Return what the CA gave, from the options; None where none is given.

    Args:
        key_id: Names the account.
        source: A file, or ``-`` for standard input.
        value: The key, from the environment.

    Raises:
        EdgeConfigError: One of the two is missing, or the key is none. No sentence repeats it, nor
            the name of its file, which may be the key by mistake.
    """
    if key_id is None and source is None:
        return None  # a variable alone may be meant for another edge
    if key_id is None:
        why = "is given, and --eab-key-id is not"
        raise EdgeConfigError("--eab-hmac-key", why, "give both: the CA shows them together")
    if not key_id.isprintable() or not 1 <= len(key_id) <= MAX_KEY_ID:
        why = f"is not 1 to {MAX_KEY_ID} characters that can be printed"
        raise EdgeConfigError("--eab-key-id", why, "copy it from the CA's page")
    if source is not None:
        value = _read(source)
    if not value:
        why = "is missing, and --eab-key-id is given"
        raise EdgeConfigError("--eab-hmac-key", why, _FIX)
    try:
        ExternalAccount(key_id=key_id, mac_key=value.strip()).secret()
    except AcmeError:
        why = "holds something else than an HMAC key in base64url"
        raise EdgeConfigError("--eab-hmac-key", why, "copy it from the CA's page") from None
    return ExternalAccountRecord(key_id=key_id, mac_key=value.strip())


def _read(source: str) -> str:
    try:
        if source == "-":
            return sys.stdin.read(MAX_KEY_FILE)
        with Path(source).open("rb") as file:
            return file.read(MAX_KEY_FILE).decode("utf-8", "replace")
    except OSError as error:
        why = f"names no file that can be read ({error.strerror})"
        raise EdgeConfigError("--eab-hmac-key", why, _FIX) from None
