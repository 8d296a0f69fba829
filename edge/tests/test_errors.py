from __future__ import annotations

import inspect
import pickle

import pytest

from asgi_tunnel.errors import ConfigError, TunnelError
from asgi_tunnel_edge import errors
from asgi_tunnel_edge.errors import (
    AccountError,
    AcmeError,
    AlertError,
    BanNotFoundError,
    CertificateError,
    ChangeError,
    EdgeConfigError,
    EdgeError,
    EdgeNotRunningError,
    HostnameElsewhereError,
    HostnameError,
    HostnameNotFoundError,
    HostnameTakenError,
    KeptRequestNotFoundError,
    NameTakenError,
    PeerError,
    ProxyHeaderError,
    RequestError,
    SolverError,
    StorageError,
    TokenNotFoundError,
    TokenRevokedError,
    TooManyBansError,
    TooManyHostnamesError,
    TunnelNotFoundError,
    WebSocketError,
    shown,
)

SENTENCES: list[tuple[EdgeError, str]] = [
    (EdgeError("something"), "something"),
    (
        EdgeConfigError("limits.x", "expected 1, got 2", "write 1", file="edge.toml"),
        "edge.toml: limits.x: expected 1, got 2; write 1",
    ),
    (EdgeConfigError("--listen", "is wrong", "write 1"), "--listen: is wrong; write 1"),
    (
        HostnameError("a b", "is odd"),
        (
            'hostname "a b" is odd; write a name like shop.example.org '
            "(letters, digits, hyphens and dots)"
        ),
    ),
    (CertificateError("no key"), "no key"),
    (AcmeError("the CA said no", kind="caa", retry_at=1.0), "the CA said no"),
    (SolverError("no zone"), "no zone"),
    (AlertError("it said no", may_pass=True, retry_after=1.0), "it said no"),
    (RequestError(400, "it is odd"), "400: it is odd"),
    (WebSocketError(1002, "it is odd"), "1002: it is odd"),
    (ProxyHeaderError("it is odd"), "it is odd"),
    (
        NameTakenError("shop", "tok_1"),
        "the name shop belongs to token tok_1; take another name, or revoke that token first",
    ),
    (
        HostnameTakenError("a.test", "shop"),
        (
            "the hostname a.test belongs to the token named shop; "
            "take another hostname, or release this one with `asgi-tunnel-edge host rm`"
        ),
    ),
    (
        HostnameNotFoundError("a.test"),
        ("no token has the hostname a.test; see the hostnames with `asgi-tunnel-edge host list`"),
    ),
    (
        HostnameElsewhereError("a.test", "a.test leads elsewhere"),
        "a.test leads elsewhere; --unchecked keeps the hostname as it is",
    ),
    (
        TooManyHostnamesError("shop", 100, 4000),
        (
            "token shop would have more than 100 hostnames, or of more than 4000 characters "
            "together; take a wildcard, or make another token"
        ),
    ),
    (
        BanNotFoundError("192.0.2.1", ["192.0.2.0/24"]),
        "192.0.2.1 is not banned by itself; take back 192.0.2.0/24, where it is banned",
    ),
    (
        TokenRevokedError("shop", "tok_1"),
        ("token shop (tok_1) was revoked; make a new one with `asgi-tunnel-edge token create`"),
    ),
    (
        TokenNotFoundError("nobody"),
        'no token has the id or name "nobody"; see the tokens with `asgi-tunnel-edge token list`',
    ),
    (
        TunnelNotFoundError("nobody"),
        (
            'no app is connected with a token "nobody", and no session has this id; see what is '
            "connected with `asgi-tunnel-edge tunnel list`"
        ),
    ),
    (
        KeptRequestNotFoundError("0a1b"),
        (
            'the inbox has no request "0a1b"; it may have reached its app: see what there is with '
            "`asgi-tunnel-edge inbox list`"
        ),
    ),
    (
        BanNotFoundError("192.0.2.1"),
        "192.0.2.1 is not banned; see the bans with `asgi-tunnel-edge ban list`",
    ),
    (
        TooManyBansError(10),
        (
            "there are 10 bans already; ban a network instead of its addresses, or "
            "take some back with `asgi-tunnel-edge ban rm`"
        ),
    ),
    (
        AccountError("anna", "is no user of this edge", "list them"),
        '"anna" is no user of this edge; list them',
    ),
    (StorageError("locked"), "locked"),
    (ChangeError("edge.toml: x"), "edge.toml: x"),
    (PeerError("it does not reply"), "it does not reply"),
    (
        EdgeNotRunningError("data"),
        (
            "no edge runs in data; start it with `asgi-tunnel-edge run --data data`, or wait until "
            "one that starts is ready"
        ),
    ),
    (
        EdgeNotRunningError("data", "Permission denied"),
        "the edge that runs in data cannot be asked (Permission denied)",
    ),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES)
def test_sentence_survives_pickling(error: EdgeError, sentence: str) -> None:
    """Each error builds one sentence, also on the other side of a process boundary."""
    assert str(error) == sentence
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert type(twin) is type(error)
    assert str(twin) == sentence


def test_one_root_and_one_tree() -> None:
    """Every error hangs below the one root and is drawn in the module's tree."""
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert set(errors.__all__) == classes == {type(error).__name__ for error, _ in SENTENCES}
    assert issubclass(EdgeError, TunnelError)
    assert issubclass(EdgeConfigError, ConfigError)
    drawn = (errors.__doc__ or "").split()
    assert classes <= set(drawn)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", '"a"'),
        ("a\nb\x1b[1m", '"a\\nb\\x1b[1m"'),
        ("\u202e", '"\\u202e"'),
        ("x" * 100, '"' + "x" * 60 + '..."'),
    ],
)
def test_shown_stays_on_one_line(text: str, expected: str) -> None:
    """T38: a value in a sentence is escaped and cut, so that it cannot forge a line."""
    assert shown(text) == expected
