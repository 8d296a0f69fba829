"""``scripts/build_site.py``: pages of the repository become pages of the site."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.build_site import (
    FRONT_PAGE_ENDS,
    ROOT,
    Converter,
    SiteError,
    loaded_from_elsewhere,
    navigation,
    prepare,
    sources,
)

FILES = {
    "README.md": "[how](docs/howto/a.md#part), [it](SECURITY.md), [decisions](docs/adr/)\n",
    "SECURITY.md": "# Reporting\n",
    "docs/howto/a.md": "# A\n\n[home](../../README.md#top), [code](../../examples/x/x.py)\n",
    "docs/adr/0001-one.md": "# 1. One\n",
    "examples/x/README.md": "# X\n",
    "examples/x/x.py": "x = 1\n",
}


def repository(folder: Path, **changed: str) -> Path:
    """A repository of a few pages."""
    for name, text in {**FILES, **changed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        (folder / name).write_text("# Other\n", encoding="utf-8")
    return folder


def converted(folder: Path, text: str, name: str = "docs/howto/a.md") -> str:
    """What a page of the site says for a text of the repository."""
    root = repository(folder, **{name: text})
    return Converter(root, sources(root)).convert(name)


def test_links_lead_to_the_same_pages(tmp_path: Path) -> None:
    """A link to a page, a folder or a file of an example is one on the site."""
    root = repository(tmp_path / "repository")
    prepare(root, tmp_path / "pages")
    front = (tmp_path / "pages/index.md").read_text("utf-8")
    assert front == "[how](howto/a.md#part), [it](reporting.md), [decisions](adr/index.md)\n"
    page = (tmp_path / "pages/howto/a.md").read_text("utf-8")
    assert "[home](../index.md#top), [code](../examples/x/x.py.txt)" in page
    assert (tmp_path / "pages/examples/x/x.py.txt").read_text("utf-8") == "x = 1\n"
    assert "[1. One](0001-one.md)" in (tmp_path / "pages/adr/index.md").read_text("utf-8")


def test_a_link_out_of_the_site_is_an_error(tmp_path: Path) -> None:
    """A file that is not on the site cannot be linked: the error names page and link."""
    with pytest.raises(SiteError, match=r"howto/a\.md: the link \.\./\.\./Makefile"):
        converted(tmp_path, "[make](../../Makefile)\n")


def test_code_stays_as_it_is(tmp_path: Path) -> None:
    """What looks like a link inside code is none."""
    text = "`[a](b.md)`\n\n```text\n[a](b.md)\n<!-- not run: here -->\n```\n"
    assert converted(tmp_path, text) == text


def test_numbered_items_keep_their_blocks(tmp_path: Path) -> None:
    """What stands below a numbered item gets four spaces; a list that has ended changes nothing."""
    text = "1. One\n\n   ```toml\n   a = 1\n   ```\n\n2. Two\n\nEnd\n\n   - no item\n"
    shown = "1. One\n\n    ```toml\n    a = 1\n    ```\n\n2. Two\n\nEnd\n\n   - no item\n"
    assert converted(tmp_path, text) == shown


def test_notes_and_the_end_of_the_front_page_are_left_out(tmp_path: Path) -> None:
    """Comments for the tests are not on the site, and neither is what only the README needs."""
    text = f"# A\n\n<!-- not run: why -->\n```text\nx\n```\n\n{FRONT_PAGE_ENDS}\n\n## More\n"
    assert converted(tmp_path, text) == "# A\n\n```text\nx\n```\n"


def test_every_page_is_in_the_navigation() -> None:
    """A page that the list does not name is found in the section of its folder."""
    pages = {place: place for place in sources(ROOT).values() if place.endswith(".md")}
    pages["howto/new.md"] = "new"
    shown = str(navigation(pages))
    assert [page for page in pages if f"'{page}'" not in shown] == []


def test_what_is_loaded_from_elsewhere_is_found(tmp_path: Path) -> None:
    """Scripts, style sheets, fonts and pictures of other hosts are found; a plain link is none."""
    (tmp_path / "a.html").write_text(
        '<a href="https://a.example/">a</a><script src="//b.example/b.js"></script>'
        '<img src="c.png"><link rel="stylesheet" href="https://d.example/d.css">'
    )
    (tmp_path / "e.css").write_text("@font-face { src: url('https://f.example/f.woff2') }")
    found = " ".join(loaded_from_elsewhere(tmp_path))
    assert [name for name in "abcdf" if f"{name}.example" in found] == ["b", "d", "f"]
