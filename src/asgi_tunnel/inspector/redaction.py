"""Says what is a secret, by its name, and takes secrets out of fields, queries and texts.

Used while an exchange is recorded, so that a secret is in no buffer that anybody reads; bodies are
:mod:`.body`'s. A name decides, for nobody knows a secret by its looks; values that were found by
their names in one exchange are taken out of everything else in it, such as a traceback.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote_plus

from .json_text import redact_json

__all__ = ["REDACTED", "Redaction", "Scrubber"]

REDACTED: Final = "[redacted]"
"""What stands in the place of a secret."""

SECRET_FIELDS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "authentication-info",
        "proxy-authentication-info",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-amz-security-token",
        "asgi-tunnel-token",
        "asgi-tunnel-token-id",
        "asgi-tunnel-token-secret",
    }
)
"""Names of fields whose values are never kept."""

SECRET_PARTS: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "sessionid",
    "sessionkey",
    "csrf",
    "xsrf",
)
"""A name with one of these in it is a secret's, however it is written: ``accessToken``,
``new_password``, ``user[password]``."""

SECRET_KEYS: Final = frozenset(
    {
        "assertion",
        "auth",
        "code",
        "codeverifier",
        "cookie",
        "cvc",
        "cvv",
        "jwt",
        "key",
        "nonce",
        "otp",
        "pass",
        "passcode",
        "pin",
        "pwd",
        "session",
        "sid",
        "sig",
        "signature",
        "state",
        "ticket",
        "totp",
        "xamzsignature",
        "xgoogsignature",
    }
)
"""Names of keys that are secrets' as a whole, without ``_``, ``-`` and the like."""

KEPT_JUDGEMENTS: Final = 1024
"""Names whose judgement is remembered: visitors may make up as many as they like."""

MAX_SEEN: Final = 64
"""Secret values of one exchange that are looked for in the rest of it; one that a URL would spell
in another way counts twice."""

MIN_SEEN: Final = 6
"""Characters of such a value: shorter ones are in many words."""

MIN_COOKIE: Final = 10
"""The same of a cookie's value: many are words, such as a language's name."""

MAX_SEEN_SIZE: Final = 4096
"""Characters of such a value: as long as a browser's cookies. It is held while the app runs."""

MAX_PARAMETERS: Final = 1000
"""Parameters of a query, or of a form, that are searched and kept; the rest is not."""

MAX_NESTED: Final = 3
"""Addresses within queries of addresses that are looked into."""

_MARKS: Final = re.compile(r"[^a-z0-9]+")
# Possessive where a value is taken: nothing that follows makes it shorter, or slow.
_USERINFO: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{1,20}://)[^/\s\"'<>?#\\]+@")
_PAIR: Final = re.compile(
    r"((?:^|[?&;#\s(,]|\\u0026)([A-Za-z0-9_.\-\[\]%]{1,256})=)([^&;#\s\"'<>\\,)]++)",
    re.MULTILINE,
)
_QUOTED: Final = re.compile(
    r"((?<![A-Za-z0-9_.\-])(['\"]?)([A-Za-z0-9_.\-]{1,256})\2\s{0,4}[:=]\s{0,4}[bru]{0,2})"
    r"(?:(['\"])((?:(?!\4)[^\\\n]|\\.)*+)|([0-9][0-9.]*+))"
)
_ELEMENT: Final = re.compile(
    r"(<(?:[A-Za-z0-9_]{1,64}:)?([A-Za-z0-9_.\-]{1,64})(?:\s[^<>]{0,512})?>)([^<]++)"
)
_SCHEME: Final = re.compile(
    r"\b(Bearer|Basic|Digest)( {1,8})[A-Za-z0-9._~+/=,\"\-]{6,}", re.IGNORECASE
)
_JWT: Final = re.compile(
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{6,}+\.[A-Za-z0-9_-]{4,}+(?:\.[A-Za-z0-9_-]*+)?"
)
_COOKIES: Final = frozenset({"cookie", "set-cookie"})
_LONG_SUBPROTOCOL: Final = 40  # characters; some programs send their token as one


