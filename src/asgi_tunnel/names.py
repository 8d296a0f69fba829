"""Which hostnames a process serves, beside those that its token has.

HELLO says it, so that two processes of one token get each what it has (docs/protocol.md section 6).
Called by :mod:`.connector`, which is told of changes, and by what looks for mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["MAX_NAMES", "ServedNames", "advice", "is_covered", "names_of"]

MAX_NAMES: Final = 128
"""Names in HELLO, which holds 16 KiB; a table of more asks for all that the token has."""

_MAX_LENGTH: Final = 64
"""Characters of a name on average: 128 of them are half of a HELLO."""


class ServedNames:
    """What the table of an app has, in order, and who hears of a change.

    Attributes:
        on_change: Called when the names are others.
        on_apps: Called when the table has other apps, which have started.
        describe: Returns the lines of the table, for people; None: there is no table.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] | None = None
        self.on_apps: Callable[[], None] | None = None
        self.describe: Callable[[], list[dict[str, object]]] | None = None
        self._names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names and wildcards, each once; ``*`` for every name."""
        return self._names

    @property
    def in_hello(self) -> tuple[str, ...]:
        """The same for HELLO; empty: every name of the token, or more than HELLO holds."""
        names = self._names
        is_long = len(names) > MAX_NAMES or sum(map(len, names)) > MAX_NAMES * _MAX_LENGTH
        return () if "*" in names or is_long else names

    def replace(self, hostnames: Sequence[str]) -> None:
        """Take over the hostnames of another table."""
        names = tuple(dict.fromkeys(hostnames))
        if names != self._names:
            self._names = names
            if self.on_change is not None:
                self.on_change()


def names_of(app: object) -> ServedNames | None:
    """Return the names of an app's table; None where it has none."""
    found = getattr(app, "served_names", None)
    return found if isinstance(found, ServedNames) else None


def is_covered(name: str, granted: Sequence[str]) -> bool:
    """Whether visitors of a name of a table come to a process that is granted names.

    Args:
        name: A name, a wildcard, or ``*``.
        granted: Names and wildcards, as WELCOME has them.
    """
    if name == "*" or name in granted:
        return True
    if name.startswith("*."):
        return any(one.partition(".")[2] == name[2:] for one in granted)
    return f"*.{name.partition('.')[2]}" in granted


def advice(name: str, token_id: str) -> str:
    """Return what is wrong with a name that the token does not serve, and what to do."""
    return (
        f"the token does not serve {name}, so no visitor comes; on the edge: "
        f"`asgi-tunnel-edge host add {token_id} {name}`"
    )
