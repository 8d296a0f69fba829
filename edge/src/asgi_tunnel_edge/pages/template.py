"""Makes all pages from templates, once: the built-in one, or an operator's own (Jinja2).

A page is rendered with marks in the place of what differs from reply to reply, and cut there. The
policy that comes with it (CSP) allows the styles and scripts that stand in it, by their hashes, and
nothing else: so it holds for own templates too.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import EdgeConfigError, shown
from ..replies import phrase
from ..settings.config import CONFIG_FILE
from ..settings.pages import PagesConfig
from .brand import DARK, LIGHT, Brand
from .rendering import HAS_ID, HAS_NOTICE, HAS_UNTIL, IS_GET, SLOTS, Page, Pages
from .words import WORDS, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment, Template

    from ..settings.config import EdgeConfig

__all__ = [
    "MAX_PAGE",
    "MAX_TEMPLATE",
    "MAX_TEMPLATES",
    "load_pages",
    "page_files",
    "plain_pages",
]

MAX_TEMPLATE: Final = 64 * 1024
"""Bytes of one file in the folder of templates."""

MAX_TEMPLATES: Final = 40
"""Files in it: one for each reason, and some that these share. A backup has room for them."""

MAX_PAGE: Final = 96 * 1024
"""Bytes of a page: with the largest logo twice, and a template that says a lot. Strangers decide
how many are sent."""

_BUILTIN: Final = Path(__file__).parent / "builtin"
_OWN_NAMES: Final = frozenset({"page.html", *(f"{reason}.html" for reason in WORDS)})

_CAN_TRY_AGAIN: Final = frozenset({408, 429, 502, 503, 504})

# Between two characters that no text of ours has, and that escaping for HTML leaves as they are.
_MARK: Final = re.compile("\x02([0-9])\x03")
_INLINE: Final = re.compile(r"<(style|script)\b[^>]*>(.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)


def load_pages(config: EdgeConfig) -> Pages:
    """Make the pages of an edge, and read what its ``[pages]`` names; some 0.1 s.

    Raises:
        EdgeConfigError: A file cannot be used, or a template has a mistake.
    """
    settings = config.pages
    if settings == PagesConfig():
        return plain_pages()
    brand = Brand.of(settings, config.data_dir)
    folder = None if settings.templates is None else config.data_dir / settings.templates
    return _make(brand, folder)


@cache
def plain_pages() -> Pages:
    """Return the pages of an edge without ``[pages]``."""
    return _make(Brand.of(PagesConfig(), Path()), None)


def page_files(config: EdgeConfig) -> list[Path]:
    """Return the files that ``[pages]`` names, for a backup."""
    settings = config.pages
    files = [] if settings.logo is None else [config.data_dir / settings.logo]
    if settings.templates is not None:
        folder = config.data_dir / settings.templates
        files += _files_of(folder) if folder.is_dir() else []
    return files


def _make(brand: Brand, folder: Path | None) -> Pages:
    own = {} if folder is None else _read(folder)
    environment = _environment(own)
    pages: dict[str, list[Page]] = {}
    for reason, words in WORDS.items():
        template = _template(environment, own, reason)
        count = 16 if reason == "maintenance" else 4
        pages[reason] = [_page(template, reason, words, brand, index) for index in range(count)]
    return Pages(pages)


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _read(folder: Path) -> dict[str, str]:
    """Return the files of a folder of templates by their names; folders in it are not looked at."""
    try:
        paths = _files_of(folder)
    except OSError as error:
        raise _wrong(f"{folder} cannot be read ({error.strerror})", "make the folder") from error
    if not _OWN_NAMES.intersection(path.name for path in paths):
        why = f"{folder} has neither page.html nor a page for one reason, as offline.html"
        raise _wrong(why, "write one of them")
    if len(paths) > MAX_TEMPLATES:
        raise _wrong(f"{folder} has more than {MAX_TEMPLATES} files", "keep templates only there")
    own = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_TEMPLATE + 1)
            own[path.name] = content.decode()
        except OSError as error:
            why = f"{path} cannot be read ({error.strerror})"
            raise _wrong(why, "make it readable for the edge's user") from error
        except UnicodeDecodeError:
            raise _wrong(f"{path} is no UTF-8", "save it as UTF-8") from None
        if len(content) > MAX_TEMPLATE:
            raise _wrong(f"{path} has more than {MAX_TEMPLATE} bytes", "make it smaller")
    return own


def _environment(own: dict[str, str]) -> Environment:
    # Here, not above: it takes 40 ms, of every command.
    from jinja2 import (
        ChoiceLoader,
        DictLoader,
        Environment,
        FileSystemLoader,
        PrefixLoader,
        StrictUndefined,
    )

    builtin = PrefixLoader({"builtin": FileSystemLoader(_BUILTIN)})
    return Environment(
        loader=ChoiceLoader([builtin, DictLoader(own)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(environment: Environment, own: dict[str, str], reason: str) -> Template:
    """Return an operator's page for one reason, else for all, else the built-in one."""
    from jinja2 import TemplateError

    names = [name for name in (f"{reason}.html", "page.html") if name in own]
    try:
        return environment.select_template([*names, "builtin/page.html"])
    except TemplateError as error:
        raise _mistake(error) from error


