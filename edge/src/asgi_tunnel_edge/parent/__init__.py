"""The parent process of a running edge: holds the listening sockets, starts who serves on them.

It imports nothing of what serves visitors, so it has nothing that a visitor could reach, stays
small (docs/adr/0013-parent-and-generations.md), and what it starts is always the code that is
installed now. It speaks with its serving processes by :mod:`..channel`, and with commands such as
``asgi-tunnel-edge status`` by the control socket (:mod:`..control`).
"""
