"""``Inspect``: what is recorded of exchanges, how much of it, and who may read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ..errors import ConfigError

__all__ = ["INSPECT", "GivenInspect", "Inspect", "InspectLevel", "read_inspect"]

INSPECT: Final = "ASGI_TUNNEL_INSPECT"

InspectLevel = Literal["metadata", "full"]

LEVELS: Final[tuple[InspectLevel, ...]] = ("metadata", "full")

DEFAULT_BYTES: Final = 32 * 1024 * 1024
"""Bytes of all that is kept: some 40,000 exchanges without their content."""

MIN_BYTES: Final = 64 * 1024
"""Bytes at the least, with which a few exchanges are kept."""

MAX_BYTES: Final = 1024 * 1024 * 1024
"""Bytes at the most: all of it is in the app's own memory."""

DEFAULT_BODY: Final = 64 * 1024
"""Bytes kept of one body or message: what a person reads of it is in its beginning."""

MAX_BODY: Final = 1024 * 1024
"""Bytes at the most: a body is searched for secrets in one go, while the app waits."""

MAX_NAMES: Final = 200
"""Names in one of the lists of a setting."""

_FIX: Final = 'leave it out to get none, or write "metadata" or "full"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspect:
    """What the inspector keeps.

    Attributes:
        level: "metadata": times, sizes, paths and statuses. "full": fields, bodies, messages and
            tracebacks too.
        max_bytes: Of all that is kept; the oldest exchange gives way.
        max_body: Bytes kept of each body and each message.
        redact_fields: Names of fields whose values are not kept, beside those that never are.
        redact_keys: The same for keys of JSON, of forms and of queries.
        show_keys: Names that are kept although they look like secrets, such as ``state``.
        remote: Whether operators read it from the edge; False: only this user on this machine.

    Raises:
        ConfigError: A value cannot be used.
    """

    level: InspectLevel = "metadata"
    max_bytes: int = DEFAULT_BYTES
    max_body: int = DEFAULT_BODY
    redact_fields: tuple[str, ...] = ()
    redact_keys: tuple[str, ...] = ()
    show_keys: tuple[str, ...] = ()
    remote: bool = True

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ConfigError("Inspect(level=...)", 'is neither "metadata" nor "full"', _FIX)
        _check_size("max_bytes", self.max_bytes, MIN_BYTES, MAX_BYTES)
        _check_size("max_body", self.max_body, 0, MAX_BODY)
        for setting in ("redact_fields", "redact_keys", "show_keys"):
            object.__setattr__(self, setting, _names(setting, getattr(self, setting)))
        if type(self.remote) is not bool:
            raise ConfigError("Inspect(remote=...)", "is neither True nor False", "leave it out")


GivenInspect = Inspect | InspectLevel | bool
"""What the setting ``inspect`` may be in code; True is "metadata"."""


def read_inspect(given: object, text: str = "") -> Inspect | None:
    """Return what to record; None: nothing.

    Args:
        given: In the code: an :class:`Inspect`, a level, True, False; None: as ``text`` says.
        text: Of ``ASGI_TUNNEL_INSPECT``: a level, ``on``, ``off`` or nothing.

    Raises:
        ConfigError: It is something else.
    """
    if isinstance(given, Inspect):
        return given
    setting = INSPECT if given is None else "inspect"
    value = text.strip().lower() if given is None else given
    if value in ("", "off", False):
        return None
    if value in ("metadata", "on", True):
        return Inspect()
    if value == "full":
        return Inspect(level="full")
    raise ConfigError(setting, 'is none of "metadata", "full" and "off"', _FIX)


def _check_size(setting: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(
            f"Inspect({setting}=...)", f"is no number of bytes from {least} to {most}", "change it"
        )


def _names(setting: str, value: object) -> tuple[str, ...]:
    given = list(value) if isinstance(value, tuple | list | set | frozenset) else [0]
    names = tuple(one for one in given if isinstance(one, str) and one)
    if len(names) != len(given) or len(names) > MAX_NAMES:
        raise ConfigError(
            f"Inspect({setting}=...)",
            f"is no tuple of up to {MAX_NAMES} names",
            'write it like ("x-internal", "iban")',
        )
    return names
