from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel_edge.policy.paths import MAX_ODD, forms_of


@pytest.mark.parametrize(
    ("target", "form"),
    [
        (b"/", b"/"),
        (b"/admin", b"/admin"),
        (b"/admin/", b"/admin/"),
        (b"/Admin?x=%2e%2e//", b"/admin"),
        (b"/a.b/.well-known/x,y;".rstrip(b";"), b"/a.b/.well-known/x,y"),
        (b"/caf%C3%A9/a%20b.txt", "/café/a b.txt".encode()),
        (b"/~user/@me/a+b:c=d(e)!", b"/~user/@me/a+b:c=d(e)!"),
    ],
)
def test_what_is_read_in_one_way(target: bytes, form: bytes) -> None:
    """One form, decoded, in lower case, without the query."""
    assert forms_of(target) == (form,)


@pytest.mark.parametrize(
    "target",
    [
        b"//admin",
        b"/./admin",
        b"/x/../admin",
        b"/x/%2e%2e/admin",
        b"/x/..%2fadmin",
        b"/%2561dmin",
        b"/%252561dmin",
        b"/admin;a=1",
        b"/x/..;/admin",
        b"/x\\..\\admin",
        b"/%5cadmin",
        b"/admin%00.png",
        b"/admin%3fx",
        b"/admin%23x",
        b"/admin%20",
        b"/admin%09/",
        b"/%2fadmin",
    ],
)
def test_what_may_mean_admin(target: bytes) -> None:
    """Among the forms is /admin, and the first one is as the app's scope has it."""
    forms = forms_of(target)
    assert forms is not None
    assert b"/admin" in forms
    assert len(forms) > 1


def test_an_encoded_slash_is_both() -> None:
    """It separates segments, as in an app's path, or is a part of one, as in its raw path."""
    assert {b"/a/b", b"/a%2fb"} <= set(forms_of(b"/a%2Fb") or ())


def test_slashes_are_merged_with_and_without_dots() -> None:
    """A server may do one of the two."""
    assert set(forms_of(b"//a/../b") or ()) == {b"//a/../b", b"/a/../b", b"/b"}
    assert b"/." in (forms_of(b"//.") or ())


def test_the_target_of_a_server_has_no_path() -> None:
    """``OPTIONS *`` asks no route."""
    assert forms_of(b"*") == ()


@given(st.binary(max_size=200))
def test_any_bytes_are_few_forms(path: bytes) -> None:
    """At most three for each of three decodings and three as sent; each is a path."""
    forms = forms_of(b"/" + path)
    assert forms is not None
    assert 1 <= len(forms) <= 12
    assert all(form[:1] == b"/" for form in forms)


def test_a_long_path_that_may_mean_much() -> None:
    """T112: is not read at all; a long one that is read in one way is."""
    assert forms_of(b"/" + b"%2e" * MAX_ODD) == (b"/" + b"." * MAX_ODD,)
    assert forms_of(b"/" + b"a" * 8000) == (b"/" + b"a" * 8000,)
    assert forms_of(b"/" + b"//" * MAX_ODD) is None


@pytest.mark.parametrize("piece", [b"/..", b"%25", b"%2e%2e%2f", b";/", b"//", b"\\", b"/a%00"])
def test_an_odd_path_is_no_work(piece: bytes) -> None:
    """T112: as much as is read of whatever is worst takes a few milliseconds."""
    target = b"/" + piece * ((MAX_ODD - 1) // len(piece))
    began = time.thread_time()
    for _ in range(10):
        assert forms_of(target) is not None
    assert time.thread_time() - began < 0.2
