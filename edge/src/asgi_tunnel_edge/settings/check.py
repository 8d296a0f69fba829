"""Turns a parsed TOML table into a Struct, with errors that a person can act on.

msgspec checks and says "Expected `float`, got `str` - at `$.limits.hold_timeout`". The path is
kept; the rest is written anew from what the Struct's own fields say about themselves (``Meta``).
msgspec has no errors but sentences, so these are matched here; a test holds each of them, and the
requirement has an upper bound (docs/adr/0009-settings-by-msgspec.md).

Which settings there are is left to ``config`` and ``guards``. Called by ``config`` to read the
file, by ``file`` to write it, and by the tests of the pages that list settings.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from ..errors import EdgeConfigError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Setting", "convert", "convert_named", "settings_of", "toml_value"]

AnyStruct = TypeVar("AnyStruct", bound=Struct)

_AT: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one field of a Struct says about itself."""

    name: str
    table: type[Struct] | None  #: the Struct of a nested table; None for a plain value
    default: object  #: ``msgspec.NODEFAULT`` where the field is required
    expected: str  #: completes "expected ..."
    title: str | None  #: what the setting is for
    example: str  #: a value, in TOML
    default_text: str  #: the default, in TOML; the example where there is no plain one
    in_file: bool  #: False: set by the program, never read (``Meta(extra={"in_file": False})``)


def settings_of(struct: type[Struct]) -> dict[str, Setting]:
    """A Struct's settings by name, in the order they are written."""
    return {field.name: _setting(field) for field in msgspec.structs.fields(struct)}


def convert(
    table: Mapping[str, object],
    struct: type[AnyStruct],
    *,
    given: Mapping[str, object],
    file: str,
    prefix: str = "",
) -> AnyStruct:
    """Check a table and make the Struct.

    Args:
        table: What was read.
        struct: What it has to be.
        given: Fields that never stand in the file, with their values.
        file: The file's name, for errors.
        prefix: Where the table stands in the file, for errors; ends with a dot.

    Raises:
        EdgeConfigError: A setting is unknown, missing or wrong.
    """
    for name in given:
        if name in table:
            raise _unknown([name], struct, file)
    try:
        return msgspec.convert({**table, **given}, struct, dec_hook=lambda _type, value: value)
    except msgspec.ValidationError as error:
        # `from None`: the cause says the same in words that name no setting.
        found = _explained(str(error), table, struct, file=file)
        if prefix:
            found = EdgeConfigError(prefix + found.setting, found.why, found.fix, file=file)
        raise found from None


def convert_named(
    table: Mapping[str, object], key: str, struct: type[AnyStruct], *, file: str
) -> dict[str, dict[str, AnyStruct]]:
    """Check the tables ``[key."name"]``, each by itself: an error then says in which it is.

    Args:
        table: The whole file.
        key: What all of them begin with.
        struct: What each has to be.
        file: The file's name, for errors.

    Returns:
        ``{key: {name: Struct}}``, or nothing where the file has none.

    Raises:
        EdgeConfigError: A setting is unknown or wrong.
    """
    if key not in table:
        return {}
    tables = table[key]
    fix = f'write [{key}."NAME"] on a line of its own and its settings below'
    if not isinstance(tables, dict):
        raise EdgeConfigError(key, f"expected tables, got {_got(tables)}", fix, file=file)
    found: dict[str, AnyStruct] = {}
    for name, content in tables.items():
        path = f"{key}.{shown(name)}"
        if not isinstance(content, dict):
            raise EdgeConfigError(path, f"expected a table, got {_got(content)}", fix, file=file)
        found[name] = convert(content, struct, given={}, file=file, prefix=f"{path}.")
    return {key: found}


def toml_value(value: object) -> str:
    """A text, number, truth value or list of these in TOML."""
    return json.dumps(value)


def _explained(
    message: str, table: Mapping[str, object], struct: type[Struct], *, file: str
) -> EdgeConfigError:
    """What msgspec found, in terms of settings."""
    at = _AT.search(message)
    found = re.sub(r"\[[^]]*\]", "", at["path"]) if at is not None else ""  # list[0]: the list
    path = found.split(".") if found else []
    what = _AT.sub("", message)
    for part in path[:-1]:
        struct = settings_of(struct)[part].table or struct
    known = settings_of(struct)
    inside = (known[path[-1]].table if path else None) or struct
    if (unknown := _UNKNOWN.fullmatch(what)) is not None:
        return _unknown([*path, unknown["name"]], inside, file)
    if not path and not _MISSING.fullmatch(what):  # a sentence of a version that is not known here
        why = f"cannot be used: {message}"
        return EdgeConfigError("the settings", why, "change what it names", file=file)
    if (missing := _MISSING.fullmatch(what)) is not None:
        setting = settings_of(inside)[missing["name"]]
        fix = f"add {setting.name} = {setting.example}"
        return EdgeConfigError(".".join([*path, setting.name]), "is missing", fix, file=file)
    setting = known[path[-1]]
    why = f"expected {setting.expected}, got {_got(_value_at(table, path))}"
    if setting.table is None:
        fix = f"write for example {setting.name} = {setting.example}"
    else:
        fix = f"write [{'.'.join(path)}] on a line of its own and its settings below"
    return EdgeConfigError(".".join(path), why, fix, file=file)


def _unknown(path: list[str], struct: type[Struct], file: str) -> EdgeConfigError:
    known = [setting.name for setting in settings_of(struct).values() if setting.in_file]
    near = difflib.get_close_matches(path[-1], known, n=1)
    fix = f"did you mean {near[0]}?" if near else f"remove it, or use one of {', '.join(known)}"
    # A TOML key can hold anything; what is not a plain word is quoted and escaped.
    name = path[-1] if re.fullmatch(r"[\w-]{1,60}", path[-1]) else shown(path[-1])
    why = "there is no such setting"
    return EdgeConfigError(".".join([*path[:-1], name]), why, fix, file=file)


def _value_at(table: Mapping[str, object], path: list[str]) -> object:
    value: object = table
    for part in path:
        assert isinstance(value, dict)
        value = value[part]
    return value


def _got(value: object) -> str:
    """A value as a person would name it: ``str "ten"``, ``int 5``, ``a list``."""
    match value:
        case str():
            return f"str {shown(value)}"
        case bool() | int() | float():
            return f"{type(value).__name__} {toml_value(value)}"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def _setting(field: msgspec.structs.FieldInfo) -> Setting:
    table = field.type if isinstance(field.type, type) and issubclass(field.type, Struct) else None
    expected = "another value" if table is None else "a table"
    title, example, in_file = None, field.default, True
    for meta in _metas(field.type):
        expected = meta.description or expected
        title = meta.title or title
        example = meta.examples[0] if meta.examples else example
        in_file = (meta.extra or {}).get("in_file", in_file)
    example_text = _toml(example) or "..."
    return Setting(
        name=field.name,
        table=table,
        default=field.default,
        expected=expected,
        title=title,
        example=example_text,
        default_text=_toml(field.default) or example_text,
        in_file=in_file,
    )


def _toml(value: object) -> str | None:
    """A plain value in TOML; None for a table."""
    return toml_value(value) if isinstance(value, str | int | float | list | tuple) else None


def _metas(hint: object) -> list[Meta]:
    """All Meta of a type, the outermost last; looks into ``Annotated`` and ``| None``."""
    found = [meta for part in get_args(hint) for meta in _metas(part)]
    return [*found, *(part for part in get_args(hint) if isinstance(part, Meta))]
