"""The subcommands of ``asgi-tunnel-edge``, one in each file; ``cli`` puts them together."""
