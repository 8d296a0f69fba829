"""``[access.NAME]``, ``access`` and ``access_paths``: what is wrong is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.access import split_path
from asgi_tunnel_edge.settings.config import EdgeConfig


def load(folder: Path, **tables: Any) -> EdgeConfig:
    """Settings with these tables."""
    return EdgeConfig.from_table({"domain": "a.test", "listen": "127.0.0.1:0", **tables}, folder)


def test_a_policy_by_its_defaults(tmp_path: Path) -> None:
    """Nobody, by every way but a password with each request, for a month."""
    policy = load(tmp_path, access={"family": {}}).access["family"]
    assert (policy.users, policy.groups, policy.emails, policy.domains) == ((), (), (), ())
    assert policy.methods == ("password", "passkey", "oidc", "token", "link")
    assert policy.session == 30 * 86400


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"access": {"public": {}}}, "is the name of what is open for everybody"),
        ({"access": {"Family": {}}}, "expected 1 to 32 of a-z 0-9 -"),
        ({"access": {"a" * 33: {}}}, "expected 1 to 32 of a-z 0-9 -"),
        ({"access": {"f": {"emails": ["anna"]}}}, "access.f.emails: expected an e-mail address"),
        ({"access": {"f": {"domains": ["@a.test"]}}}, "access.f.domains: expected a domain"),
        ({"access": {"f": {"domains": ["A.test"]}}}, "expected a domain in lower case"),
        ({"access": {"f": {"methods": ["magic"]}}}, "access.f.methods"),
        ({"access": {"f": {"session": -1}}}, "access.f.session"),
        ({"access": {"f": {"user": ["anna"]}}}, "access.f.user"),
        ({"hostnames": {"x.a.test": {"access": "f"}}}, "there is no [access.f]"),
        (
            {"hostnames": {"x.a.test": {"access_paths": {"/a": "f"}}}},
            "access_paths: names f, and there is no [access.f]",
        ),
    ],
)
def test_mistakes(tmp_path: Path, tables: dict[str, Any], sentence: str) -> None:
    """With the setting's whole name, and what to write in its place."""
    with pytest.raises(EdgeConfigError) as error:
        load(tmp_path, **tables)
    assert sentence in str(error.value).replace('"', "")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "a", "*", "/a//b", "/a/../b", "/./a", "/a%20b", "/a b", "/a?b", "/a;b", "GET", "get /a",
     "BREW /a", "GET  /a", "/ü", "/a\\b", "GET /a GET"],
)  # fmt: skip
def test_paths_that_are_none(tmp_path: Path, text: str) -> None:
    """A door stands at a plain path, which a request is compared with once it is decoded."""
    assert split_path(text) is None
    hostnames = {"x.a.test": {"access": "f", "access_paths": {text: "public"}}}
    with pytest.raises(EdgeConfigError, match="expected a path, or a method and a path"):
        load(tmp_path, access={"f": {}}, hostnames=hostnames)


def test_paths() -> None:
    """With a method or without."""
    assert split_path("/") == ("", "/")
    assert split_path("/a/b/") == ("", "/a/b/")
    assert split_path("POST /hooks/x-1_2~3") == ("POST", "/hooks/x-1_2~3")


def test_there_are_only_so_many_paths(tmp_path: Path) -> None:
    """Each request of the hostname is compared with them."""
    paths = {f"/{number}": "public" for number in range(101)}
    with pytest.raises(EdgeConfigError, match="has 101 entries, more than 100"):
        load(tmp_path, access={"f": {}}, hostnames={"x.a.test": {"access_paths": paths}})
