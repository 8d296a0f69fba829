"""What counts as a picture: judged by size and first bytes, never by the visitor's name or type."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files import File

PICTURE_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
_CHUNK_SIZE: Final = 64 * 1024  # bytes
_HEAD_SIZE: Final = 16  # bytes; enough for every signature below


def sniff_type(head: bytes) -> str | None:
    """Return the media type that the first bytes show, None for anything but a web picture.

    SVG is left out on purpose: it can carry scripts.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def validate_picture(file: File) -> None:
    """Check an upload before it is stored; a field validator, so that every form calls it.

    Raises:
        ValidationError: It is too large, or not a PNG, JPEG, GIF or WebP file.
    """
    limit: int = settings.PICTURE_MAX_SIZE
    if file.size > limit:
        raise ValidationError(
            f"The picture has {file.size / 2**20:.1f} MiB; the limit is {limit // 2**20} MiB.",
            code="too_large",
        )
    file.seek(0)
    head = file.read(_HEAD_SIZE)
    file.seek(0)
    if sniff_type(head) is None:
        raise ValidationError("Please choose a PNG, JPEG, GIF or WebP picture.", code="type")


def read_type(path: Path) -> str | None:
    """Return the media type of a stored picture, None when it is no picture any more."""
    with path.open("rb") as file:
        return sniff_type(file.read(_HEAD_SIZE))


async def read_chunks(path: Path) -> AsyncIterator[bytes]:
    """Yield a file in pieces, at the visitor's pace: the next piece is read when one was sent.

    Async, since Django under ASGI collects a synchronous iterator (FileResponse) whole.
    Cancelling closes the file.
    """
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_SIZE):
            yield chunk
    finally:
        file.close()