class Redaction:
    """Judges names.

    Args:
        fields: Names of fields that are secret too.
        keys: Names of keys that are secret too.
        shown: Names of keys that are not.
    """

    def __init__(
        self,
        fields: Iterable[str] = (),
        keys: Iterable[str] = (),
        shown: Iterable[str] = (),
    ) -> None:
        self._fields = SECRET_FIELDS | {one.lower() for one in fields}
        self._shown = frozenset(_plain(one) for one in shown)
        self._keys = (SECRET_KEYS | {_plain(one) for one in keys}) - self._shown
        self.is_secret_field = functools.lru_cache(KEPT_JUDGEMENTS)(self._judge_field)
        self.is_secret_key = functools.lru_cache(KEPT_JUDGEMENTS)(self._judge_key)

    def _judge_field(self, name: str) -> bool:
        if name in self._fields:
            return True
        plain = _plain(name)
        return plain not in self._shown and _has_part(plain)

    def _judge_key(self, name: str) -> bool:
        plain = _plain(name)
        if plain in self._shown:
            return False
        # Of `user[code]` and `login.code` the last part is the name.
        return plain in self._keys or _has_part(plain) or self._last_of(name) in self._keys

    def _last_of(self, name: str) -> str:
        parts = re.split(r"[\[\].:]", name)
        return _plain(next((one for one in reversed(parts) if one), ""))


