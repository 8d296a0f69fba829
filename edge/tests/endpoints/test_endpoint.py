"""Which requests an endpoint claims."""

from __future__ import annotations

import pytest
from edge.tests.exchange.fakes import request_of

from asgi_tunnel_edge.endpoints.endpoint import PathEndpoint
from asgi_tunnel_edge.route import Route


@pytest.mark.parametrize(
    ("target", "is_claimed"),
    [(b"/page", True), (b"/page?a=1", True), (b"/page/", False), (b"/pages", False), (b"*", False)],
)
def test_one_path_on_every_host(target: bytes, is_claimed: bool) -> None:
    """The path decides, and neither the host nor the query."""
    route = Route("-", "")
    endpoint = PathEndpoint("/page", route)
    for hostname in ("shop.example.test", None):
        claimed = endpoint.claim(request_of(target=target, hostname=hostname))
        assert (claimed is route) is is_claimed
