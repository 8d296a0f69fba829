"""What an app's process runs for its end-to-end hostnames: TLS and HTTP/1.1, at home.

The edge passes the bytes of such a hostname on, unread. Here they are decrypted and read by the
same front that the edge has, and the requests go to the same app by the same driver, so that the
app sees no difference. ``asgi-tunnel`` imports this package when its edge says that a hostname is
end to end; ``pip install "asgi-tunnel[end-to-end]"`` brings it.
"""

from .server import HomeServer

__all__ = ["HomeServer"]
