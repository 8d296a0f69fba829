"""The text of a token: what an operator pastes into ``ASGI_TUNNEL_TOKEN``.

``att1.<base64url of a JSON object>.<secret>``; the object holds ``edge`` (the URL to dial), ``id``
and, for an edge with a certificate of its own making, ``pin``. Keys this version does not know are
ignored. The edge keeps only the sha256 of the secret.

It leaves to others where the text comes from (``config``), how a pin is checked (``dial``) and
whether a token is valid (the edge). Both distributions use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .errors import ConfigError
from .protocol.text import is_pin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn, Self

__all__ = ["MAX_TOKEN_LENGTH", "Token", "is_edge_url"]

#: Characters. A token has about 200; it travels in one header field, and fields are bounded.
MAX_TOKEN_LENGTH: Final = 4096

_PREFIX: Final = "att1"
_SETTING: Final = "ASGI_TUNNEL_TOKEN"
_PASTE: Final = "paste the whole token that `asgi-tunnel-edge token create` printed"
_CREATE: Final = "create a new token with `asgi-tunnel-edge token create`"
_URL_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token, taken apart. Its ``repr`` hides the secret."""

    edge: str  #: where to dial: ``wss://host[:port]``, or ``ws://`` without TLS
    id: str  #: the token's public name, fit for logs: ``tok_...``
    secret: str  #: url-safe characters; never logged
    pin: str | None = None  #: ``sha256:<hex>`` of the edge's DER certificate, or the system's CAs

    @classmethod
    def parse(cls, text: str, *, setting: str = _SETTING) -> Self:
        """Read a token.

        Args:
            text: The token alone; a file's last newline has to be taken off before.
            setting: Where the text comes from, for the error's sentence.

        Raises:
            ConfigError: The text is no token. The sentence never repeats any of it.
        """
        encoded, secret = _split(text, setting)
        fields = _decode(encoded, setting)
        edge = _edge(fields.get("edge"), setting)
        pin = _pin(fields.get("pin"), edge, setting)
        token_id = fields.get("id")
        if not isinstance(token_id, str) or not token_id:
            _refuse(setting, "does not name its id", _CREATE)
        if len(token_id) > 64 or not _URL_SAFE.issuperset(token_id):
            _refuse(setting, "has an id that is not 1 to 64 of A-Z a-z 0-9 - _", _CREATE)
        return cls(edge=edge, id=token_id, secret=secret, pin=pin)

    def format(self) -> str:
        """Build the text again: the only place where the secret comes out."""
        import base64
        import json

        fields = {"edge": self.edge, "id": self.id}
        if self.pin is not None:
            fields["pin"] = self.pin
        encoded = base64.urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode())
        return f"{_PREFIX}.{encoded.decode().rstrip('=')}.{self.secret}"

    def __repr__(self) -> str:
        return f"Token(edge={self.edge!r}, id={self.id!r}, secret='***', pin={self.pin!r})"


def _refuse(setting: str, why: str, fix: str) -> NoReturn:
    # `from None`: the causes (JSON, base64) quote what they read, and a traceback is a log.
    raise ConfigError(setting, why, fix) from None


def _split(text: str, setting: str) -> tuple[str, str]:
    """Check the outer form; the encoded object and the secret."""
    if not text:
        _refuse(setting, "is empty", _PASTE)
    if not text.strip():
        _refuse(setting, "holds only white space", _PASTE)
    if text != text.strip():
        _refuse(setting, "has white space around the token", "remove it")
    if text[0] in "'\"`" or text[-1] in "'\"`":
        _refuse(setting, "has quotes around the token", "remove them")
    if any(character.isspace() for character in text):
        _refuse(setting, "has white space or a line break inside", f"{_PASTE}, on one line")
    if len(text) > MAX_TOKEN_LENGTH:
        _refuse(setting, f"is longer than {MAX_TOKEN_LENGTH} characters", _PASTE)
    parts = text.split(".")
    if parts[0] != _PREFIX:
        _refuse(setting, f"does not begin with {_PREFIX}.", _PASTE)
    if len(parts) != 3:
        why = f"has {len(parts)} {'part' if len(parts) == 1 else 'parts'} between dots, not 3"
        _refuse(setting, why, _PASTE)
    _, encoded, secret = parts
    if not encoded or not secret:
        _refuse(setting, f"has an empty {'second' if not encoded else 'third'} part", _PASTE)
    if not _URL_SAFE.issuperset(secret):
        _refuse(setting, "has a third part with characters other than A-Z a-z 0-9 - _", _PASTE)
    return encoded, secret


def _decode(encoded: str, setting: str) -> Mapping[str, object]:
    """Read the JSON object of the second part."""
    import base64
    import json

    if not _URL_SAFE.issuperset(encoded) or len(encoded) % 4 == 1:
        _refuse(setting, "has a second part that is not base64url", _PASTE)
    data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        _refuse(setting, "has a second part that is not a JSON object", _PASTE)
    return fields


def _edge(value: object, setting: str) -> str:
    """Check the URL to dial: a scheme, a host, perhaps a port, and nothing else."""
    if not isinstance(value, str) or not value:
        _refuse(setting, "does not name its edge", _CREATE)
    if not value.startswith(("wss://", "ws://")):
        _refuse(setting, "names an edge whose URL is neither wss:// nor ws://", _CREATE)
    if not is_edge_url(value):
        _refuse(setting, "names an edge whose URL is not wss://HOST or wss://HOST:PORT", _CREATE)
    return value.removesuffix("/")


def is_edge_url(text: str) -> bool:
    """Whether a text is ``wss://HOST[:PORT]`` or ``ws://HOST[:PORT]``, and nothing else."""
    from urllib.parse import urlsplit

    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        return False
    printable = text.isascii() and text.isprintable() and " " not in text
    bare = text.removesuffix("/") == f"{url.scheme}://{url.netloc}"
    named = url.scheme in ("wss", "ws") and bool(host) and port != 0 and "@" not in url.netloc
    return printable and bare and named


def _pin(value: object, edge: str, setting: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not is_pin(value):
        _refuse(setting, "has a pin that is not sha256: and 64 lower-case hex digits", _CREATE)
    if not edge.startswith("wss://"):
        # Ignoring it would quietly drop the protection that somebody asked for.
        _refuse(setting, "has a pin although its edge is not wss://", _CREATE)
    return value
