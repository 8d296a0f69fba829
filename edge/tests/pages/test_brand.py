"""Logos, and what they may be."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.pages.brand import DARK, LIGHT, MAX_LOGO, Brand
from asgi_tunnel_edge.pages.colour import contrast
from asgi_tunnel_edge.settings.pages import PagesConfig

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (SVG, "image/svg+xml"),
        (
            b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a\nb -->\n<!DOCTYPE svg>\n' + SVG,
            "image/svg+xml",
        ),
        (b"\x89PNG\r\n\x1a\n" + bytes(9), "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(9), "image/jpeg"),
        (b"GIF89a" + bytes(9), "image/gif"),
        (b"RIFF\n\0\0\0WEBP" + bytes(9), "image/webp"),
    ],
)
def test_a_logo_becomes_a_part_of_the_page(tmp_path: Path, content: bytes, kind: str) -> None:
    """By what it is, not by its name."""
    (tmp_path / "logo").write_bytes(content)
    logo = Brand.of(PagesConfig(name="Shop", logo="logo"), tmp_path).logo
    head, _, data = logo.partition(",")
    assert head == f"data:{kind};base64"
    assert base64.b64decode(data) == content.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read .No such file"),
        (b"<html><svg></svg></html>", "is no picture that is known here; take an SVG"),
        (b"", "is no picture"),
        (SVG + bytes(MAX_LOGO), "has more than 24576 bytes, and each page carries it; take"),
    ],
)
def test_what_is_no_logo(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    """One sentence that names the setting."""
    if content is not None:
        (tmp_path / "logo.svg").write_bytes(content)
    with pytest.raises(EdgeConfigError, match=rf"^edge.toml: pages.logo: .*{sentence}"):
        Brand.of(PagesConfig(logo="logo.svg"), tmp_path)


def test_the_name_stands_beside_the_logo(tmp_path: Path) -> None:
    """Unless it is a part of it; without a logo it is written in any case."""
    (tmp_path / "logo.svg").write_bytes(SVG)
    assert Brand.of(PagesConfig(name="Shop", logo="logo.svg"), tmp_path).show_name
    hidden = PagesConfig(name="Shop", logo="logo.svg", show_name=False)
    assert not Brand.of(hidden, tmp_path).show_name
    assert Brand.of(PagesConfig(name="Shop", show_name=False), tmp_path).show_name


@pytest.mark.parametrize("accent", ["#ffff00", "#000000", "#ffffff", "#0b6bcb", "#e11d48"])
def test_any_accent_can_be_read(accent: str, tmp_path: Path) -> None:
    """On both backgrounds; see ``colour``."""
    brand = Brand.of(PagesConfig(accent=accent), tmp_path)
    assert contrast(brand.accent, LIGHT) >= 4.5
    assert contrast(brand.accent_dark, DARK) >= 4.5
