"""Drives an ASGI app by what comes over a stream: an ASGI server without a socket."""