class Scrubber:
    """Takes the secrets out of one exchange, and remembers them while it is recorded.

    Args:
        redaction: Judges names.
    """

    __slots__ = ("_judge", "_seen")

    def __init__(self, redaction: Redaction) -> None:
        self._judge = redaction
        self._seen: list[str] = []

    def fields(self, fields: Iterable[tuple[bytes, bytes]]) -> list[list[str]]:
        """Return the fields of a head as pairs of texts; lines that are no fields are left out."""
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
        # All secrets first, for one may be repeated in a field before it; cookies last of them, for
        # there may be many.
        secret = [one for one in pairs if self._judge.is_secret_field(one[0])]
        for name, value in sorted(secret, key=lambda one: one[0] in _COOKIES):
            self._see_field(name, value)
        return [
            [name, self._value(name, value)] for name, value in pairs if not name.startswith(":")
        ]

    def _value(self, name: str, value: str) -> str:
        """Return what is shown of a field."""
        if self._judge.is_secret_field(name):
            return REDACTED
        if name == "sec-websocket-protocol":
            return ", ".join(self._subprotocol(one.strip()) for one in value.split(","))
        return self.text(value)

    def target(self, target: bytes) -> str:
        """Return the target of a request with the secret values of its query taken out."""
        path, mark, query = as_text(target).partition("?")
        path = self.text(path)
        return path + mark + self.query(query) if mark else path

    def query(self, query: str, depth: int = 0) -> str:
        """Return a query, or a form, with its secret values taken out."""
        pairs = query.split("&", MAX_PARAMETERS)
        rest = [REDACTED] if len(pairs) > MAX_PARAMETERS else []
        shown = [self._parameter(one, depth) for one in pairs[:MAX_PARAMETERS]]
        return "&".join(shown + rest)

    def json(self, text: str) -> str:
        """Return JSON with the values of secret keys taken out; also where its end is missing."""
        shown = redact_json(text, self._judge.is_secret_key, self._see)
        # Its own keys are done; the rest is what Python prints, and a third of the time.
        return self.text(shown, has_keys="'" in shown)

    def text(self, text: str, *, has_keys: bool = True) -> str:
        """Return any text without what looks like a secret, or was seen as one.

        Args:
            text: Of any kind.
            has_keys: Whether there may be names with values in quotes.
        """
        if "=" in text:
            text = _PAIR.sub(self._pair, text)
        if has_keys and ("=" in text or ":" in text):
            text = _QUOTED.sub(self._quoted, text)
        if "</" in text:
            text = _ELEMENT.sub(self._element, text)
        if "://" in text:
            text = _USERINFO.sub(rf"\1{REDACTED}@", text)
        if " " in text:
            text = _SCHEME.sub(rf"\1\2{REDACTED}", text)
        if "eyJ" in text:
            text = _JWT.sub(REDACTED, text)
        for one in self._seen:
            if one in text:
                text = text.replace(one, REDACTED)
        return text

    def is_secret_key(self, name: str) -> bool:
        """Whether a part of a form is secret; see :class:`Redaction`."""
        return self._judge.is_secret_key(name)

    def see(self, value: str) -> None:
        """Remember a secret value."""
        self._see(value)

    def forget(self) -> None:
        """The exchange is over: keep no secret."""
        self._seen.clear()

    def _parameter(self, pair: str, depth: int) -> str:
        raw_name, mark, raw_value = pair.partition("=")
        if not mark:
            return self.text(pair)
        value = unquote_plus(raw_value)
        if self._judge.is_secret_key(unquote_plus(raw_name)):
            self._see(value)
            return f"{raw_name}={REDACTED}"
        kept = self.text(raw_value)
        value = unquote_plus(kept)
        if value.startswith(("{", "[")):  # a form's field may be a document
            shown = self.json(value)
            return f"{raw_name}={kept if shown == value else quote(shown, errors='replace')}"
        if depth < MAX_NESTED and ("=" in value or "://" in value):
            head, question, query = value.rpartition("?")
            shown = self.text(head) + question + self.query(query, depth + 1)
            if shown != value:
                kept = quote(shown, safe="/:?[]", errors="replace")
        return f"{raw_name}={kept}"

    def _pair(self, match: re.Match[str]) -> str:
        if not self._judge.is_secret_key(unquote_plus(match[2])):
            return match[0]
        self._see(match[3])
        return match[1] + REDACTED

    def _quoted(self, match: re.Match[str]) -> str:
        if not self._judge.is_secret_key(match[3]):
            return match[0]
        if match[6] is not None:
            return match[0] if match[3].lower().endswith("tokens") else match[1] + REDACTED
        self._see(match[5])
        return match[1] + match[4] + REDACTED

    def _element(self, match: re.Match[str]) -> str:
        # As strict as for fields: `<code>` is in many pages.
        if not match[3].strip() or not self._judge.is_secret_field(match[2].lower()):
            return match[0]
        self._see(match[3])
        return match[1] + REDACTED

    def _subprotocol(self, name: str) -> str:
        if len(name) > _LONG_SUBPROTOCOL or "bearer" in name.lower():
            self._see(name)
            return REDACTED
        return name

    def _see_field(self, name: str, value: str) -> None:
        if name == "set-cookie":
            self._see(value.partition(";")[0].partition("=")[2], MIN_COOKIE)
        elif name == "cookie":
            for one in value.split(";"):
                self._see(one.partition("=")[2], MIN_COOKIE)
        else:
            scheme, space, rest = value.partition(" ")
            self._see(rest if space else value)
            if scheme.lower() == "basic":
                self._see_basic(rest)

    def _see_basic(self, value: str) -> None:
        try:
            text = base64.b64decode(value, validate=True).decode("latin-1")
        except (binascii.Error, ValueError):
            return
        self._see(text.partition(":")[2])

    def _see(self, value: str, least: int = MIN_SEEN) -> None:
        value = value.strip().strip('"')
        if not least <= len(value) <= MAX_SEEN_SIZE or value == REDACTED:
            return
        for one in (value, quote(value, safe="", errors="replace")):
            if one not in self._seen and len(self._seen) < MAX_SEEN:
                self._seen.append(one)


def as_text(target: bytes) -> str:
    """Return a target as text: bytes that are no ASCII are written with ``%``."""
    if target.isascii():
        return target.decode("ascii")
    return "".join(chr(one) if one < 128 else f"%{one:02X}" for one in target)


def _plain(name: str) -> str:
    return _MARKS.sub("", name.lower())


def _has_part(plain: str) -> bool:
    return any(part in plain for part in SECRET_PARTS)
