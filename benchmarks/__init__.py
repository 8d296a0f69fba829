"""Measures asgi-tunnel beside the other ways to put the same app on the internet."""
