"""What the inspector replies, and how it says no."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["RefusedError", "Reply", "json_reply"]


class Reply(NamedTuple):
    """A response that is complete."""

    status: int
    body: bytes
    kind: str = "application/json"  # the content-type


class RefusedError(Exception):
    """A request that cannot be served; the status and a sentence go to who asked."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence

    @property
    def reply(self) -> Reply:
        """What is sent."""
        return json_reply({"error": self.sentence}, status=self.status)


def json_reply(values: Any, *, status: int = 200) -> Reply:
    """Return values as a response in JSON."""
    return Reply(status, json.dumps(values, separators=(",", ":")).encode())
