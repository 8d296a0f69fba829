"""What differs between the databases that may hold the store; all else is the same for both.

:mod:`.sqlite` is the file in the edge's folder, :mod:`.postgresql` a server that several edges
share. Without SQLAlchemy, as :mod:`.reading`: a running edge follows its store by this alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

__all__ = ["Dialect", "Location", "Select", "Watch", "older_version"]

Location = Path | str
"""Where a store is: the path of a file, or a URL ``postgresql://``."""

Select = Callable[..., Iterable[Mapping[str, Any]]]
"""Takes a SELECT, and its values, each a ``?`` in it; gives rows by the names of their columns."""

BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another process's write; a write takes milliseconds."""


class Watch(Protocol):
    """The open connection over which a running edge sees changes; used by one thread at a time.

    Every method raises StorageError, OSError or one of ``Dialect.errors``, after which
    :meth:`close` comes, and then anything.
    """

    def version(self) -> object:
        """Return what is another one after each change; opens the database where it is not open."""

    def moment(self) -> AbstractContextManager[Select]:
        """Read what was true at one moment."""

    def update(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Change each row or none, without a new :meth:`version`; nothing where it is not open."""

    def close(self) -> None:
        """Let go of the database."""


class Dialect(Protocol):
    """One store, and how it is spoken to.

    A connection is one of the driver, in autocommit mode, so that transactions begin where
    :meth:`begin` says.
    """

    label: str  #: for sentences; never with a password
    repair: str  #: what to do where it is lost, for sentences

    @property
    def alchemy(self) -> str:
        """The name that SQLAlchemy has for it."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises."""

    def load(self) -> None:
        """Load the driver.

        Raises:
            StorageError: It is not installed.
        """

    def prepare(self) -> None:
        """Make what can hold tables, before they are made; nothing where it is there."""

    def connect(self) -> Any:
        """Open a connection for changes."""

    def begin(self, connection: Any, *, writes: bool) -> None:
        """Begin a transaction.

        One that writes is alone until it ends: what it checks stays true. One that reads sees one
        moment.
        """

    def take_time(self, connection: Any) -> None:
        """Let statements of a connection last as long as they need: those of migrations."""

    def moment(self) -> AbstractContextManager[Select]:
        """Read what is true now, over a connection of its own."""

    def watch(self) -> Watch:
        """Return a watch; nothing is opened yet."""

    def revision(self) -> str | None:
        """Return the newest migration that was made; None: there are no tables."""

    def find_damage(self) -> str:
        """Look through all that is kept; empty: it is whole."""

    def after_copy(self, connection: Any) -> None:
        """Let numbers that the database gives out go on, after rows came with theirs."""

    def sentence(self, error: Exception) -> str:
        """Say what an error of the driver means, and what to do."""


def older_version(label: str) -> str:
    """Say that tables or columns are missing."""
    return (
        f"the database {label} is of an older version; start the edge once with "
        "`asgi-tunnel-edge run`, which brings it up to date"
    )
