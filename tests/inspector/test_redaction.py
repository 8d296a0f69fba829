from __future__ import annotations

from time import perf_counter

import pytest

from asgi_tunnel.inspector.redaction import KEPT_JUDGEMENTS, MAX_SEEN, Redaction, Scrubber, as_text


def scrubber() -> Scrubber:
    """One with the standard names."""
    return Scrubber(Redaction())


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "new_password",
        "user[password]",
        "accessToken",
        "access_token",
        "csrfmiddlewaretoken",
        "client-secret",
        "api_key",
        "apiKey",
        "X-Amz-Signature",
        "code",
        "user[code]",
        "login.state",
        "AWSAccessKeyId",
        "sessionid",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """A secret's name is known in every spelling."""
    assert Redaction().is_secret_key(name)


@pytest.mark.parametrize(
    "name", ["name", "postcode", "status", "monkey", "author", "statement", ""]
)
def test_other_names(name: str) -> None:
    """What only resembles one is kept."""
    assert not Redaction().is_secret_key(name)


def test_names_are_added_and_shown() -> None:
    """Settings add fields and keys, and show keys that look like secrets."""
    redaction = Redaction(["X-Internal"], ["iban"], ["state", "page_token"])
    assert redaction.is_secret_field("x-internal")
    assert redaction.is_secret_key("IBAN")
    assert not redaction.is_secret_key("state")
    assert not redaction.is_secret_key("pageToken")
    assert redaction.is_secret_key("code")


def test_judgements_that_are_remembered_are_bounded() -> None:
    """A visitor with ever new names costs no memory."""
    redaction = Redaction()
    for number in range(2 * KEPT_JUDGEMENTS):
        redaction.is_secret_key(f"name{number}")
    assert redaction.is_secret_key.cache_info().currsize == KEPT_JUDGEMENTS


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/", "/"),
        (b"/a?b=c", "/a?b=c"),
        (b"/a?token=MARKER&b=c", "/a?token=[redacted]&b=c"),
        (b"/a?%74oken=MARKER", "/a?%74oken=[redacted]"),
        (b"/a?to%6ben=MARKER&flag", "/a?to%6ben=[redacted]&flag"),
        (b"/a?code=MARKER&state=MARKER", "/a?code=[redacted]&state=[redacted]"),
        (b"/in?next=%2Fcb%3Fcode%3DMARKER", "/in?next=/cb?code%3D[redacted]"),
        (b"/a?b=http%3A%2F%2Fu%3AMARKER%40h%2F", "/a?b=http://[redacted]%40h/"),
        (b"/caf\xc3\xa9?q=\xff", "/caf%C3%A9?q=%FF"),
        (b"/a?b=%7B%22token%22%3A%22MARKER%22%7D", "/a?b=%7B%22token%22%3A%22%5Bredacted%5D%22%7D"),
        (b"/reset;token=MARKER/eyJhbGciOi.eyJzdWIi.c2ln?a", "/reset;token=[redacted]?a"),
        (b"/a?x=1;token=MARKER", "/a?x=1;token=[redacted]"),
        (b"/a?token=MARKER?MARKER", "/a?token=[redacted]"),
    ],
)
def test_targets(target: bytes, expected: str) -> None:
    """Values of secret parameters go, also in an address within a parameter."""
    assert scrubber().target(target) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://anna:MARKER@example.org/a", "https://[redacted]@example.org/a"),
        ("https://anna:MA@RKER@example.org/a", "https://[redacted]@example.org/a"),
        ("https://example.org/cb?code=MARKER#x", "https://example.org/cb?code=[redacted]#x"),
        ("/cb#access_token=MARKER&b=1", "/cb#access_token=[redacted]&b=1"),
        ("Authorization: Bearer MARKER123", "Authorization: Bearer [redacted]"),
        ("{'password': 'MARKER', 'a': 1}", "{'password': '[redacted]', 'a': 1}"),
        ("{'password': b'MA\\'RKER', 'a': 1}", "{'password': b'[redacted]', 'a': 1}"),
        ('login(password="MARKER")', 'login(password="[redacted]")'),
        ("User(name='anna', otp=123456, age=7)", "User(name='anna', otp=[redacted], age=7)"),
        ("{'pin': 1234, 'max_tokens': 5}", "{'pin': [redacted], 'max_tokens': 5}"),
        ("<a:Password x='y'>MARKER</a:Password>", "<a:Password x='y'>[redacted]</a:Password>"),
        ("<code>x</code><token/>", "<code>x</code><token/>"),
        ("a eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl b", "a [redacted] b"),
        ("password=MARKER", "password=[redacted]"),
        ("a < b and c = d", "a < b and c = d"),
        ('"x?a=1\\u0026token=MARKER"', '"x?a=1\\u0026token=[redacted]"'),
    ],
)
def test_texts(text: str, expected: str) -> None:
    """In any text addresses, pairs and credentials lose their secrets, and nothing else changes."""
    assert scrubber().text(text) == expected


