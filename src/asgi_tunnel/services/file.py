"""Reads and edits the file of the services: ``asgi-tunnel.toml``, or a part of ``pyproject.toml``.

Edits keep what a person wrote: a service is appended at the end, or its own lines are cut out.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigError
from .service import Service
from .settings import read_services

OWN_FILE: Final = "asgi-tunnel.toml"
PROJECT_FILE: Final = "pyproject.toml"

MAX_FILE: Final = 1 << 20
"""Bytes: 1,000 services with all their keys are 300 KiB, and a wrong path may lead to anything."""

_HEADER: Final = re.compile(r"^[ \t]*\[")


def find_file(folder: Path) -> Path | None:
    """Return the file that says which services there are, or None where no file does."""
    own = folder / OWN_FILE
    if own.is_file():
        return own
    project = folder / PROJECT_FILE
    if project.is_file() and _has_services(project):
        return project
    return None


def load_file(path: Path) -> tuple[Service, ...]:
    """Return the services of a file, in order.

    Raises:
        ConfigError: It cannot be read, is no TOML, or a service in it cannot be used.
    """
    tables = read_tables(path)
    try:
        return read_services(tables, folder=path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error.setting}", error.why, error.fix) from error


def read_tables(path: Path) -> list[Mapping[str, Any]]:
    """Return the tables of a file as they stand there.

    Raises:
        ConfigError: It cannot be read, or is no TOML with ``[[services]]``.
    """
    content = _parse(_read(path), path)
    if path.name == PROJECT_FILE:
        content = _table(_table(content, "tool", path), "asgi-tunnel", path)
    unknown = [key for key in content if key != "services"]
    if unknown:
        raise ConfigError(
            f"{path.name}: {unknown[0]}", "is no key of this file", "write [[services]] tables"
        )
    found = content.get("services", [])
    if not isinstance(found, list):
        raise ConfigError(
            f"{path.name}: services", "is no list of tables", "write [[services]] above each"
        )
    return found


def append_service(path: Path, table: Mapping[str, str | bool]) -> None:
    """Write a service at the end of a file, which is made where there is none.

    Raises:
        ConfigError: It cannot be written, or the services would not be usable with it.
    """
    text = _read(path) if path.exists() else ""
    if text and not text.endswith("\n"):
        text += "\n"
    lines = [f"[[{_prefix(path)}services]]"]
    lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    _write(path, text + ("\n" if text else "") + "\n".join(lines) + "\n")


def remove_service(path: Path, name: str) -> None:
    """Cut a service out of a file: its table, with the comments between its lines.

    Args:
        path: The file.
        name: ``shop.example.org/api``.

    Raises:
        ConfigError: There is no such service, or the file cannot be changed by this program.
    """
    names = [one.name for one in load_file(path)]
    if name not in names:
        raise ConfigError(
            name, f"is no service of {path.name}", f"write one of: {', '.join(names) or 'none'}"
        )
    blocks = _blocks(_read(path), _prefix(path))
    ours = [index for index, (is_service, _) in enumerate(blocks) if is_service]
    if len(ours) != len(names):
        raise ConfigError(
            path.name, "has services in a form that is not edited here", "remove the lines by hand"
        )
    del blocks[ours[names.index(name)]]
    _write(path, "".join(text for _, text in blocks))


def _blocks(text: str, prefix: str) -> list[tuple[bool, str]]:
    """Cut a file at its table headers; comments right above a header belong to it.

    Returns:
        For each block whether it is a service, and its text; joined they are the file.
    """
    header = re.compile(
        rf"[ \t]*\[\[[ \t]*{re.escape(prefix)}services[ \t]*\]\][ \t]*(?:#.*)?\r?\n?"
    )
    blocks: list[tuple[bool, list[str]]] = [(False, [])]
    for line in text.splitlines(keepends=True):
        if _HEADER.match(line):
            above: list[str] = []
            while blocks[-1][1] and blocks[-1][1][-1].lstrip().startswith("#"):
                above.insert(0, blocks[-1][1].pop())
            blocks.append((header.fullmatch(line) is not None, above))
        blocks[-1][1].append(line)
    return [(is_service, "".join(lines)) for is_service, lines in blocks]


def _prefix(path: Path) -> str:
    return "tool.asgi-tunnel." if path.name == PROJECT_FILE else ""


def _value(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _has_services(path: Path) -> bool:
    try:
        return bool(read_tables(path))
    except ConfigError:
        return "[[tool.asgi-tunnel.services]]" in path.read_text("utf-8", "replace")


def _table(content: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    found = content.get(key, {})
    if not isinstance(found, Mapping):
        raise ConfigError(f"{path.name}: {key}", "is no table", f"write [{key}]")
    return found


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE:
            raise ConfigError(str(path), f"is larger than {MAX_FILE} bytes", "name another file")
        return path.read_bytes().decode()  # line ends stay as they are
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        raise ConfigError(str(path), why, "create it, or name another one") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "is not UTF-8", "save it as UTF-8") from error


def _parse(text: str, path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path.name, f"is no TOML: {error}", "correct that line") from error


def _write(path: Path, text: str) -> None:
    """Check and replace a file at once: a reader sees the old one or the new one.

    Raises:
        ConfigError: The services would not be usable, or the file cannot be written.
    """
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        why = f"cannot be written: {error.strerror}"
        raise ConfigError(str(path), why, "give the right to write there") from error
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        new.chmod(mode)
        _check(text, path)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _check(text: str, path: Path) -> None:
    """See that a text would be usable as this file."""
    content: Mapping[str, Any] = _parse(text, path)
    if path.name == PROJECT_FILE:
        content = _table(_table(content, "tool", path), "asgi-tunnel", path)
    read_services(content.get("services", []), folder=path.parent)
