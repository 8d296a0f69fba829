"""No log and no metric gets the secret in the address of a login's page."""

from __future__ import annotations

import pytest

from asgi_tunnel.protocol.head import ResponseHead
from asgi_tunnel_edge.exchange.private import PrivateHTTPExchange

from .fakes import FakeRoute, FakeUpstream, ListWriter, Log, head_of, request_of

pytestmark = pytest.mark.plain

PAGES = b"/.well-known/asgi-tunnel/access/"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (PAGES + b"link/s3cret", PAGES + b"link"),
        (PAGES + b"invite/s3cret/x?y=z", PAGES + b"invite"),
        (PAGES + b"login?to=/private", PAGES + b"login"),
        (PAGES + b"oidc?code=s3cret", PAGES + b"oidc"),
        (PAGES, PAGES),
        (b"/.well-known", b"/.well-known"),
    ],
)
def test_only_the_name_of_a_page_is_told(target: bytes, shown: bytes) -> None:
    """The page itself gets the whole address."""
    upstream, log = FakeUpstream(), Log()
    head = head_of()._replace(target=target)
    exchange = PrivateHTTPExchange(
        ListWriter(), request_of(target=target), head, FakeRoute(upstream).as_route(), (log,)
    )
    exchange.start()
    assert upstream.heads[0].target == target
    exchange.on_head(ResponseHead(200, []), b"", True)
    assert [entry.target for entry in log.entries] == [shown]
