from __future__ import annotations

from typing import Any

import pytest

from asgi_tunnel import Inspect
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.errors import ConfigError
from asgi_tunnel.inspector.settings import read_inspect
from asgi_tunnel.token import Token

FULL = Inspect(level="full")


@pytest.mark.parametrize(
    ("given", "text", "expected"),
    [
        (None, "", None),
        (None, "off", None),
        (None, " Full\n", FULL),
        (None, "on", Inspect()),
        ("metadata", "full", Inspect()),
        (True, "", Inspect()),
        (False, "full", None),
        ("off", "full", None),
        (FULL, "metadata", FULL),
    ],
)
def test_where_the_setting_comes_from(given: Any, text: str, expected: Inspect | None) -> None:
    """What the code says comes before the environment; nothing is recorded unless it is said."""
    assert read_inspect(given, text) == expected


@pytest.mark.parametrize(("given", "text"), [("all", ""), (None, "yes"), (2, ""), ([], "")])
def test_another_value_is_refused(given: Any, text: str) -> None:
    """One sentence names the setting and what it may be."""
    with pytest.raises(ConfigError, match=r'none of "metadata", "full" and "off"'):
        read_inspect(given, text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "all"},
        {"level": None},
        {"max_bytes": 1000},
        {"max_bytes": 2**40},
        {"max_bytes": 1e6},
        {"max_body": -1},
        {"max_body": True},
        {"redact_fields": "x-key"},
        {"redact_keys": [1]},
        {"redact_keys": [""]},
        {"show_keys": ["x"] * 201},
        {"remote": 1},
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    """Each is one ConfigError that names it."""
    with pytest.raises(ConfigError) as caught:
        Inspect(**wrong)
    assert next(iter(wrong)) in caught.value.setting


def test_names_may_come_in_any_collection() -> None:
    """A list or a set of names is as good as a tuple."""
    assert Inspect(redact_keys=["iban"]).redact_keys == ("iban",)  # type: ignore[arg-type]


def test_the_environment_reaches_the_connector() -> None:
    """``ASGI_TUNNEL_INSPECT`` is part of the settings; a wrong one opens no tunnel."""
    token = Token(edge="wss://edge.example.test", id="tok_1", secret="s" * 43, pin=None)
    environ = {"ASGI_TUNNEL_TOKEN": token.format()}
    config = TunnelConfig.from_env({**environ, "ASGI_TUNNEL_INSPECT": "full"})
    assert config is not None
    assert config.inspect == FULL
    with pytest.raises(ConfigError, match="ASGI_TUNNEL_INSPECT"):
        TunnelConfig.from_env({**environ, "ASGI_TUNNEL_INSPECT": "all"})
