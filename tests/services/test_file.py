from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from asgi_tunnel.errors import ConfigError
from asgi_tunnel.services.file import append_service, find_file, load_file, remove_service

ISSUE = """\
[[services]]
hostname = "photos.example.org"
to = "http://127.0.0.1:2342"
[[services]]
hostname = "shop.example.org"
path = "/api"
to = "main:app"
"""

COMMENTED = """\
# My services.

# Photos of the last years
[[services]]  # Jellyfin
hostname = "photos.example.org"
to = "http://127.0.0.1:2342"

# The shop;
# it is new.
[[ services ]]
hostname = "shop.example.org"
path = "/api"
to = "main:app"  # FastAPI

[[services]]
hostname = "*"
status = 404
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Where asgi-tunnel.toml is."""
    return tmp_path / "asgi-tunnel.toml"


def test_the_file_is_read(own: Path) -> None:
    """In order, exactly as others write it."""
    own.write_text(ISSUE)
    assert [(one.name, one.to) for one in load_file(own)] == [
        ("photos.example.org", "http://127.0.0.1:2342"),
        ("shop.example.org/api", "main:app"),
    ]


def test_a_project_file_has_them_in_its_own_part(tmp_path: Path) -> None:
    """[[tool.asgi-tunnel.services]]; the other file comes first."""
    project = tmp_path / "pyproject.toml"
    assert find_file(tmp_path) is None
    project.write_text('[project]\nname = "x"\n')
    assert find_file(tmp_path) is None
    project.write_text('[project]\nname = "x"\n\n' + ISSUE.replace("[[s", "[[tool.asgi-tunnel.s"))
    assert find_file(tmp_path) == project
    assert len(load_file(project)) == 2
    append_service(project, {"hostname": "a.test", "to": "m:a"})
    remove_service(project, "photos.example.org")
    assert [one.name for one in load_file(project)] == ["shop.example.org/api", "a.test"]
    assert project.read_text().startswith('[project]\nname = "x"\n')
    (tmp_path / "asgi-tunnel.toml").write_text(ISSUE)
    assert find_file(tmp_path) == tmp_path / "asgi-tunnel.toml"


def test_relative_folders_start_at_the_file(own: Path) -> None:
    """Not where the program happens to be started."""
    (own.parent / "public").mkdir()
    own.write_text('[[services]]\nhostname = "a"\nto = "./public"\n')
    assert load_file(own)[0].target.folder == str(own.parent / "public")  # type: ignore[union-attr]


def test_a_service_is_added_at_the_end(own: Path) -> None:
    """What was there stays as it is; the file is made where there is none."""
    append_service(own, {"hostname": "a.test", "to": "m:a", "strip": True, "path": "/x"})
    assert own.read_text() == (
        '[[services]]\nhostname = "a.test"\nto = "m:a"\nstrip = true\npath = "/x"\n'
    )
    own.write_text(COMMENTED.rstrip("\n"))
    append_service(own, {"hostname": 'b\\".test'.replace('\\"', ""), "to": "./"})
    assert own.read_text().startswith(COMMENTED)
    assert len(load_file(own)) == 4


def test_a_service_is_cut_out_with_its_comments(own: Path) -> None:
    """All other lines stay, line ends included."""
    own.write_bytes(COMMENTED.replace("\n", "\r\n").encode())
    remove_service(own, "shop.example.org/api")
    first, rest = COMMENTED.split("# The shop;\n")
    expected = first + rest[rest.index('[[services]]\nhostname = "*"') :]
    assert own.read_bytes() == expected.replace("\n", "\r\n").encode()
    remove_service(own, "photos.example.org")
    assert own.read_bytes().startswith(b'# My services.\r\n\r\n[[services]]\r\nhostname = "*"')
    with pytest.raises(ConfigError, match=r"x is no service of asgi-tunnel.toml; write one of: \*"):
        remove_service(own, "x")


def test_an_edit_that_cannot_be_used_changes_nothing(own: Path) -> None:
    """The file stays as it was, and nothing is left beside it."""
    own.write_text(ISSUE)
    for table in (
        {"hostname": "a b", "to": "m:a"},
        {"hostname": "photos.example.org", "to": "m:a"},
    ):
        with pytest.raises(ConfigError):
            append_service(own, table)
    assert own.read_text() == ISSUE
    assert list(own.parent.iterdir()) == [own]


def test_an_inline_table_is_edited_by_hand(own: Path) -> None:
    """Lines that are not understood are not cut."""
    text = 'services = [{ hostname = "a.test", status = 404 }]\n'
    own.write_text(text)
    assert load_file(own)[0].name == "a.test"
    with pytest.raises(ConfigError, match="remove the lines by hand"):
        remove_service(own, "a.test")
    with pytest.raises(ConfigError, match="is no TOML"):
        append_service(own, {"hostname": "b.test", "to": "m:a"})
    assert tomllib.loads(own.read_text())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[services]\n", "asgi-tunnel.toml is no TOML"),
        ("[services]\na = 1\n", "asgi-tunnel.toml: services is no list of tables"),
        ("[[servicse]]\n", "asgi-tunnel.toml: servicse is no key of this file"),
        ("services = [1]\n", "services is no list of tables"),
        ('[[services]]\nhostname = "a"\n', "asgi-tunnel.toml: service a does not say what answers"),
    ],
)
def test_a_file_of_no_use_gets_one_sentence(own: Path, text: str, sentence: str) -> None:
    """With the file's name and the key."""
    own.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_file(own)
    assert sentence in str(caught.value)


def test_a_file_that_cannot_be_read(own: Path) -> None:
    """Missing, or not text."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_file(own)
    own.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_file(own)
