"""Templates of an operator, and what a policy allows of them."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.pages import Pages, load_pages
from asgi_tunnel_edge.pages.template import MAX_PAGE, MAX_TEMPLATE
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.pages import PagesConfig

OFFLINE = Reply(503, "it is <away>", 5, reason="offline")
UNKNOWN = Reply(404, "nothing", reason="unknown-hostname")


def pages_of(folder: Path, **files: str) -> Pages:
    """The pages of an edge whose folder of templates has these files, by name without its end."""
    (folder / "own").mkdir()
    for name, text in files.items():
        (folder / "own" / f"{name}.html").write_text(text)
    config = EdgeConfig(
        data_dir=folder,
        domain="example.org",
        listen="127.0.0.1:0",
        pages=PagesConfig(name="Shop & Co", help="Ask us", templates="own"),
    )
    return load_pages(config)


def render(pages: Pages, reply: Reply = OFFLINE) -> tuple[str, str]:
    """The page, and the lines of its head."""
    body, fields = pages.render(reply, accept=b"text/html", request_id=b"abc", is_get=True)
    return body.decode(), fields.decode()


def test_one_page_for_all(tmp_path: Path) -> None:
    """Each value that a page has can be written anywhere, and more than once."""
    pages = pages_of(
        tmp_path,
        page="{{ title }}|{{ status }} {{ phrase }}|{{ request_id }}|{{ detail }}|{{ request_id }}"
        "|{{ brand.name }}|{{ reason }}|{{ icon }}",
    )
    page, fields = render(pages)
    assert page == (
        "This site is offline at the moment|503 Service Unavailable|abc|it is &lt;away&gt;|abc"
        "|Shop &amp; Co|offline|away"
    )
    assert "style-src" not in fields
    assert "script-src" not in fields
    assert render(pages, UNKNOWN)[0].startswith("There is no site at this address|404 Not Found|")


def test_a_page_for_one_reason(tmp_path: Path) -> None:
    """The others stay as they are, with the operator's name on them."""
    pages = pages_of(tmp_path, offline="gone fishing")
    assert render(pages)[0] == "gone fishing"
    page, _ = render(pages, UNKNOWN)
    assert "<h1>There is no site at this address</h1>" in page
    assert "<span>Shop &amp; Co</span>" in page
    assert "Ask us" in page


def test_a_part_of_the_built_in_page(tmp_path: Path) -> None:
    """Its blocks are replaced one by one; the rest keeps working."""
    pages = pages_of(
        tmp_path,
        page='{% extends "builtin/page.html" %}{% block content %}<h1>Oh no</h1>{% endblock %}',
    )
    page, fields = render(pages)
    assert "<h1>Oh no</h1>" in page
    assert "This site is offline at the moment</h1>" not in page
    assert "<script>" in page
    assert "connect-src 'self'" in fields


def test_the_policy_has_the_hash_of_each_style_and_script(tmp_path: Path) -> None:
    """So a browser runs what the operator wrote, and nothing else."""
    pages = pages_of(
        tmp_path,
        page="<style>b { color: red }</style><SCRIPT type=module>let a = '<b>';</SCRIPT >"
        "<style>i { color: red }</style><style>i { color: red }</style>",
    )
    _, fields = render(pages)
    allowed = re.findall(r"'sha256-([^']+)'", fields)
    wanted = ["b { color: red }", "i { color: red }", "let a = '<b>';"]
    assert allowed == [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in wanted
    ]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has neither page.html nor a page for one reason, as offline.html; write one"),
        ({"offlin": "x"}, "has neither page.html nor"),
        ({"page": "{{ titel }}"}, "a template has a mistake: \"'titel' is undefined\"; see"),
        ({"page": "a\n{% if %}"}, "a template has a mistake: page.html, line 2: "),
        ({"page": '{% include "x.html" %}'}, "a template has a mistake: "),
        ({"page": "{{ 1 // 0 }}"}, "a template has a mistake: "),
        ({"page": "<script>a = '{{ detail }}'</script>"}, "has a value of a reply in <script>"),
        ({"page": "x" * (MAX_TEMPLATE + 1)}, f"has more than {MAX_TEMPLATE} bytes; make it"),
        ({f"x{n}": "" for n in range(40)} | {"page": ""}, "has more than 40 files; keep templates"),
        ({"page": "{{ 'x' * 100000 }}"}, f"has 100000 bytes, more than {MAX_PAGE}; make it"),
    ],
)
def test_mistakes(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    """Found at the start, not when a visitor comes."""
    with pytest.raises(EdgeConfigError) as caught:
        pages_of(tmp_path, **files)
    text = str(caught.value)
    assert text.startswith("edge.toml: pages.templates: ")
    assert sentence in text
    assert "\n" not in text


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Named too; a folder beside the templates is not looked at."""
    (tmp_path / "own" / "old").mkdir(parents=True)
    (tmp_path / "own" / "page.html").write_bytes(b"\xff")
    config = EdgeConfig(
        data_dir=tmp_path,
        domain="example.org",
        listen="127.0.0.1:0",
        pages=PagesConfig(templates="own"),
    )
    with pytest.raises(EdgeConfigError, match=r"page.html is no UTF-8; save it as UTF-8"):
        load_pages(config)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Named."""
    config = EdgeConfig(
        data_dir=tmp_path,
        domain="example.org",
        listen="127.0.0.1:0",
        pages=PagesConfig(templates="own"),
    )
    with pytest.raises(EdgeConfigError, match=r"own cannot be read .No such file"):
        load_pages(config)
