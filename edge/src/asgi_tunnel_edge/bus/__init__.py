"""What is true right now, for all serving processes: who holds a hostname, and what has happened.

Each serving process is a :class:`Node`, whether it is a worker of one machine or another edge. The
store (:mod:`..storage`) holds what must last. Neither is on the way of a request: bodies go from
node to node (:mod:`..peers`), never over the bus.
"""

from .bus import MAX_EVENT, Bus, BusListener, Event, Node, decode_event, encode_event
from .local import LocalBus, LocalHub
from .opening import open_bus

__all__ = [
    "MAX_EVENT",
    "Bus",
    "BusListener",
    "Event",
    "LocalBus",
    "LocalHub",
    "Node",
    "decode_event",
    "encode_event",
    "open_bus",
]
