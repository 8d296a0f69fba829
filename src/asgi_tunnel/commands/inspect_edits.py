"""Reads what ``inspect replay`` is to change of a request."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..inspector.recorded import request_fields
from ..inspector.reply import RefusedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

__all__ = ["read_edits"]

MAX_SECRET: Final = 4096
"""Bytes of a file with a secret to sign with."""

MAX_DATA: Final = 4 * 1024 * 1024
"""Bytes of a file with a body: an inspector takes 8 MiB of JSON."""


def read_edits(options: argparse.Namespace, detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the edits as the interface takes them.

    Raises:
        RefusedError: An option has another form.
        OSError: A file cannot be read.
    """
    edits: dict[str, Any] = {"method": options.new_method, "path": options.new_path}
    if options.data is not None:
        edits["body"] = _body(options.data)
    if options.resign:
        secret = _read(Path(options.resign), MAX_SECRET).decode("utf-8", "replace")
        edits["resign"] = {"secret": secret.strip()}
    values = dict(_header(one) for one in options.headers)
    left_out = {name for name, value in values.items() if not value}
    if left_out:
        kept = [pair for pair in request_fields(detail) if pair[0].lower() not in left_out]
        edits["fields"] = [list(one) for one in kept]
    edits["values"] = {name: value for name, value in values.items() if value}
    return {name: value for name, value in edits.items() if value is not None}


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise RefusedError(400, f"-H {text!r} is no field; write it as -H 'name: value'")
    return name.strip().lower(), value.strip()


def _body(data: str) -> dict[str, str]:
    if not data.startswith("@"):
        return {"text": data}
    content = _read(Path(data[1:]), MAX_DATA)
    return {"base64": base64.b64encode(content).decode()}


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise RefusedError(413, f"{path} has more than {most} bytes")
    return content
