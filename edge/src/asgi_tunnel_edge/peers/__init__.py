"""Connections between the nodes of an edge or a cluster, and what passes over them.

A visitor may come in at one node while the app's sessions are at another. ``service`` keeps a
connection to each node that is needed (``link``, ``listening``, ``greeting``); ``holders`` knows
who has a hostname; ``forwarded`` is an exchange at the node of the visitor, ``relay`` the same at
the node of the app; ``description`` is what the one has to know of the other's app, and ``carry``
lets a session resume that lives in another process. See docs/adr/0019-nodes-and-peers.md.
"""

from .service import Peers

__all__ = ["Peers"]
