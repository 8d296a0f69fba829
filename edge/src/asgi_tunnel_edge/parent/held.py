"""The listening sockets that the parent holds: they stay while serving processes come and go.

A serving process opens what its settings ask for and nobody holds, and sends it here; so the parent
needs to know nothing of settings. What the next one finds it gets by inheritance: the numbers of
its descriptors, by the name that they were opened under. A service manager may hand sockets over
as well (systemd's socket activation).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["HeldSockets"]


class HeldSockets:
    """Descriptors by name.

    A name is ``listen``, ``http_listen``, ``dns``, ``dashboard`` or ``metrics``, a space, and the
    address as the settings have it; of a service manager's sockets, the name that it gives.
    """

    def __init__(self) -> None:
        self._held: dict[str, list[int]] = {}
        self._given: set[str] = set()  # by the service manager, which keeps them open anyway

    @property
    def names(self) -> dict[str, list[int]]:
        """The descriptors of each name, as a serving process is told of them."""
        return dict(self._held)

    @property
    def handles(self) -> list[int]:
        """All descriptors."""
        return [handle for handles in self._held.values() for handle in handles]

    @property
    def given(self) -> list[str]:
        """The names of those that the service manager gave."""
        return sorted(self._given)

    def restore(self, names: Mapping[str, Sequence[int]], given: Iterable[str]) -> None:
        """Hold what this process held as another version (:mod:`.renewal`)."""
        self._held = {name: list(handles) for name, handles in names.items()}
        self._given = set(given)

    def hold(self, name: str, handles: Sequence[int]) -> None:
        """Keep what a serving process has opened, in place of what had the name."""
        self._close(name)
        self._held[name] = list(handles)

    def keep(self, names: Iterable[str]) -> None:
        """Close what nobody uses any more; what a service manager gave stays."""
        for name in set(self._held) - set(names) - self._given:
            self._close(name)

    def close(self) -> None:
        """Close all: the edge ends."""
        for name in list(self._held):
            self._close(name)

    def take_given(self, environment: Mapping[str, str], first: int = 3) -> None:
        """Take what systemd hands over (sd_listen_fds(3)).

        Args:
            environment: LISTEN_PID says for whom, LISTEN_FDS how many, LISTEN_FDNAMES their names.
            first: The first descriptor's number.
        """
        count = environment.get("LISTEN_FDS", "")
        if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
            return
        names = environment.get("LISTEN_FDNAMES", "").split(":")
        for number in range(int(count)):
            name = (names[number] if number < len(names) else "") or "unknown"
            self._held.setdefault(name, []).append(first + number)
            self._given.add(name)

    def _close(self, name: str) -> None:
        for handle in self._held.pop(name, ()):
            with contextlib.suppress(OSError):
                os.close(handle)
