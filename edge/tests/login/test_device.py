"""Names for browsers and times in lists."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.login.device import Moment, device_of

NOW = 1_796_000_000
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT} Chrome/142.0 Safari/537.36",
            "Chrome on Linux",
        ),
        (
            f"Mozilla/5.0 (Windows NT 10.0) {_WEBKIT} Chrome/142.0 Safari/537 Edg/142",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Android 16; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
            "Firefox on Android",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Version/19 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/19 Safari/605", "Safari on Mac"),
        ("curl/8.19.0", "curl"),
        ("", "An unknown browser"),
    ],
)
def test_a_browser_has_a_short_name(agent: str, name: str) -> None:
    """The one that people know it by, not those that it names for old sites."""
    assert device_of(agent) == name


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (0, "just now"),
        (-5, "just now"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (7200, "2 hours ago"),
        (86400, "1 day ago"),
        (6 * 86400, "6 days ago"),
        (30 * 86400, "31 October 2026"),
    ],
)
def test_a_time_is_told_in_words(age: int, text: str) -> None:
    """Its date only when it is long ago."""
    moment = Moment(NOW - age, NOW)
    assert moment.text == text
    assert moment.iso.endswith("Z")
