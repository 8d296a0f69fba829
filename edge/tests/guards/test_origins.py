from __future__ import annotations

import pytest

from .conftest import World, make_world

HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
)
SHOP = "https://shop.a.test"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([f"Origin: {SHOP}"], 0),
        (["Origin: HTTPS://Shop.A.test"], 0),
        (["Origin: https://app.a.test:8443"], 0),
        (["Origin: http://shop.a.test"], 403),
        (["Origin: https://shop.a.test:8443"], 403),
        (["Origin: https://shop.a.test.evil.test"], 403),
        (["Origin: https://evil.test"], 403),
        (["Origin: null"], 403),
        (["Origin:"], 403),
        ([], 403),
        ([f"Origin: {SHOP}", "Origin: https://evil.test"], 403),
    ],
)
def test_listed_origins(fields: list[str], status: int) -> None:
    """T25: a WebSocket opens for pages of the listed origins, and for nobody else."""
    world = make_world({"shop.a.test": {"origins": [SHOP, "https://app.a.test:8443"]}})
    assert world.status("/ws", *HANDSHAKE, *fields) == status
    assert world.status("/ws", *HANDSHAKE, *fields, host="blog.a.test") == 0
    assert world.status("/ws", *fields) == 0  # no WebSocket: the app's own business
    assert world.guards.counts()["origins"] == (status == 403)


def test_programs_and_local_pages() -> None:
    """``"none"`` lets programs in, which send no Origin; ``"null"`` lets local pages in."""
    world = make_world(origins=["none"])
    assert world.status("/ws", *HANDSHAKE) == 0
    assert world.status("/ws", *HANDSHAKE, "Origin: null") == 403
    world = make_world(origins=["null"])
    assert world.status("/ws", *HANDSHAKE) == 403
    assert world.status("/ws", *HANDSHAKE, "Origin: null") == 0


def test_a_hostname_may_have_none(world: World) -> None:
    """Without a list every origin passes; an empty one for a name undoes the edge's."""
    assert world.status("/ws", *HANDSHAKE, "Origin: https://evil.test") == 0
    other = make_world({"shop.a.test": {"origins": []}}, origins=[SHOP])
    assert other.status("/ws", *HANDSHAKE, "Origin: https://evil.test") == 0
    assert other.status("/ws", *HANDSHAKE, "Origin: https://evil.test", host="b.a.test") == 403