def _page(template: Template, reason: str, words: Words, brand: Brand, index: int) -> Page:
    has = {"request_id": HAS_ID, "notice": HAS_NOTICE, "until": HAS_UNTIL, "until_text": HAS_UNTIL}
    values = {
        name: f"\x02{number}\x03" if name not in has or index & has[name] else ""
        for number, name in enumerate(SLOTS)
    }
    is_get = bool(index & IS_GET)
    hint = words.hint if is_get or not words.hint_when_sent else words.hint_when_sent
    try:
        text = template.render(
            **values,
            reason=reason,
            status=words.status,
            phrase=phrase(words.status),
            icon=words.icon,
            title=words.title,
            text=words.text,
            hint=hint.replace("{retry_after}", values["retry_after"]),
            reloads=words.reloads and is_get,
            can_try_again=is_get and words.status in _CAN_TRY_AGAIN,
            brand=brand,
            light=LIGHT,
            dark=DARK,
        )
    except Exception as error:
        raise _mistake(error) from error
    return _cut(text, reason)


def _cut(text: str, reason: str) -> Page:
    size = len(text.encode())
    if size > MAX_PAGE:
        why = f"the page {reason} has {size} bytes, more than {MAX_PAGE}"
        raise _wrong(why, "make it smaller: strangers decide how often it is sent")
    pieces = _MARK.split(text)
    return Page(
        fields=_fields(text, reason),
        pieces=[one.encode() for one in pieces[::2]],
        slots=[int(one) for one in pieces[1::2]],
    )


def _fields(text: str, reason: str) -> bytes:
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for kind, content in _inline(text):
        if _MARK.search(content):
            why = f"the page {reason} has a value of a reply in <{kind}>"
            raise _wrong(why, "write it elsewhere: the page's policy names a hash of each")
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        if (source := f"'sha256-{digest}'") not in hashes[kind]:
            hashes[kind].append(source)
    # No frame-ancestors: an app's own frames show the page too, and nothing on it is to be had.
    policy = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "img-src data:"]
    if hashes["style"]:
        policy.append(" ".join(["style-src", *hashes["style"]]))
    if hashes["script"]:
        policy.append(" ".join(["script-src", *hashes["script"]]))
        policy.append("connect-src 'self'")  # where it looks whether the app is back
    return (
        "content-type: text/html; charset=utf-8\r\n"
        f"content-security-policy: {'; '.join(policy)}\r\n"
        "referrer-policy: no-referrer\r\n"
        "x-content-type-options: nosniff\r\n"
    ).encode()


def _inline(text: str) -> Iterator[tuple[str, str]]:
    for match in _INLINE.finditer(text):
        yield match[1].lower(), match[2]


def _mistake(error: Exception) -> EdgeConfigError:
    where = ""
    name, line = getattr(error, "name", None), getattr(error, "lineno", None)
    if name and line:
        where = f"{name}, line {line}: "
    why = f"a template has a mistake: {where}{shown(str(error))}"
    return _wrong(why, "see what values there are in docs/howto/pages.md")


def _wrong(why: str, fix: str) -> EdgeConfigError:
    return EdgeConfigError("pages.templates", why, fix, file=CONFIG_FILE)
