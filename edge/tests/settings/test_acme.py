from __future__ import annotations

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.acme import LETS_ENCRYPT, AcmeConfig, check_acme


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"directory": "http://ca.test/dir"}, "acme.directory: expected the https:// URL"),
        ({"directory": "https:///dir"}, "acme.directory: expected the https:// URL"),
        ({"addresses": ("example.org",)}, "acme.addresses: expected an IP address"),
        ({"dns": "update"}, 'acme.update_server: is missing, and acme.dns is "update"'),
        ({"dns": "update", "update_server": "ns1.test"}, "acme.update_key: is missing"),
        ({"dns": "hook"}, "acme.hook: is missing"),
    ],
)
def test_what_makes_no_sense(settings: dict[str, object], sentence: str) -> None:
    """Each mistake is told with the setting and what to write."""
    with pytest.raises(EdgeConfigError) as caught:
        check_acme(AcmeConfig(**settings), file="edge.toml")  # type: ignore[arg-type]
    assert sentence in str(caught.value)


def test_what_is_enough() -> None:
    """Nothing but a CA, and each way to prove a wildcard with what it needs."""
    check_acme(AcmeConfig(), file="edge.toml")
    assert AcmeConfig().directory == LETS_ENCRYPT
    check_acme(AcmeConfig(addresses=("192.0.2.1", "2001:db8::1"), dns="zone"), file="edge.toml")
    check_acme(AcmeConfig(dns="hook", hook=("/bin/true",)), file="edge.toml")
