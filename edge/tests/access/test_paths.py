"""A path has one spelling, or every door of its hostname counts."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel_edge.access.paths import Door, plain_path
from asgi_tunnel_edge.access.policy import Policy
from asgi_tunnel_edge.settings.access import AccessConfig
from asgi_tunnel_edge.settings.guards import HostnameConfig

POLICIES = {name: Policy(name, AccessConfig()) for name in ("family", "operators")}


def door(access: str | None = "family", **paths: str) -> Door:
    """A door of a hostname; keys are paths without their first slash."""
    settings = HostnameConfig(
        access=access, access_paths={f"/{key}": it for key, it in paths.items()}
    )
    return Door(settings, POLICIES)


def names(one: Door, target: bytes, method: bytes = b"GET") -> list[str]:
    """The policies that a request has to pass."""
    return [policy.name for policy in one.policies_of(method, target)]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"/a/b?c=/../d", "/a/b"),
        (b"/%61b", "/ab"),
        (b"/a%20b", "/a b"),
        (b"/%C3%BC", "/ü"),
        (b"/a/", "/a/"),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/a..b/...", None),  # some servers drop dots at an end
        (b"*", "*"),
        (b"//a", None),
        (b"/a//b", None),
        (b"/a/../b", None),
        (b"/a/./b", None),
        (b"/a/..", None),
        (b"/a/%2e%2e/b", None),
        (b"/a%2fb", None),
        (b"/a%5Cb", None),
        (b"/a\\b", None),
        (b"/a;b=c/d", None),
        (b"/a%00", None),
        (b"/a%0a", None),
        (b"/a%7f", None),
        (b"/a%25b", None),
        (b"/a%", None),
        (b"/a%zz", None),
        (b"/a#b", None),
        (b"/a?b#c", None),
        (b"/a.", None),
        (b"/a%20/b", None),
        (b"/%ff", None),
        (b"/%c0%ae", None),
        (b"/%EF%BD%81", None),  # a full-width "a"
    ],
)
def test_plain_path(target: bytes, path: str | None) -> None:
    """None is what two servers may read in two ways."""
    assert plain_path(target) == path


def test_the_longest_path_decides_from_slash_to_slash() -> None:
    """Whatever order settings have; a path covers what is below it."""
    one = door(**{"a": "public", "a/b": "operators", "a/b/c": "public"})
    assert names(one, b"/") == ["family"]
    assert names(one, b"/a") == []
    assert names(one, b"/a/x") == []
    assert names(one, b"/ab") == ["family"]
    assert names(one, b"/a/b/x?y") == ["operators"]
    assert names(one, b"/a/b/c/d") == []


def test_an_exception_may_be_for_one_method() -> None:
    """HEAD is GET, a method in lower case is the one in capitals, and any other is refused."""
    settings = HostnameConfig(
        access="family", access_paths={"POST /hooks": "public", "GET /a": "public"}
    )
    one = Door(settings, POLICIES)
    assert names(one, b"/hooks", b"POST") == names(one, b"/hooks", b"post") == []
    assert names(one, b"/hooks", b"PUT") == ["family"]
    assert names(one, b"/a", b"HEAD") == []


def test_capitals_open_nothing_and_shut_nothing_out() -> None:
    """A door covers each way to write its path; an exception its own alone."""
    one = door(open="public", admin="operators")
    assert names(one, b"/OPEN") == ["family"]
    assert names(one, b"/Admin/x") == ["operators"]


def test_a_hostname_may_be_open_but_for_a_path() -> None:
    """What can be read in two ways then meets the door of the path."""
    one = door(None, admin="operators")
    assert names(one, b"/") == []
    assert names(one, b"/x/../admin") == ["operators"]
    assert Door.of(HostnameConfig(), POLICIES) is None
    assert Door.of(HostnameConfig(access="public"), POLICIES) is None


def test_each_decision_has_a_sentence() -> None:
    """For the operator who asks why."""
    one = door(open="public")
    assert one.explain(b"GET", b"/open/x") == 'access_paths has "/open" = "public"'
    assert one.explain(b"GET", b"/") == 'the hostname has access = "family"'
    assert "more than one way" in one.explain(b"GET", b"//")
    assert "no entry" in door(None, admin="operators").explain(b"GET", b"/")


SPELLINGS = st.sampled_from(
    [
        "/",
        "//",
        "/./",
        "/../",
        "\\",
        "%2f",
        "%2F",
        "%5c",
        ";",
        ";a=b",
        "%00",
        "%252f",
        "%2e",
        ".",
        " ",
    ]
)
PARTS = st.sampled_from(
    ["open", "OPEN", "admin", "Admin", "x", "%6fpen", "%61dmin", "\uff4fpen", ""]
)


@given(st.lists(st.tuples(SPELLINGS, PARTS), min_size=1, max_size=6))
def test_an_odd_path_meets_at_least_what_any_reading_of_it_meets(
    pieces: list[tuple[str, str]],
) -> None:
    """Whatever an app makes of a path, by whatever it decodes or resolves, no door is left out."""
    one = door(open="public", admin="operators")
    text = "/" + "".join(a + b for a, b in pieces)
    target = quote(text, safe="/%;.\\").encode()
    given_doors = set(names(one, target))
    for reading in readings(text):
        needed = {"operators"} if is_below(reading, "/admin") else set()
        if not is_below(reading, "/open") and not needed:
            needed = {"family"}
        assert needed <= given_doors, (target, reading)


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_none(text: str) -> None:
    """Nothing that a visitor sends is an error."""
    for target in (text.encode("utf-8", "surrogatepass"), quote(text, errors="replace").encode()):
        path = plain_path(target)
        assert path is None or ("//" not in path and "\\" not in path)


def readings(text: str) -> set[str]:
    """What servers make of a path: decoded once or twice, parameters dropped, dots resolved."""
    from unicodedata import normalize
    from urllib.parse import unquote

    found = {text, unquote(text), unquote(unquote(text))}
    found |= {one.replace("\\", "/") for one in found}
    found |= {"/".join(part.partition(";")[0] for part in one.split("/")) for one in found}
    found |= {one.partition("\0")[0] for one in found}
    found |= {
        "/".join(part.rstrip(". ") if set(part) - {"."} else part for part in one.split("/"))
        for one in found
    }
    found |= {normalize("NFKC", one) for one in found}
    found |= {resolved(one) for one in found}
    # A server that does not tell capitals apart has its doors in either spelling.
    return found


def resolved(path: str) -> str:
    """Dot segments taken out, and slashes that are doubled (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)


def is_below(path: str, top: str) -> bool:
    """Whether an app would serve it there: a door in any case, an exception as it is written."""
    if top == "/admin":
        path = path.lower()
    return path == top or path.startswith(f"{top}/")
