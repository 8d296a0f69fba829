"""``edge.toml``: fields in ``config`` and ``guards``, checks in ``check``, text in ``file``."""
