"""An exchange that was recorded elsewhere: read from a file, or kept from before."""

from __future__ import annotations

import json
from typing import Any, Final

from .body import clean_text
from .redaction import Scrubber
from .ring import Kept

__all__ = ["Imported"]

OBJECT_COST: Final = 3
"""Bytes of memory for each byte of it in JSON: what dictionaries and lists cost beside."""

_SUMMARY: Final[dict[str, Any]] = {
    "request_id": "",
    "kind": "http",
    "started": 0.0,
    "host": "",
    "method": "GET",
    "path": "/",
    "status": None,
    "state": "done",
    "error": None,
    "seconds": None,
    "first_byte": None,
    "sent": 0,
    "received": 0,
    "messages": 0,
    "client": "",
    "visitor": None,
    "replay_of": None,
    "end_to_end": False,
}
_DETAIL: Final[dict[str, Any]] = {
    "scheme": "https",
    "http_version": "1.1",
    "level": "full",
    "request": {"fields": [], "body": None},
    "response": None,
    "trailers": [],
    "exchange_messages": [],
    "traceback": None,
}


class Imported(Kept):
    """See the module.

    Args:
        seq: Its number here.
        detail: As the interface has it; what is missing gets what says nothing.
        scrubber: Takes the secrets out.
    """

    __slots__ = ("_detail", "is_end_to_end")

    def __init__(self, seq: int, detail: dict[str, Any], scrubber: Scrubber) -> None:
        super().__init__(seq)
        self._detail = {
            key: detail.get(key, value) for key, value in {**_SUMMARY, **_DETAIL}.items()
        }
        self._clean(scrubber)
        self.is_end_to_end = self._detail["end_to_end"] is True
        self.held = OBJECT_COST * len(json.dumps(self._detail))

    def summary(self, name: str) -> dict[str, Any]:
        """Return the numbers of it."""
        return {"id": name, "seq": self.seq, **{key: self._detail[key] for key in _SUMMARY}}

    def detail(self, name: str) -> dict[str, Any]:
        """Return all of it."""
        return {"id": name, "seq": self.seq, **self._detail}

    def _clean(self, scrubber: Scrubber) -> None:
        detail = self._detail
        detail["path"] = scrubber.target(str(detail["path"]).encode())
        for part in ("request", "response"):
            if isinstance(detail[part], dict):
                detail[part] = _clean_part(detail[part], scrubber)
        detail["trailers"] = _clean_fields(detail["trailers"], scrubber)
        detail["exchange_messages"] = [
            _clean_text_of(one, scrubber)
            for one in detail["exchange_messages"]
            if isinstance(one, dict)
        ]
        for name in ("error", "traceback"):
            if isinstance(detail[name], str):
                detail[name] = scrubber.text(detail[name])


def _clean_part(part: dict[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    fields = _clean_fields(part.get("fields", []), scrubber)
    body = part.get("body")
    return {
        "fields": fields,
        "body": _clean_text_of(body, scrubber) if isinstance(body, dict) else None,
    }


def _clean_fields(fields: Any, scrubber: Scrubber) -> list[list[str]]:
    pairs = [(str(one[0]), str(one[1])) for one in fields if len(one) == 2]
    return scrubber.fields(
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in pairs
    )


def _clean_text_of(values: dict[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    text = values.get("text")
    if not isinstance(text, str):
        return values
    if "x-www-form-urlencoded" in str(values.get("type", "")):
        return {**values, "text": scrubber.query(text)}
    return {**values, "text": clean_text(text, scrubber)}
