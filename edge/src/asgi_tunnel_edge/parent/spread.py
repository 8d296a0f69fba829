"""Which serving process gets the next connection of an app, so that each has its part of them.

The system gives a connection to any process that accepts, and so both of an app's connections to
one process as often as not. A process that reads in a ClientHello that an app is dialing hands the
connection to the parent, and the parent to the process whose turn it is, counted for each address:
two connections of one app come to two processes. Visitors stay where they were accepted.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .worker import State

if TYPE_CHECKING:
    from ..channel import Message
    from .worker import Worker

__all__ = ["MAX_ADDRESSES", "Spread"]

MAX_ADDRESSES: Final = 4096
"""Addresses whose turn is remembered, 1 MB; the one heard of longest ago begins anew."""


class Spread:
    """See the module."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, int] = OrderedDict()  # by address
        self._next = 0  # where an address begins that is not remembered

    def pass_on(self, sender: Worker, message: Message, workers: Sequence[Worker]) -> None:
        """Hand a connection on, if need be back; without a process that takes it, it is closed.

        Args:
            sender: Has accepted it, and sent it with this message.
            message: Has the address, and what was read from it.
            workers: Those that may get it.
        """
        handles = sender.take_descriptors(1)
        if not handles:
            return  # the parent had no room for the descriptor; the app comes again
        address = str(message.get("address", ""))
        taken = {"type": "take", "address": address, "data": message.get("data", "")}
        try:
            for worker in [*self._order(address, workers), sender]:
                if worker.offer(taken, handles):
                    return
        finally:
            for handle in handles:
                with contextlib.suppress(OSError):
                    os.close(handle)

    def _order(self, address: str, workers: Sequence[Worker]) -> list[Worker]:
        """The workers, the one first whose turn it is."""
        serving = sorted(
            (one for one in workers if one.state is State.SERVING), key=lambda one: one.place
        )
        if not serving:
            return []
        turn = self._turns.pop(address, None)
        if turn is None:
            turn = self._next
            self._next += 1
            if len(self._turns) >= MAX_ADDRESSES:
                self._turns.popitem(last=False)
        self._turns[address] = turn + 1
        at = turn % len(serving)
        return serving[at:] + serving[:at]
