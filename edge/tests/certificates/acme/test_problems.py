from __future__ import annotations

import pytest

from asgi_tunnel_edge.certificates.acme.messages import Identifier, Problem
from asgi_tunnel_edge.certificates.acme.problems import _MEANINGS, explain, time_text

URN = "urn:ietf:params:acme:error:"

#: All of RFC 8555 section 6.7, RFC 9773 and profiles, but for those that only sum up others.
KINDS = [
    "accountDoesNotExist",
    "alreadyReplaced",
    "alreadyRevoked",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "connection",
    "dns",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "invalidProfile",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
]


def test_each_kind_has_a_sentence() -> None:
    """Every type of error says what happened, the CA's own words and what to do."""
    assert sorted(_MEANINGS) == sorted(KINDS)
    for kind in KINDS:
        error = explain(Problem(type=URN + kind, detail="so it is"), ca="ca.test", names=["a.test"])
        before, said, after = str(error).partition('(it says: "so it is")')
        assert before.startswith("the CA ca.test ")
        assert said
        assert len(after.split()) > 3
        assert error.kind == kind


def test_rate_limit() -> None:
    """A rate limit comes with its time, for the reader and for the issuer."""
    error = explain(
        Problem(type=f"{URN}rateLimited", detail="too many certificates"),
        ca="ca.test",
        names=["a.test", "b.test"],
        retry_at=1_700_000_000.0,
    )
    assert error.retry_at == 1_700_000_000.0
    assert str(error) == (
        "the CA ca.test issues no more for a.test, b.test for a while: one of its rate limits is "
        'reached (it says: "too many certificates"); it wants no further try before '
        "2023-11-14T22:13:20Z; nothing has to be done, it is tried again then; if it comes back, "
        "ask for fewer certificates (one wildcard for all names below a domain)"
    )


def test_compound() -> None:
    """Of several problems the first one counts, with the name it is about."""
    parts = [
        Problem(
            type=f"{URN}caa", detail="forbidden", identifier=Identifier(type="dns", value="b.test")
        ),
        Problem(type=f"{URN}dns", identifier=Identifier(type="dns", value="c.test")),
    ]
    error = explain(
        Problem(type=f"{URN}compound", detail="two", subproblems=parts), ca="ca.test", names=["a"]
    )
    assert error.kind == "caa"
    assert "may not issue for b.test, c.test" in str(error)
    assert '"forbidden"' in str(error)


def test_unknown_kind() -> None:
    """What is not known is shown as the CA says it."""
    for kind in ("about:blank", f"{URN}newIdea", "https://ca.test/problem"):
        error = explain(Problem(type=kind, detail="no"), ca="ca.test", names=[])
        assert str(error).startswith(
            'the CA ca.test refused the request about this account (it says: "no'
        )


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\u202eevil", "x" * 5000])
def test_words_of_a_stranger(text: str) -> None:
    """What a CA says stays on one line, is escaped and cut: it goes to logs and terminals."""
    identifier = Identifier(type="dns", value=text)
    error = explain(Problem(detail=text, identifier=identifier), ca="ca.test", names=[text])
    assert str(error).isprintable()
    assert len(str(error)) < 1200


def test_time_that_no_calendar_has() -> None:
    """A CA's number may be of any size."""
    assert time_text(1e30) == f"{1e30:.0f}"
