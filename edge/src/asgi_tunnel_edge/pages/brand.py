"""What an operator's settings make of the pages: name, logo, colours, help.

The logo becomes a part of each page, so nothing is loaded from elsewhere; its bytes are bounded,
for each page that a stranger asks for carries them.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import EdgeConfigError
from ..settings.config import CONFIG_FILE
from .colour import readable

if TYPE_CHECKING:
    from pathlib import Path

    from ..settings.pages import PagesConfig

__all__ = ["DARK", "LIGHT", "MAX_LOGO", "Brand"]

LIGHT: Final = "#fbfbfa"
DARK: Final = "#131416"
"""The backgrounds of the pages; the colours of style.css go with them."""

MAX_LOGO: Final = 24 * 1024
"""Bytes of a logo, 32 KiB in a page: a drawing fits, a photo does not. A flood of requests for
pages is answered with as many copies of it."""

_SVG: Final = re.compile(
    rb"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)*(?:<!DOCTYPE[^>]*>\s*)?<svg\b", re.DOTALL
)
_KINDS: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (_SVG, "image/svg+xml"),
)
_BOM: Final = b"\xef\xbb\xbf"


class Brand(NamedTuple):
    """What templates know of the operator."""

    name: str  #: empty: none
    show_name: bool  #: write the name, also where there is a logo
    logo: str  #: a data: URL; empty: none
    accent: str  #: of links and buttons on ``LIGHT``
    accent_dark: str  #: the same on ``DARK``
    help: str  #: one line; empty: none
    help_url: str  #: empty: it is no link

    @classmethod
    def of(cls, settings: PagesConfig, folder: Path) -> Brand:
        """Read what settings name.

        Args:
            settings: ``[pages]``.
            folder: What their paths are below.

        Raises:
            EdgeConfigError: The logo cannot be read, is too large, or is no picture.
        """
        return cls(
            name=settings.name or "",
            show_name=settings.show_name or settings.logo is None,
            logo="" if settings.logo is None else _inlined(folder / settings.logo),
            accent=readable(settings.accent, LIGHT),
            accent_dark=readable(settings.accent, DARK),
            help=settings.help or "",
            help_url=settings.help_url or "",
        )


def _inlined(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LOGO + 1)
    except OSError as error:
        raise _wrong(f"{path} cannot be read ({error.strerror})", "put the file there") from error
    if len(content) > MAX_LOGO:
        why = f"{path} has more than {MAX_LOGO} bytes, and each page carries it"
        raise _wrong(why, "take a smaller picture, or an SVG")
    content = content.removeprefix(_BOM)
    for magic, kind in _KINDS:
        if magic.match(content):
            return f"data:{kind};base64,{base64.b64encode(content).decode()}"
    raise _wrong(f"{path} is no picture that is known here", "take an SVG, PNG, JPEG, GIF or WebP")


def _wrong(why: str, fix: str) -> EdgeConfigError:
    return EdgeConfigError("pages.logo", why, fix, file=CONFIG_FILE)
