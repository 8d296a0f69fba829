"""``[oidc.NAME]``: what is refused, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.oidc import OidcConfig, is_provider_url, read_client_secret
from asgi_tunnel_edge.settings.survey import effective_settings

MINIMAL = 'domain = "example.org"\nlisten = "127.0.0.1:0"\n'
GOOGLE = '[oidc.google]\nissuer = "https://accounts.google.com"\nclient_id = "photos"\n'


def _load(text: str, folder: Path = Path("unused")) -> EdgeConfig:
    return EdgeConfig.from_text(MINIMAL + text, folder)


def test_defaults() -> None:
    """Two settings are enough."""
    found = _load(GOOGLE).oidc["google"]
    assert found.scopes == ("openid", "email", "profile")
    assert (found.groups_claim, found.trust_email, found.client_secret) == ("groups", False, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[oidc.google]\nclient_id = "a"', 'oidc."google".issuer: is missing'),
        ('[oidc.google]\nissuer = "https://a.test"', 'oidc."google".client_id: is missing'),
        (GOOGLE + 'client = "a"', 'oidc."google".client: there is no such setting'),
        (GOOGLE.replace("https:", "http:"), "expected an https URL (http only for this machine)"),
        (GOOGLE.replace(".com", ".com?a=b"), "expected an https URL"),
        (GOOGLE.replace(".com", ".com#a"), "expected an https URL"),
        (GOOGLE.replace("https://", "https://a@"), "expected an https URL"),
        (GOOGLE.replace("https://accounts.google.com", "https://["), "expected an https URL"),
        (GOOGLE.replace("oidc.google", 'oidc."Go ogle"'), "expected 1 to 32 of a-z 0-9 -"),
        (GOOGLE + 'scopes = ["email"]', 'oidc."google".scopes: has no "openid"'),
        (GOOGLE + 'scopes = ["openid", "a b"]', "expected scopes, got"),
        (GOOGLE + 'label = "a\\nb"', "expected one line of up to 60 characters"),
        (GOOGLE + 'client_secret = "a"\nclient_secret_file = "b"', "and so is client_secret"),
        ('[access.a]\nproviders = ["github"]', 'names "github", and there is no [oidc.github]'),
        ("".join(GOOGLE.replace("google]", f"g{n}]") for n in range(21)), "more than 20"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(text: str, sentence: str) -> None:
    """With the path of the setting."""
    with pytest.raises(EdgeConfigError) as caught:
        _load(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_http_is_for_this_machine_only() -> None:
    """A provider elsewhere is asked over https, whatever it says of its own parts."""
    assert is_provider_url("https://a.test/x?y=z", is_local=False)
    assert not is_provider_url("http://127.0.0.1/", is_local=False)
    for url in ("http://127.0.0.1:9/", "http://[::1]/", "http://localhost/", "https://a.test/"):
        assert is_provider_url(url, is_local=True)
    for url in ("http://10.0.0.1/", "http://a.test/", "ftp://localhost/", "https:///x", "x" * 3000):
        assert not is_provider_url(url, is_local=True)


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    """In the edge's folder; a file that holds none is said."""
    config = OidcConfig(issuer="https://a.test", client_id="a", client_secret_file="a.secret")
    path = tmp_path / "a.secret"

    def read() -> str | None:
        return read_client_secret(config, "a", tmp_path, file="edge.toml")

    with pytest.raises(EdgeConfigError, match="cannot be read"):
        read()
    path.write_text("s3cret\n")
    assert read() == "s3cret"
    for content in (b"", b"a\nb", b"x" * 1025, b"\xff"):
        path.write_bytes(content)
        with pytest.raises(EdgeConfigError, match=r"oidc\.a\.client_secret_file: "):
            read()


def test_config_show_hides_the_secret(tmp_path: Path) -> None:
    """It is shown that there is one."""
    text = MINIMAL + GOOGLE + 'client_secret = "s3cret"\n'
    (tmp_path / "edge.toml").write_text(text)
    found = {one.name: one.value for one in effective_settings(EdgeConfig.load(tmp_path))}
    assert found['oidc."google".client_secret'] == "(hidden)"
    assert found['oidc."google".client_id'] == "photos"
