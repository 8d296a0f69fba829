from __future__ import annotations

from typing import Any

import pytest

from asgi_tunnel.inspector.edits import MAX_FIELDS, Edits
from asgi_tunnel.inspector.reply import RefusedError


def test_all_of_them() -> None:
    """Each is read; the secret is in no representation."""
    edits = Edits.from_json(
        {
            "method": "PUT",
            "path": "/a?b=%20c",
            "fields": [["X-One", " 1 "], ["x-one", "2"]],
            "values": {"Authorization": "Bearer x"},
            "body": {"base64": "AP8="},
            "resign": {"secret": "whsec_abc"},
        }
    )
    assert edits == Edits(
        method="PUT",
        path="/a?b=%20c",
        fields=[("x-one", "1"), ("x-one", "2")],
        values={"authorization": "Bearer x"},
        body=b"\x00\xff",
        secret="whsec_abc",
    )
    assert "whsec_abc" not in repr(edits)
    assert Edits.from_json({"body": {"text": "gr\u00fc\u00dfe"}}).body == "gr\u00fc\u00dfe".encode()
    assert Edits.from_json({}).is_none


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "the body is no JSON object"),
        ({"methods": 1}, "the body has 'methods'; what it may have is body, fields, method, path"),
        ({"method": "GE T"}, "method is not the name of a method of up to 256 characters"),
        ({"method": 1}, "method is not the name of a method"),
        ({"path": "a"}, "path is not a path that begins with / and is quoted"),
        ({"path": "/a b"}, "path is not a path that begins with / and is quoted"),
        ({"path": "/a\r\nx: y"}, "path is not a path"),
        ({"fields": {"a": "b"}}, "fields is no list of up to 500 pairs"),
        ({"fields": [["a", "b"]] * (MAX_FIELDS + 1)}, "fields is no list of up to 500 pairs"),
        ({"fields": [["a"]]}, "fields has something that is no pair of name and value"),
        ({"fields": [["a:", "b"]]}, "fields is not the name of a field"),
        ({"fields": [[":inspect", "b"]]}, "fields is not the name of a field"),
        ({"fields": [["a", "b\nc"]]}, "the field a is not a line of latin-1"),
        ({"fields": [["a", None]]}, "the field a is not a line of latin-1"),
        ({"values": {"a": "\u20ac"}}, "the field a is not a line of latin-1"),
        ({"values": 1}, "values is no JSON object"),
        ({"body": "text"}, "body is no JSON object"),
        ({"body": {}}, 'body is neither {"text": ...} nor {"base64": ...}'),
        ({"body": {"text": 1}}, 'body is neither {"text": ...} nor {"base64": ...}'),
        ({"body": {"base64": "?"}}, "body holds no Base64, or no text"),
        ({"body": {"text": "\ud800"}}, "body holds no Base64, or no text"),
        ({"resign": "secret"}, "resign is no JSON object"),
        ({"resign": {"secret": 1}}, 'resign is not {"secret": ...} with a text'),
        ({"resign": {"secret": "a\nb"}}, 'resign is not {"secret": ...} with a text'),
    ],
)
def test_what_cannot_be_used(document: Any, sentence: str) -> None:
    """Each wrong form is one sentence that names it."""
    with pytest.raises(RefusedError) as refused:
        Edits.from_json(document)
    assert str(refused.value).startswith(sentence)
    assert refused.value.status == 400
