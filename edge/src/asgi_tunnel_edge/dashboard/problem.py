"""Why somebody gets a page that says no in the place of the one they asked for."""

from __future__ import annotations

__all__ = ["PageError"]


class PageError(Exception):
    """What somebody asked for cannot be done; they get a page that says why.

    Attributes:
        status: Of the response.
        title: What is wrong, in a few words.
        text: Why, and what to do: whole sentences.
    """

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(status, title, text)
        self.status = status
        self.title = title
        self.text = text
