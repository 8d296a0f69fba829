"""Reads ``--env-file``: lines like ``NAME=value``, in the syntax of python-dotenv.

It is our own reader, so that a file means the same whatever is installed.  Called by :mod:`.cli`.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final

from .errors import ConfigError

_log = logging.getLogger("asgi_tunnel.config")

MAX_SIZE: Final = 1 << 20
"""Bytes: an environment is smaller, and a wrong path may lead to anything."""

_LINE: Final = re.compile(
    r"""[^\S\n]*(?:\#[^\n]*|(?:export[^\S\n]+)?(?P<name>[^\s=\#'"]+|'[^'\n]+')[^\S\n]*
    (?:=[^\S\n]*(?:
        '(?P<single>(?:\\.|[^'\\])*)'
        |"(?P<double>(?:\\.|[^"\\])*)"
        |(?P<plain>(?!['"])[^\n]*)
    ))?[^\S\n]*(?:\#[^\n]*)?)?(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_VARIABLE: Final = re.compile(r"\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}")
_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}


def read_text(path: Path, setting: str) -> str:
    """Return the text of a small file that an editor wrote, on whichever system.

    Args:
        path: What to read.
        setting: Where the path comes from, for the error's sentence.

    Raises:
        ConfigError: It cannot be read, is too large, or is not text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise ConfigError(setting, f"names a file of more than {MAX_SIZE} bytes", "check it")
        # PowerShell's `>` writes UTF-16, Windows editors begin with a byte order mark.
        is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            setting,
            f"names a file that cannot be read ({error.__class__.__name__})",
            "check the path and who may read it",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def load_env_file(path: Path, environ: MutableMapping[str, str]) -> None:
    """Put the variables of a file into an environment; what is set there already stays.

    Args:
        path: The file.
        environ: Such as ``os.environ``.

    Raises:
        ConfigError: The file cannot be read.
    """
    for name, value in parse(read_text(path, "--env-file"), environ).items():
        environ.setdefault(name, value)


def parse(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a file's text; others are left out with a warning.

    Args:
        text: Lines that end with a line feed.
        environ: Comes before the file where ``${NAME}`` is replaced.
    """
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _LINE.match(text, position)
        if match is None:
            number = text.count("\n", 0, position) + 1
            _log.warning("--env-file: line %d is not NAME=value; it is left out", number)
            position = (text.find("\n", position) + 1) or len(text)
            continue
        position = match.end()
        name, value = match["name"], _value(match)
        if name is not None and value is not None and "\0" not in name + value:
            found[name.strip("'")] = _replaced(value, found, environ)
    return found


def _value(match: re.Match[str]) -> str | None:
    if match["single"] is not None:
        return re.sub(r"\\([\\'])", r"\1", match["single"])
    if match["double"] is not None:
        return re.sub(r"\\([\\'\"abfnrtv])", _unescaped, match["double"])
    if match["plain"] is not None:
        return re.sub(r"(?:^|\s+)#.*", "", match["plain"]).rstrip()
    return None


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1])


def _replaced(value: str, found: Mapping[str, str], environ: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        name = match["name"]
        return environ.get(name, found.get(name, match["default"] or ""))

    return _VARIABLE.sub(one, value)
