"""All that is wrong with an ``edge.toml`` at once, and where each setting comes from.

``config`` stops at the first mistake, as a start does. Here that one is taken out, and the rest is
read again. Called by the commands ``config check``, ``config show`` and ``doctor``.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import EdgeConfigError
from .check import settings_of
from .config import EdgeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from msgspec import Struct

__all__ = ["EffectiveSetting", "effective_settings", "find_mistakes"]

MAX_MISTAKES: Final = 50
"""Mistakes that are named: who has more corrects these first."""

_PART: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^."]+')
_SECRETS: Final = frozenset({"client_secret"})
"""Settings whose value is not shown."""

_STANDS_IN: Final = {"domain": "example.org", "listen": "127.0.0.1:8080"}
"""For a required setting that is missing or wrong, so that the others can be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSetting:
    """One setting as the edge has it."""

    name: str  #: its path with dots
    value: object
    source: str  #: ``file`` or ``default``


def find_mistakes(data_dir: Path) -> tuple[EdgeConfig | None, list[EdgeConfigError]]:
    """Read ``data_dir/edge.toml`` to its end.

    Returns:
        The settings, None where there is a mistake in them; and the mistakes.
    """
    try:
        table: dict[str, Any] = EdgeConfig.read_table(data_dir)
    except EdgeConfigError as error:
        return None, [error]
    table = copy.deepcopy(table)
    mistakes: list[EdgeConfigError] = []
    while len(mistakes) < MAX_MISTAKES:
        try:
            config = EdgeConfig.from_table(table, data_dir)
        except EdgeConfigError as error:
            mistakes.append(error)
            if not _take_out(table, error.setting):
                break
        else:
            return (None if mistakes else config), mistakes
    return None, mistakes


def _take_out(table: dict[str, Any], setting: str) -> bool:
    """Take one setting out, so that the next mistake shows; return whether that was possible."""
    path = [part.strip('"') for part in _PART.findall(setting)]
    inside: Any = table
    for part in path[:-1]:
        inside = inside.get(part) if isinstance(inside, dict) else None
    if setting in _STANDS_IN and table.get(setting) != _STANDS_IN[setting]:
        table[setting] = _STANDS_IN[setting]
        return True
    if isinstance(inside, dict) and path and path[-1] in inside:
        del inside[path[-1]]
        return True
    if path[0] == "acme" and isinstance(table.get("acme"), dict) and "dns" in table["acme"]:
        del table["acme"]["dns"]  # it asks for a setting that is missing
        return True
    return False


def effective_settings(config: EdgeConfig) -> list[EffectiveSetting]:
    """Every setting of ``edge.toml`` with the value that holds, in the order they are written.

    Raises:
        EdgeConfigError: The file cannot be read any more.
    """
    return list(_settings(config, EdgeConfig, EdgeConfig.read_table(config.data_dir), ""))


def _settings(
    value: Struct, struct: type[Struct], table: Mapping[str, Any], prefix: str
) -> Iterator[EffectiveSetting]:
    for setting in settings_of(struct).values():
        if not setting.in_file:
            continue
        name, found = prefix + setting.name, getattr(value, setting.name)
        given = table.get(setting.name)
        if setting.table is not None:
            inside = given if isinstance(given, dict) else {}
            yield from _settings(found, setting.table, inside, f"{name}.")
        elif isinstance(found, dict):  # the tables of hostnames
            for key, one in found.items():
                inside = (given or {}).get(key, {})
                for each in _settings(one, type(one), inside, f'{name}."{key}".'):
                    if each.source == "file":
                        yield each
        else:
            shown = list(found) if isinstance(found, tuple) else found
            source = "default" if given is None else "file"
            if setting.name in _SECRETS and given is not None:
                shown = "(hidden)"
            yield EffectiveSetting(name=name, value=shown, source=source)
