from __future__ import annotations

import pytest
from msgspec.structs import replace

from asgi_tunnel.token import Token
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.tokens import (
    CLOCK_DIFFERENCE,
    Refusal,
    Snapshot,
    TokenRecord,
    check_name,
    digest_of,
    new_secret,
    new_token_id,
    parse_duration,
    secret_digest,
)

NOW = 1_800_000_000.0


def record(
    token_id: str = "tok_1",
    *,
    hostnames: tuple[str, ...] = ("shop.test",),
    expires_at: int | None = None,
    revoked_at: int | None = None,
) -> TokenRecord:
    """A token whose secret is `right`."""
    return TokenRecord(
        id=token_id,
        name="shop",
        secret_sha256=secret_digest("right"),
        hostnames=hostnames,
        created_at=0,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )


def refusal(answer: TokenRecord | Refusal) -> Refusal:
    """The answer, which has to be a refusal."""
    assert isinstance(answer, Refusal)
    return answer


def test_right_secret() -> None:
    """Who knows the secret gets the token's record."""
    token = record()
    assert Snapshot.of(1, [token]).authenticate("tok_1", "right", now=NOW) is token
    assert Snapshot.of(1, [token]).authenticate("tok_1", "right") is token


def test_unknown_and_wrong_get_the_same_answer() -> None:
    """T31: nobody can tell a wrong secret from an unknown, revoked or expired token."""
    snapshot = Snapshot.of(
        1, [record(), record("tok_2", revoked_at=1), record("tok_3", expires_at=1)]
    )
    answers = {
        refusal(snapshot.authenticate(token_id, secret, now=NOW))
        for token_id in ("tok_1", "tok_2", "tok_3", "tok_9", "")
        for secret in ("wrong", "", "r\u00e4t", "\udcff")
    }
    assert len(answers) == 1
    assert answers.pop().code == "unknown"


def test_unknown_id_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """T31: an unknown id costs one hash and two constant-time comparisons, like a known one."""
    compared: list[tuple[int, int]] = []

    def compare(left: str, right: str) -> bool:
        compared.append((len(left), len(right)))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    snapshot = Snapshot.of(1, [record()])
    for token_id in ("tok_1", "tok_9"):
        snapshot.authenticate(token_id, "wrong", now=NOW)
    assert compared == [(64, 64)] * 4


def test_nobody_is_nobody() -> None:
    """The stand-in for an unknown id does not let in who guesses its secret."""
    assert refusal(Snapshot.of(1, []).authenticate("", "", now=NOW)).code == "unknown"


def test_revoked() -> None:
    """The owner of a revoked token is told so."""
    answer = refusal(Snapshot.of(1, [record(revoked_at=5)]).authenticate("tok_1", "right"))
    assert answer.code == "revoked"
    assert "token shop (tok_1) was revoked; create a new one" in answer.sentence


def test_expired_with_tolerance() -> None:
    """T49: a clock that is up to 60 s ahead does not end a token."""
    end = int(NOW)
    token = record(expires_at=end)
    snapshot = Snapshot.of(1, [token])
    assert snapshot.authenticate("tok_1", "right", now=end + CLOCK_DIFFERENCE) is token
    answer = refusal(snapshot.authenticate("tok_1", "right", now=end + CLOCK_DIFFERENCE + 1))
    assert answer.code == "expired"
    assert "expired on 2027-01-15T08:00:00Z" in answer.sentence


def test_whole_text() -> None:
    """The text of the Authorization field is taken apart and checked."""
    token = record()
    snapshot = Snapshot.of(1, [token])
    text = Token(edge="wss://a.test", id="tok_1", secret="right").format()
    assert snapshot.authenticate_text(text) is token
    assert refusal(snapshot.authenticate_text(text + "x")).code == "unknown"
    for bad in ("", "att1", "x" * 100_000, "Bearer " + text):
        assert refusal(snapshot.authenticate_text(bad)).code == "malformed"


