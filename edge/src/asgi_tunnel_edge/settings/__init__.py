"""``edge.toml``: its fields, its checks, its text."""
