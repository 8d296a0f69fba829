from __future__ import annotations

import pytest

from asgi_tunnel_edge.admission import failures
from asgi_tunnel_edge.admission.failures import FAILURE_WINDOW, FAILURES, FailureLimiter


def test_an_address_may_send_so_many_different_wrong_tokens() -> None:
    """T31: one more within the window is over, for this address alone; then it starts again."""
    limiter = FailureLimiter()
    assert not any(limiter.count("a", f"token {n}", 0.0) for n in range(FAILURES))
    assert limiter.count("a", "one more", FAILURE_WINDOW)
    assert not limiter.count("b", "one more", FAILURE_WINDOW)
    assert not limiter.count("a", "one more", FAILURE_WINDOW + 0.1)


def test_the_same_wrong_token_counts_once() -> None:
    """An app with a revoked token repeats it; its neighbours behind the address stay welcome."""
    limiter = FailureLimiter()
    assert not any(limiter.count("a", "revoked", 0.0) for _ in range(10 * FAILURES))
    assert not any(limiter.count("a", f"token {n}", 0.0) for n in range(FAILURES - 1))
    assert limiter.count("a", "one more", 0.0)
    assert not limiter.count("a", "revoked", 0.0)


@pytest.mark.parametrize("text", ["", "\xff\xfe", "\ud800", "x" * 100_000])
def test_any_text_can_be_counted(text: str) -> None:
    """What came in the field is counted, whatever it is."""
    assert not FailureLimiter().count("a", text, 0.0)


def test_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A botnet fills the table; it never grows beyond its bound."""
    monkeypatch.setattr(failures, "MAX_ADDRESSES", 3)
    limiter = FailureLimiter()
    for n in range(10):
        limiter.count(f"address {n}", "wrong", 0.0)
        assert len(limiter) <= 3


def test_other_addresses_do_not_free_who_has_sent_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T71: one address fills its account; its sender's other addresses do not empty it."""
    monkeypatch.setattr(failures, "MAX_ADDRESSES", 100)
    limiter = FailureLimiter()
    for n in range(FAILURES):
        limiter.count("attacker", f"token {n}", 0.0)
    for n in range(1000):
        limiter.count(f"address {n}", "wrong", 1.0)
    assert limiter.count("attacker", "one more", 2.0)
