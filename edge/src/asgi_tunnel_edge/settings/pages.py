"""``[pages]``: how the pages look that the edge itself shows to visitors.

Reading the files that it names is left to the package ``pages``. ``config`` holds the table.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta, Struct

from ..errors import EdgeConfigError, shown
from .types import FilePath

__all__ = ["MAX_TEXT", "PagesConfig", "check_pages"]

MAX_TEXT: Final = 200
"""Characters of a name, of a sentence or of a link on a page: one or two lines of it."""

_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_LINK: Final = re.compile(r"(?:https?://[^\s/]+\S*|mailto:\S+@\S+|tel:[+0-9().-]+)")

Line = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_TEXT, description=f"one line of 1 to {MAX_TEXT} characters"),
]


class PagesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[pages]``: the operator's name, colour and help on the edge's own pages."""

    name: Annotated[Line, Meta(examples=["Example Hosting"])] | None = None
    show_name: Annotated[bool, Meta(description="true or false")] = True  #: beside a logo
    logo: Annotated[FilePath, Meta(examples=["logo.svg"])] | None = None
    accent: Annotated[str, Meta(description="a colour", examples=["#0b6bcb"])] = "#0b6bcb"
    help: Annotated[Line, Meta(examples=["Write to the operator"])] | None = None
    help_url: (
        Annotated[Line, Meta(description="a link", examples=["mailto:help@example.org"])] | None
    ) = None
    templates: Annotated[FilePath, Meta(examples=["pages"])] | None = None  #: a folder


def check_pages(settings: PagesConfig, *, file: str) -> None:
    """Check what types cannot say: the colour, the link, and that each line is one.

    Args:
        settings: As read.
        file: The file's name, for errors.

    Raises:
        EdgeConfigError: One of them is none.
    """
    for name in ("name", "help", "help_url"):
        text = getattr(settings, name)
        if text is not None and not text.isprintable():
            why = f"expected one line of text, got {shown(text)}"
            raise EdgeConfigError(f"pages.{name}", why, "write it in one line", file=file)
    if not _COLOUR.fullmatch(settings.accent):
        why = f"expected a colour as #rrggbb, got {shown(settings.accent)}"
        raise EdgeConfigError("pages.accent", why, 'write for example "#0b6bcb"', file=file)
    if settings.help_url is not None and not _LINK.fullmatch(settings.help_url):
        why = f"expected a link, got {shown(settings.help_url)}"
        fix = 'write for example "mailto:help@example.org" or "https://example.org/help"'
        raise EdgeConfigError("pages.help_url", why, fix, file=file)
    if settings.help_url is not None and settings.help is None:
        why = "is the link of pages.help, which is missing"
        fix = 'add help = "Write to the operator"'
        raise EdgeConfigError("pages.help_url", why, fix, file=file)