def test_fields() -> None:
    """A secret field loses its value, an address in another one its secrets."""
    found = scrubber().fields(
        [
            (b"host", b"shop.example.test"),
            (b"authorization", b"Bearer MARKER"),
            (b"cookie", b"session=MARKER"),
            (b"x-gitlab-token", b"MARKER"),
            (b"referer", b"https://a.test/?token=MARKER"),
            (b"sec-websocket-protocol", b"chat, bearer.MARKER"),
            (b"asgi-tunnel-token-secret", b"MARKER"),
            (b":duration", b"1"),
        ]
    )
    assert found == [
        ["host", "shop.example.test"],
        ["authorization", "[redacted]"],
        ["cookie", "[redacted]"],
        ["x-gitlab-token", "[redacted]"],
        ["referer", "https://a.test/?token=[redacted]"],
        ["sec-websocket-protocol", "chat, [redacted]"],
        ["asgi-tunnel-token-secret", "[redacted]"],
    ]


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        (b"authorization", b"Bearer MARKER-001", "MARKER-001"),
        (b"authorization", b"Basic YW5uYTpNQVJLRVItMDAx", "MARKER-001"),
        (b"cookie", b"a=1; session=MARKER-001", "MARKER-001"),
        (b"set-cookie", b"session=MARKER-001; Path=/", "MARKER-001"),
        (b"x-api-key", b"MARKER-001", "MARKER-001"),
    ],
)
def test_what_was_a_secret_is_one_everywhere(name: bytes, value: bytes, secret: str) -> None:
    """A value of a field is taken out of whatever comes later, until it is forgotten."""
    one = scrubber()
    one.fields([(name, value)])
    assert one.text(f"ValueError: no such user {secret}") == "ValueError: no such user [redacted]"
    one.forget()
    assert one.text(secret) == secret


def test_a_secret_is_one_in_the_fields_before_it() -> None:
    """The order of the fields changes nothing, nor do many cookies beside it."""
    many = b"; ".join(b"a%d=some-cookie-%d" % (one, one) for one in range(200))
    fields = [(b"x-a", b"is MARKER-001"), (b"cookie", many), (b"x-api-key", b"MARKER-001")]
    assert scrubber().fields(fields)[0] == ["x-a", "is [redacted]"]


def test_a_form_of_thousands_of_fields() -> None:
    """As many as a form may have are searched; what is not searched is not kept."""
    form = "&".join(f"a{number}=x" for number in range(5000)) + "&token=MARKER"
    found = scrubber().query(form)
    assert found.endswith("&a999=x&[redacted]")


def test_what_is_remembered_is_bounded() -> None:
    """A visitor who sends thousands of cookies makes nothing slow; short values are no secrets."""
    one = scrubber()
    cookies = "; ".join(f"a{number}=MARKER-{number:05}" for number in range(5000))
    one.fields([(b"cookie", b"lang=english; " + cookies.encode())])
    assert one.text("english") == "english"
    assert one.text(f"MARKER-{MAX_SEEN + 5:05}") != "[redacted]"
    assert one.text("MARKER-00000") == "[redacted]"


def test_a_target_is_text() -> None:
    """Bytes that are no ASCII are written as they would be in a URL."""
    assert as_text(b"/\xff?a") == "/%FF?a"


@pytest.mark.parametrize(
    "piece",
    [
        *("a=", "&", "token=", "-eyJ", "eyJaaaaaa.", "://", "a://b@", "Bearer ", "'a':", '"'),
        *("<a ", "</", "a" * 70, "<token>", "%7B", "[", "a=b%3D", "a=&"),
    ],
)
def test_no_text_is_slow(piece: str) -> None:
    """A quarter of a megabyte of anything takes a part of a second, also as a query or JSON."""
    text = piece * (250_000 // len(piece))
    one = scrubber()
    began = perf_counter()
    for clean in (one.text, one.query, one.json):
        clean(text)
    one.target(b"/?" + text.encode())
    assert perf_counter() - began < 20
