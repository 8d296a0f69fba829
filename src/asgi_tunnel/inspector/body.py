"""A body as it is kept: its beginning, without the secrets in it.

While it comes in, its beginning is held as it is and shown to nobody; once it is complete, or cut,
secrets are taken out and the rest is forgotten. What cannot be searched is not kept: text in an
unknown encoding, or one that was packed in a way that Python cannot unpack.
"""

from __future__ import annotations

import base64
import codecs
import re
import zlib
from sys import getsizeof
from typing import Any, Final

from .redaction import REDACTED, Scrubber

__all__ = ["Body", "show_bytes"]

_JSON: Final = ("[", "{", '"')
_TEXTUAL: Final = re.compile(
    r"text/|[^;]*(?:json|xml|javascript|ecmascript|x-www-form-urlencoded|graphql|yaml|toml|csv)",
    re.IGNORECASE,
)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9._-]{1,40})", re.IGNORECASE)
_BOUNDARY: Final = re.compile(
    r";\s*boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE
)
_PART_NAME: Final = re.compile(
    rb"(?<![\w*])name\s*=\s*(?:\"([^\"\r\n]*)\"|([^\s;\r\n]+))", re.IGNORECASE
)
_NOTHING: Final = {"text": ""}
_PACKED: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Body:
    """One body.

    Args:
        kind: The ``content-type``; empty: none is known.
        encoding: The ``content-encoding``.
        limit: Bytes that are kept.

    Attributes:
        size: Bytes that have passed.
        held: Bytes that are held, for who counts memory.
        is_cut: More has passed than is held.
    """

    __slots__ = (
        "_encoding",
        "_kept",
        "_kind",
        "_limit",
        "_raw",
        "_shown",
        "held",
        "is_cut",
        "size",
    )

    def __init__(self, kind: str, encoding: str, limit: int) -> None:
        self.size = 0
        self.held = 0
        self.is_cut = False
        self._kind = kind
        self._encoding = encoding.strip().lower()
        self._limit = limit
        self._raw: bytearray | None = bytearray()  # None: its secrets are out
        self._kept = 0
        self._shown = _NOTHING

    def add(self, data: bytes | bytearray | memoryview) -> int:
        """Hold what is within the limit; return the bytes that are held more."""
        self.size += len(data)
        raw = self._raw
        if raw is None:
            return 0
        room = self._limit - len(raw)
        if len(data) > room:
            self.is_cut = True
            data = data[:room]
        raw += data
        self.held += len(data)
        return len(data)

    def finish(self, scrubber: Scrubber) -> int:
        """Take the secrets out, once; return the bytes that are held more, or less."""
        raw, self._raw = self._raw, None
        if raw is None:
            return 0
        before = self.held
        data = self._unpack(bytes(raw))
        if data:
            self._shown = self._clean(data, scrubber)
            self._kept = 0 if self._shown is _NOTHING else len(raw)
        self.held = 0 if self._shown is _NOTHING else sum(map(getsizeof, self._shown.values()))
        return self.held - before

    def to_json(self) -> dict[str, Any]:
        """Return it as the interface has it; nothing of its content before :meth:`finish`."""
        return {"size": self.size, "kept": self._kept, "type": self._kind, **self._shown}

    def _unpack(self, data: bytes) -> bytes:
        """Return what was packed, up to the limit; nothing where it cannot be known."""
        if self._encoding in ("", "identity"):
            return data
        window = _PACKED.get(self._encoding)
        if window is None:
            return b""
        for bits in (window, -15):  # `deflate` without its envelope, as some servers send it
            try:
                found = zlib.decompressobj(bits).decompress(data, max(self._limit, 1))
            except zlib.error:
                continue
            self.is_cut = self.is_cut or len(found) >= self._limit
            return found
        return b""

    def _clean(self, data: bytes, scrubber: Scrubber) -> dict[str, str]:
        boundary = _BOUNDARY.search(self._kind)
        if boundary is not None and self._kind.lower().lstrip().startswith("multipart/"):
            mark = (boundary[1] or boundary[2]).encode("latin-1")
            return show_bytes(_clean_parts(data, mark, scrubber), scrubber)
        if not _TEXTUAL.match(self._kind.lstrip()):
            return show_bytes(data, scrubber)
        text = _decode(data, self._kind, is_cut=self.is_cut)
        if text is None:
            return _NOTHING
        if "x-www-form-urlencoded" in self._kind.lower():
            return {"text": scrubber.query(text)}
        return {"text": clean_text(text, scrubber)}


def clean_text(text: str, scrubber: Scrubber) -> str:
    """Return a text without its secrets; where it looks like JSON, by its keys."""
    if text.lstrip("\ufeff \t\r\n").startswith(_JSON):
        return scrubber.json(text)
    return scrubber.text(text)


def show_bytes(data: bytes, scrubber: Scrubber) -> dict[str, str]:
    """Return bytes without their secrets, as text where they are text, else in Base64."""
    try:
        return {"text": clean_text(_decode_start(data, "utf-8"), scrubber)}
    except UnicodeDecodeError:
        clean = scrubber.text(data.decode("latin-1")).encode("latin-1")
        return {"base64": base64.b64encode(clean).decode("ascii")}


def _decode(data: bytes, kind: str, *, is_cut: bool) -> str | None:
    named = _CHARSET.search(kind)
    charset = "utf-8" if named is None else named[1]
    if named is None and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        charset = "utf-16"
    elif named is None and b"\0" in data[:4]:
        charset = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    try:
        return _decode_start(data, charset) if is_cut else data.decode(charset)
    except (LookupError, UnicodeError):
        return None


def _decode_start(data: bytes, charset: str) -> str:
    """Decode what may end within a character."""
    return codecs.getincrementaldecoder(charset)("strict").decode(data)


def _clean_parts(data: bytes, boundary: bytes, scrubber: Scrubber) -> bytes:
    """Take the content out of a form's parts whose names are secrets'."""
    mark = b"--" + boundary
    parts = data.split(mark)
    for number, part in enumerate(parts):
        head, gap, content = part.partition(b"\r\n\r\n")
        if not gap:
            head, gap, content = part.partition(b"\n\n")
        name = _PART_NAME.search(head)
        if not gap or name is None:
            continue
        if scrubber.is_secret_key((name[1] or name[2] or b"").decode("utf-8", "replace")):
            scrubber.see(content.removesuffix(b"\r\n").decode("utf-8", "replace"))
            end = b"\r\n" if content.endswith(b"\r\n") else b""
            parts[number] = head + gap + REDACTED.encode() + end
    return mark.join(parts)
