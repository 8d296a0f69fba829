"""``[pages]`` of edge.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.pages import MAX_TEXT, PagesConfig


def read(**pages: Any) -> PagesConfig:
    """The table, read."""
    table = {"domain": "example.org", "listen": "127.0.0.1:0", "pages": pages}
    return EdgeConfig.from_table(table, Path()).pages


def test_all_of_it() -> None:
    """What is written holds; nothing has to be."""
    assert read() == PagesConfig()
    pages = read(name="Shop", logo="l.svg", accent="#FF8800", help="Call us", help_url="tel:+1-2")
    assert (pages.name, pages.accent, pages.help_url) == ("Shop", "#FF8800", "tel:+1-2")


@pytest.mark.parametrize(
    "url", ["mailto:a@b.org", "https://b.org", "http://b.org:81/x?y#z", "tel:+49(0)30-1"]
)
def test_links(url: str) -> None:
    """To a page, to write, to call."""
    assert read(help="Help", help_url=url).help_url == url


@pytest.mark.parametrize(
    ("pages", "sentence"),
    [
        ({"accent": "blue"}, 'accent: expected a colour as #rrggbb, got "blue"; write for example'),
        ({"accent": "#12345"}, "accent: expected a colour"),
        ({"name": ""}, "name: expected one line of 1 to 200 characters"),
        ({"name": "x" * (MAX_TEXT + 1)}, "name: expected one line of 1 to 200 characters"),
        ({"name": "a\nb"}, "name: expected one line of text"),
        ({"help": "x", "help_url": "javascript:alert(1)"}, "help_url: expected a link, got"),
        ({"help": "x", "help_url": "//b.org"}, "help_url: expected a link, got"),
        ({"help_url": "https://b.org"}, "help_url: is the link of pages.help, which is missing"),
        ({"logos": "x"}, "logos: there is no such setting; did you mean logo"),
        ({"show_name": 1}, "show_name: expected true or false, got int 1"),
    ],
)
def test_mistakes(pages: dict[str, Any], sentence: str) -> None:
    """Each is named with what was expected."""
    with pytest.raises(EdgeConfigError) as caught:
        read(**pages)
    assert str(caught.value).startswith(f"edge.toml: pages.{sentence}")
