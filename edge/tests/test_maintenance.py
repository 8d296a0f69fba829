"""Times and messages of a maintenance."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.maintenance import MAX_MESSAGE, check_message, parse_until

NOW = 1796011200.5  # 2026-11-30T04:00:00.5Z


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("90m", 1796016600),
        ("2h", 1796018400),
        ("1d", 1796097600),
        ("2026-11-30T06:00Z", 1796018400),
        ("2026-11-30T07:00:00+01:00", 1796018400),
        ("2026-11-30 06:00+00:00", 1796018400),
    ],
)
def test_times(text: str, until: int) -> None:
    """From now, or with a zone."""
    assert parse_until(text, now=NOW) == until


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("soon", 'expected a time, got "soon"; write for example 90m, 2h, 1d or'),
        ("2026-11-30T06:00", "names no time zone; add Z for UTC"),
        ("2026-11-30T04:00Z", "is not in the year that comes"),
        ("0m", "is not in the year that comes"),
        ("400d", "is not in the year that comes"),
        ("9999-12-31T23:59+00:00", "is not in the year that comes"),
        ("0001-01-01T00:00+14:00", "is not in the year that comes"),
    ],
)
def test_no_times(text: str, sentence: str) -> None:
    """One sentence says why."""
    with pytest.raises(EdgeConfigError) as caught:
        parse_until(text, now=NOW)
    assert str(caught.value).startswith("--until: ")
    assert sentence in str(caught.value)


def test_messages() -> None:
    """One line that fits on the page."""
    assert (
        check_message("Neue Festplatten \u2013 bis morgen!")
        == "Neue Festplatten \u2013 bis morgen!"
    )
    for text in ("a\nb", "\x1b[31m", "x" * (MAX_MESSAGE + 1)):
        with pytest.raises(EdgeConfigError, match="expected one line of at most 300 characters"):
            check_message(text)