def test_owners() -> None:
    """T29: hostnames of an expired token stay its own; those of a revoked one are free."""
    old = record("tok_1", hostnames=("a.test", "*.b.test"), expires_at=1)
    gone = record("tok_2", hostnames=("c.test",), revoked_at=1)
    snapshot = Snapshot.of(7, [old, gone])
    assert dict(snapshot.owners) == {"a.test": old, "*.b.test": old}
    assert snapshot.generation == 7


def test_snapshot_cannot_be_changed() -> None:
    """Whoever holds a snapshot can rely on it."""
    snapshot = Snapshot.of(1, [record()])
    with pytest.raises(TypeError):
        snapshot.tokens["x"] = record()  # type: ignore[index]
    assert snapshot == Snapshot.of(1, [record()])
    assert snapshot != Snapshot.of(1, [])


def test_state() -> None:
    """One word tells a token's state; revoked is stronger than expired."""
    assert record().state(NOW) == "active"
    assert record(expires_at=1).state(NOW) == "expired"
    assert record(expires_at=1, revoked_at=1).state(NOW) == "revoked"


def test_repr_hides_the_hash() -> None:
    """T32: a record in a log shows no hash."""
    assert secret_digest("right") not in repr(Snapshot.of(1, [record()]))


def test_secrets_are_long_and_new() -> None:
    """T31: 256 random bits, never twice, in characters that a token may have."""
    assert len({new_secret() for _ in range(100)}) == 100
    text = Token(edge="wss://a.test", id=new_token_id(), secret=new_secret()).format()
    assert len(Token.parse(text).secret) == 43


@pytest.mark.parametrize("name", ["shop", "a", "A-1_b.c", "a" * 63])
def test_names(name: str) -> None:
    """A name is what looks well in a table and in front of a domain."""
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a" * 64, "a\n", "tok_1", "\u00e4", "a/b"])
def test_wrong_names(name: str) -> None:
    """Other names are refused, those that look like an id among them."""
    with pytest.raises(EdgeConfigError, match=r"^NAME: "):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 90 * 86400), ("12h", 43200), ("30m", 1800), ("3650d", 315360000)]
)
def test_durations(text: str, seconds: int) -> None:
    """Days, hours and minutes."""
    assert parse_duration(text, setting="--expires") == seconds


@pytest.mark.parametrize(
    "text",
    ["", "90", "0d", "-1d", "1w", "1.5d", "1 d", "1D", "3651d", "999999d", "9999999m", "\u0661d"],
)
def test_wrong_durations(text: str) -> None:
    """Anything else is refused with three examples."""
    with pytest.raises(EdgeConfigError, match=r"^--expires: .*90d, 12h or 30m"):
        parse_duration(text, setting="--expires")


def test_both_secrets_are_taken_until_the_overlap_is_over() -> None:
    """Then who has the old one hears what to do; who has neither learns nothing."""
    token = record()
    token = replace(
        token, old_secret_sha256=secret_digest("before"), old_until=int(NOW), expires_at=None
    )
    snapshot = Snapshot.of(1, [token])
    for secret in ("right", "before"):
        assert snapshot.authenticate("tok_1", secret, now=NOW - 1) is token
    assert snapshot.authenticate("tok_1", "right", now=NOW) is token
    answer = refusal(snapshot.authenticate("tok_1", "before", now=NOW))
    assert answer.code == "replaced"
    assert "has had another secret since 2027-01-15T08:00:00Z" in answer.sentence
    assert refusal(snapshot.authenticate("tok_1", "wrong", now=NOW - 1)).code == "unknown"


def test_no_secret_is_the_old_one_of_a_token_without_one() -> None:
    """Neither an empty text nor zeros."""
    snapshot = Snapshot.of(1, [record()])
    for secret in ("", "0" * 64):
        assert refusal(snapshot.authenticate("tok_1", secret, now=NOW)).code == "unknown"


def test_the_hash_of_a_whole_token() -> None:
    """It is that of its secret."""
    text = Token(edge="ws://127.0.0.1:1", id="tok_1", secret="right").format()
    assert digest_of(text) == secret_digest("right")
