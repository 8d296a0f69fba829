"""Small forms inside payloads: fixed numbers, and sentences of a bounded size."""

from __future__ import annotations

from struct import Struct
from typing import Final

from ..errors import FrameError
from .codes import GoawayCode
from .frames import Payload
from .limits import MAX_REASON_SIZE

_HEX: Final = frozenset("0123456789abcdef")


def unpack(form: Struct, payload: Payload) -> tuple[int, ...]:
    """Return the numbers of a payload of a fixed form.

    Raises:
        FrameError: The payload has another size.
    """
    if len(payload) != form.size:
        raise FrameError(
            GoawayCode.FRAME_ERROR, f"payload of {len(payload)} bytes instead of {form.size}"
        )
    return form.unpack(payload)


def read_sentence(data: Payload) -> str:
    """Return the reason in a RESET, CLOSE or GOAWAY."""
    # "ignore", not "replace": a reason must not grow above the limit it has on the next wire.
    return bytes(data[:MAX_REASON_SIZE]).decode("utf-8", "ignore")


def cut_text(reason: str, limit: int) -> bytes:
    """Return at most ``limit`` bytes of UTF-8, cut between two characters."""
    return reason.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").encode()


def is_pin(text: str) -> bool:
    """Whether a text names a certificate: ``sha256:`` and 64 lower-case hex digits."""
    digest = text.removeprefix("sha256:")
    return len(text) == 71 and len(digest) == 64 and _HEX.issuperset(digest)
