from __future__ import annotations

import json
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.inspector.json_text import redact_json


def is_secret(key: str) -> bool:
    """The key of these tests."""
    return "secret" in key.lower()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"secret": "MARKER", "a": 1}', '{"secret": "[redacted]", "a": 1}'),
        ('{"a":{"b":[{"secret":"MARKER"}]}}', '{"a":{"b":[{"secret":"[redacted]"}]}}'),
        ('{"secret":{"a":["MARKER"]},"b":2}', '{"secret":"[redacted]","b":2}'),
        ('{"secret":["]","MARKER"],"b":2}', '{"secret":"[redacted]","b":2}'),
        ('{"secret":123456,"b":2}', '{"secret":"[redacted]","b":2}'),
        ('{"secret":null}', '{"secret":"[redacted]"}'),
        ('{"\\u0073ecret" : "MARKER"}', '{"\\u0073ecret" : "[redacted]"}'),
        ('{"secret":"a\\"MARKER"}', '{"secret":"[redacted]"}'),
        ('{"a":"secret","b":"MARK"}', '{"a":"secret","b":"MARK"}'),
        ('{"a":"\\"secret\\": x"}', '{"a":"\\"secret\\": x"}'),
        ('{"secret":"MARKER', '{"secret":"[redacted]"'),
        ('{"secret":"MARKER\\', '{"secret":"[redacted]"'),
        ('{"secret":["MARKER', '{"secret":"[redacted]"'),
        ('{"secret":', '{"secret":"[redacted]"'),
        (
            '{"secret":"MARKER"}\n{"secret":"MARKER"}',
            '{"secret":"[redacted]"}\n{"secret":"[redacted]"}',
        ),
        ('{"a":"{\\"secret\\":\\"MARKER\\"}"}', '{"a":"{\\"secret\\":\\"[redacted]\\"}"}'),
        ('{"a":"{\\"secret\\":\\"MARKER', '{"a":"{\\"secret\\":\\"[redacted]\\""'),
        ('{"a":"{\\"secret\\":\\"MARKER\\u00', '{"a":"{\\"secret\\":\\"[redacted]\\""'),
        ('{"max_secret_tokens":100}', '{"max_secret_tokens":100}'),
        ('{"secret_tokens":"100"}', '{"secret_tokens":"[redacted]"}'),
        ('{"secret":"MARKER" : "MARKER"}', '{"secret":"[redacted]""MARKER"}'),
    ],
)
def test_values_of_secret_keys_go(text: str, expected: str) -> None:
    """At any depth and in any spelling, also where the end of the text is missing."""
    assert redact_json(text, is_secret) == expected


def test_a_document_within_documents() -> None:
    """As senders of webhooks nest them: a text within a text is looked into."""
    text = json.dumps([json.dumps({"a": json.dumps({"secret": "MARKER", "b": 1})})])
    found = redact_json(text, is_secret)
    assert json.loads(json.loads(json.loads(found)[0])["a"]) == {"secret": "[redacted]", "b": 1}


def test_what_was_taken_out_is_said() -> None:
    """Whoever asks gets each value, for looking for it elsewhere."""
    seen: list[str] = []
    redact_json('{"secret":"a\\nb","other":{"secret":"c"}}', is_secret, seen.append)
    assert seen == ["a\nb", "c"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


def without(value: Any) -> Any:
    """What is left of a document, by the parser."""
    if isinstance(value, dict):
        return {key: "[redacted]" if is_secret(key) else without(one) for key, one in value.items()}
    return [without(one) for one in value] if isinstance(value, list) else value


@given(
    st.dictionaries(st.sampled_from(["secret", "a", 'b"', "c\\", "Secret\n"]), JSON),
    st.booleans(),
    st.sampled_from([None, 2]),
)
def test_it_agrees_with_a_parser(document: Any, ascii_only: bool, indent: int | None) -> None:
    """Of any document the same is left as a parser would leave."""
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    assert json.loads(redact_json(text, is_secret)) == without(document)


@pytest.mark.parametrize(
    "piece", ['"', '\\"', '"secret":', '"secret":[', "{", '"a":', '"\\', '{"secret":"']
)
def test_no_text_is_slow(piece: str) -> None:
    """A megabyte of anything takes less than a second, where twice as much took four times."""
    text = piece * (1_000_000 // len(piece))
    began = perf_counter()
    redact_json(text, is_secret)
    redact_json('{"secret": "' + text, is_secret)
    assert perf_counter() - began < 10
