"""What a browser keeps of a login."""

from __future__ import annotations

from asgi_tunnel_edge.access.cookies import take_credentials
from asgi_tunnel_edge.login.oidc import attempt as attempts
from asgi_tunnel_edge.login.oidc.attempt import (
    Attempt,
    AttemptSigner,
    UsedStates,
    cookie_name,
    login_cookie,
    new_attempt,
)


def _new(target: str = "/") -> Attempt:
    return new_attempt(
        provider="idp", hostname="a.test", origin="https://a.test", target=target, now=1000.5
    )


def test_each_has_values_of_its_own() -> None:
    """Long enough that nobody guesses one; the verifier is one of RFC 7636."""
    one, two = _new(), _new()
    for name in ("state", "nonce", "verifier", "challenge"):
        assert getattr(one, name) != getattr(two, name)
        assert len(getattr(one, name)) >= 32
    assert len(one.verifier) == 43
    example = Attempt(
        state="",
        nonce="",
        verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        provider="",
        hostname="",
        origin="",
        target="",
        began=0,
    )
    assert example.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_value_is_the_edges_own_and_ends() -> None:
    """A changed one, one of another key, and an old one are none."""
    signer = AttemptSigner(bytes(32))
    attempt = _new()
    value = signer.sign(attempt)
    assert signer.read(value, 1599.0) == attempt
    assert signer.read(value, 1600.0) is None
    assert AttemptSigner(b"1" * 32).read(value, 1000.0) is None
    for place in range(len(value)):
        changed = value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
        assert signer.read(changed, 1000.0) is None
    for junk in (b"", b"1.", b"1..", b"1.AA.AA", b"2" + value[1:], value * 20):
        assert signer.read(junk, 1000.0) is None


def test_the_longest_target_fits_into_a_cookie() -> None:
    """Browsers drop one of more than 4096 bytes."""
    attempt = _new("/" + "x" * 1999)
    signer = AttemptSigner(bytes(32))
    cookie = login_cookie(attempt, signer.sign(attempt))
    assert len(cookie) < 4096
    assert signer.read(signer.sign(attempt), 1000.0) == attempt


def test_no_app_sees_a_cookie_of_a_login() -> None:
    """It is taken out like the session's."""
    name = cookie_name("state")
    taken = take_credentials([(b"cookie", b"a=1; " + name + b"=x; b=2")])
    assert (taken.fields, taken.cookies) == ([(b"cookie", b"a=1; b=2")], [])


def test_a_state_is_good_once_and_forgotten_later() -> None:
    """What is remembered is bounded."""
    used = UsedStates()
    attempt = _new()
    assert used.use(attempt, 1000.0)
    assert not used.use(attempt, 1599.0)
    assert used.use(attempt, 1600.0)
    for _ in range(attempts.MAX_USED - 1):
        assert used.use(_new(), 1600.0)
    assert attempt.state in used.used
    assert used.use(_new(), 1600.0)
    assert attempt.state not in used.used
