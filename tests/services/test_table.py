from __future__ import annotations

import pytest

from asgi_tunnel.services.service import Service, StatusTarget
from asgi_tunnel.services.table import Table, has_dot_segments, is_named


def table(*names: str) -> Table:
    """A table of services by their names, such as ``a.test/api``."""
    services = []
    for name in names:
        hostname, slash, path = name.partition("/")
        target = StatusTarget(status=200)
        services.append(Service(hostname=hostname, path=slash + path, target=target))
    return Table(services)


@pytest.mark.parametrize(
    ("hostname", "path", "expected"),
    [
        ("a.test", "/", "a.test"),
        ("a.test", "/api", "a.test/api"),
        ("a.test", "/api/", "a.test/api"),
        ("a.test", "/api/x", "a.test/api"),
        ("a.test", "/%61pi/x", "a.test/api"),
        ("a.test", "/apix", "a.test"),
        ("a.test", "/api%2Fx", "a.test"),
        ("a.test", "//api", "a.test"),
        ("a.test", "/API", "a.test"),
        ("b.a.test", "/", "*.a.test"),
        ("c.b.a.test", "/", "*"),
        ("xa.test", "/", "*"),
    ],
)
def test_the_first_line_that_fits_is_the_one(hostname: str, path: str, expected: str) -> None:
    """Hostname and decoded path segments decide; the order of the table is the order of trying."""
    match = table("a.test/api", "a.test", "*.a.test", "*").find(hostname, path.encode())
    assert match is not None
    assert match.service.name == expected


def test_nothing_fits() -> None:
    """A name that no line has is no service."""
    assert table("a.test").find("b.test", b"/") is None


def test_what_matched_and_what_is_left() -> None:
    """The prefix is what was sent, the rest begins with its slash."""
    match = table("*/a/b").find("x.test", b"/a/%62/c//d")
    assert match is not None
    assert match[1:] == (b"/a/%62", b"/c//d")


def test_shadowed_services_are_found() -> None:
    """A service behind one that takes all of its requests is never reached."""
    found = table("*", "a.test", "b.test/x", "*.c.test", "d.c.test/y").shadowed()
    assert [(one.name, by.name) for one, by in found] == [
        ("a.test", "*"),
        ("b.test/x", "*"),
        ("*.c.test", "*"),
        ("d.c.test/y", "*"),
    ]
    assert not table("a.test/x", "a.test", "*.a.test", "*").shadowed()


def test_a_wildcard_is_one_label() -> None:
    """``*.a.test`` is no name itself and not two labels deep, as on the edge."""
    assert is_named("*.a.test", "b.a.test")
    assert not is_named("*.a.test", "a.test")
    assert not is_named("*.a.test", "c.b.a.test")


@pytest.mark.parametrize(
    "path",
    [
        b"/a/../b",
        b"/a/..",
        b"/a/%2e%2e/b",
        b"/a/.%2E/b",
        b"/./a",
        b"/a/..;x=1/b",
        b"/a/..\\b",
        b"/a/%252e%252e/b",
        b"/a/..%2fb",
        b"/a/..%5cb",
    ],
)
def test_dot_segments_are_seen_in_every_spelling(path: bytes) -> None:
    """What a server may resolve to another path does not pass a rule for a path."""
    assert has_dot_segments(path)


@pytest.mark.parametrize("path", [b"/a/b.c", b"/a/...", b"/.well-known/x", b"/a..b", b"/a%20b"])
def test_other_dots_are_no_dot_segments(path: bytes) -> None:
    """Names with dots pass."""
    assert not has_dot_segments(path)
