"""What somebody may see and change, without an edge."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.errors import (
    AccountError,
    HostnameNotFoundError,
    KeptRequestNotFoundError,
    TokenNotFoundError,
    TunnelNotFoundError,
)
from asgi_tunnel_edge.operations.scope import NotAllowedError, Scope
from asgi_tunnel_edge.storage.inbox import InboxRow, Lane
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord


def token(
    token_id: str, *hostnames: str, owner: str = "", revoked_at: int | None = None
) -> TokenRecord:
    """One of the store."""
    return TokenRecord(
        id=token_id,
        name=token_id.removeprefix("tok_"),
        secret_sha256="",
        hostnames=hostnames,
        created_at=1,
        owner=owner,
        revoked_at=revoked_at,
    )


RECORDS = [
    token("tok_shop", "shop.a.test", "*.shop.a.test", owner="ben"),
    token("tok_blog", "blog.a.test", owner="cleo"),
    token("tok_old", owner="ben", revoked_at=5),
]


def scope(subject: str, *, is_operator: bool = False) -> Scope:
    """Of somebody."""
    return Scope(subject=subject, is_operator=is_operator, snapshot=Snapshot.of(1, RECORDS))


def ids(of: Scope) -> list[str]:
    """The tokens that are theirs."""
    return [one.id for one in of.tokens()]


def test_tokens() -> None:
    """An operator's are all; a user's those that hold; nobody else has any, by whatever name."""
    assert ids(scope("user:anna", is_operator=True)) == ["tok_shop", "tok_blog", "tok_old"]
    assert ids(scope("user:ben")) == ["tok_shop"]
    for subject in ("user:", "ben", "oidc:google:ben", "token:ben", "link:ben", "user:Ben", ""):
        assert ids(scope(subject)) == []


def test_a_token_by_id_or_name() -> None:
    """Of two with a name, the one that has it now."""
    records = [*RECORDS, token("tok_1", revoked_at=7), token("tok_2")]
    renamed = [
        TokenRecord(
            id=one.id,
            name="same" if one.id in ("tok_1", "tok_2") else one.name,
            secret_sha256="",
            hostnames=one.hostnames,
            created_at=one.created_at,
            revoked_at=one.revoked_at,
            owner=one.owner,
        )
        for one in records
    ]
    every = Scope(subject="user:anna", is_operator=True, snapshot=Snapshot.of(1, renamed))
    assert every.token("same").id == "tok_2"
    assert every.token("tok_1").id == "tok_1"
    for wanted in ("blog", "tok_blog", "old", "none", ""):
        with pytest.raises(TokenNotFoundError):
            scope("user:ben").token(wanted)


def test_hostnames() -> None:
    """Those of their tokens, and for what happens also those below a wildcard."""
    ben = scope("user:ben")
    assert ben.hostname("SHOP.a.test.") == "shop.a.test"
    assert ben.hostnames() == frozenset({"shop.a.test", "*.shop.a.test"})
    assert ben.sees_hostname("cart.shop.a.test")
    assert not ben.sees_hostname("blog.a.test")
    assert not ben.sees_hostname("-")
    for name in ("blog.a.test", "cart.shop.a.test", "none.test"):
        with pytest.raises(HostnameNotFoundError):
            ben.hostname(name)
    assert scope("user:anna", is_operator=True).hostnames() is None


def test_sessions_of_apps() -> None:
    """By token or by their own id, and those of others not even by that."""
    sessions = [
        {"id": "aaaaaaaa", "token": "shop", "token_id": "tok_shop"},
        {"id": "bbbbbbbb", "token": "blog", "token_id": "tok_blog"},
    ]
    ben = scope("user:ben")
    assert ben.sessions(sessions) == sessions[:1]
    for wanted in ("shop", "tok_shop", "aaaaaaaa"):
        assert ben.sessions(sessions, wanted) == sessions[:1]
    for wanted in ("blog", "tok_blog", "bbbbbbbb", "none"):
        with pytest.raises(TunnelNotFoundError):
            ben.sessions(sessions, wanted)


def test_what_is_kept_and_shared() -> None:
    """By the token that it is for."""
    row = InboxRow("r", Lane("tok_blog", "blog.a.test", "POST /x"), 1, 1, "failed", 0, "")
    ben = scope("user:ben")
    assert ben.kept([(row, "blog")]) == []
    with pytest.raises(KeptRequestNotFoundError):
        ben.check_kept(["r"], [(row, "blog")])
    with pytest.raises(AccountError):
        ben.check_link("lnk_1", [])
    scope("user:anna", is_operator=True).check_kept(["r"], [(row, "blog")])


def test_what_is_for_operators() -> None:
    """One sentence for everybody else."""
    scope("user:anna", is_operator=True).require_operator()
    with pytest.raises(NotAllowedError, match="for the operators"):
        scope("user:ben").require_operator()
