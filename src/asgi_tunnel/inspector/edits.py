"""What a person changes of a recorded request before it is sent to the app again."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from .recorded import Fields
from .reply import RefusedError

__all__ = ["MAX_FIELDS", "MAX_PATH", "Edits"]

MAX_FIELDS: Final = 500
"""Fields of a request; an edge takes 64 KiB of them."""

MAX_PATH: Final = 64 * 1024
"""Characters of a target: those of the largest head that an edge takes."""

MAX_VALUE: Final = 64 * 1024
"""Characters of one field's value, for the same reason."""

_KEYS: Final = frozenset({"method", "path", "fields", "values", "body", "resign"})
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")  # RFC 9110 section 5.6.2
_LINE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 section 5.5
_TARGET: Final = re.compile(r"/[\x21-\x7e]*|\*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """The changes; what is None stays as it was recorded.

    Attributes:
        method: In capitals, as a rule.
        path: With the query.
        fields: All fields of the request.
        values: Values of single fields, which replace those of their names: above all for what was
            not recorded.
        body: The whole body.
        secret: Signs the webhook anew, once; it is in no representation.
    """

    method: str | None = None
    path: str | None = None
    fields: Fields | None = None
    values: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    secret: str | None = field(default=None, repr=False)

    @property
    def is_none(self) -> bool:
        """Whether nothing changes."""
        return self == Edits()

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Return the edits of a request's body.

        Args:
            document: ``{"method"?, "path"?, "fields"?: [[name, value]], "values"?: {name: value},
                "body"?: {"text"} or {"base64"}, "resign"?: {"secret"}}``.

        Raises:
            RefusedError: A value has another form; the sentence names it.
        """
        given = _object(document, "the body", _KEYS)
        method = given.get("method")
        if method is not None:
            method = _match(_TOKEN, method, "method", "the name of a method")
        path = given.get("path")
        if path is not None:
            path = _match(
                _TARGET, path, "path", "a path that begins with / and is quoted", MAX_PATH
            )
        fields = given.get("fields")
        secret = given.get("resign")
        body = given.get("body")
        return cls(
            method=method,
            path=path,
            fields=None if fields is None else _fields(fields),
            values=dict(_fields(list(_object(given.get("values") or {}, "values").items()))),
            body=None if body is None else _body(body),
            secret=None if secret is None else _secret(secret),
        )


def _fields(given: Any) -> Fields:
    if not isinstance(given, list) or len(given) > MAX_FIELDS:
        raise RefusedError(400, f"fields is no list of up to {MAX_FIELDS} pairs")
    found = []
    for one in given:
        if not isinstance(one, list | tuple) or len(one) != 2:
            raise RefusedError(400, "fields has something that is no pair of name and value")
        name = _match(_TOKEN, one[0], "fields", "the name of a field")
        value = _match(_LINE, one[1], f"the field {name}", "a line of latin-1", MAX_VALUE)
        found.append((name.lower(), value.strip(" \t")))
    return found


def _body(given: Any) -> bytes:
    values = _object(given, "body", frozenset({"text", "base64"}))
    if len(values) != 1 or not all(isinstance(one, str) for one in values.values()):
        raise RefusedError(400, 'body is neither {"text": ...} nor {"base64": ...}')
    try:
        if "text" in values:
            return str(values["text"]).encode()
        return base64.b64decode(values["base64"], validate=True)
    except (binascii.Error, ValueError):  # of UTF-8, too
        raise RefusedError(400, "body holds no Base64, or no text") from None


def _secret(given: Any) -> str:
    secret = _object(given, "resign", frozenset({"secret"})).get("secret")
    if not isinstance(secret, str) or not secret.isprintable():
        raise RefusedError(400, 'resign is not {"secret": ...} with a text')
    return secret


def _object(given: Any, name: str, known: frozenset[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise RefusedError(400, f"{name} is no JSON object")
    unknown = sorted(given.keys() - known) if known is not None else []
    if unknown:
        names = ", ".join(sorted(known or ()))
        raise RefusedError(400, f"{name} has {unknown[0][:40]!r}; what it may have is {names}")
    return given


def _match(form: re.Pattern[str], given: Any, name: str, what: str, most: int = 256) -> str:
    if not isinstance(given, str) or len(given) > most or not form.fullmatch(given):
        raise RefusedError(400, f"{name} is not {what} of up to {most} characters")
    return given
