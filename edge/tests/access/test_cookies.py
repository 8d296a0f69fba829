"""The edge's own cookies and fields are taken out of a request, and nothing else."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.access.cookies import expired_cookie, session_cookie, take_credentials

OWN = b"__Host-asgi-tunnel"


def test_a_request_without_any_keeps_its_list() -> None:
    """Nothing is copied."""
    fields = [(b"host", b"a.test"), (b"cookie", b"a=b; __Host-other=c")]
    found = take_credentials(fields)
    assert found.fields is fields
    assert (found.cookies, found.token, found.has_authorization) == ([], [], False)


@pytest.mark.parametrize(
    ("cookie", "kept", "values"),
    [
        (OWN + b"=v", None, [b"v"]),
        (b"a=b; " + OWN + b"=v; c=d", b"a=b; c=d", [b"v"]),
        (OWN + b"=v;c=d", b"c=d", [b"v"]),
        (b"a=b;" + OWN + b" =v", b"a=b", []),
        (OWN + b"=v; " + OWN + b"=v", None, [b"v"]),
        (OWN + b"=v; " + OWN + b"=w", None, [b"v", b"w"]),
        (OWN + b"-login=x; a=b", b"a=b", []),
        (OWN + b"=a=b", None, [b"a=b"]),
        (OWN, None, [b""]),
        (b"a=" + OWN, b"a=" + OWN, []),
    ],
)
def test_cookies(cookie: bytes, kept: bytes | None, values: list[bytes]) -> None:
    """Each of the edge's goes; the session's different values are returned."""
    host = (b"host", b"a.test")
    found = take_credentials([(b"cookie", cookie), host])
    assert found.fields == ([host] if kept is None else [(b"cookie", kept), host])
    assert [one for one in found.cookies if one or values] == values


def test_two_fields_are_one() -> None:
    """HTTP/2 fronts cut a Cookie field into several."""
    found = take_credentials(
        [(b"cookie", OWN + b"=v"), (b"cookie", b"a=b"), (b"cookie", OWN + b"=w")]
    )
    assert found.fields == [(b"cookie", b"a=b")]
    assert found.cookies == [b"v", b"w"]


def test_the_fields_of_a_service_token() -> None:
    """They go in any number; an Authorization stays, and is named."""
    pair = [(b"asgi-tunnel-token-id", b"x"), (b"asgi-tunnel-token-secret", b"y")]
    found = take_credentials([*pair, (b"authorization", b"z"), pair[0]])
    assert found.token == [*pair, pair[0]]
    assert found.fields == [(b"authorization", b"z")]
    assert found.has_authorization


def test_what_browsers_are_sent() -> None:
    """A cookie for this hostname, https and no script."""
    assert session_cookie(b"v", max_age=9) == (
        b"__Host-asgi-tunnel=v; Max-Age=9; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert expired_cookie().startswith(b"__Host-asgi-tunnel=; Max-Age=0; Path=/; Secure;")
