"""``edge.toml``: fields in ``config`` and ``guards``, checks in ``check``, text in ``file``.

All mistakes at once, and where each value comes from: ``survey``.
"""
