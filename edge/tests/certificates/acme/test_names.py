from __future__ import annotations

import pytest

from asgi_tunnel_edge.certificates.acme.names import identifier, normal_names
from asgi_tunnel_edge.errors import AcmeError, HostnameError


def test_one_form() -> None:
    """Names are lower-case, once each and sorted; addresses in their shortest form."""
    names = ["Shop.Example.org.", "*.example.org", "shop.example.org", "2001:DB8:0::1"]
    assert normal_names(names) == ("*.example.org", "2001:db8::1", "shop.example.org")


def test_identifiers() -> None:
    """A wildcard is a name, an address is of its own type."""
    assert identifier("*.a.test").type == "dns"
    assert (identifier("192.0.2.1").type, identifier("::1").type) == ("ip", "ip")


def test_refused() -> None:
    """No name, too many, or what is none."""
    for names in ([], [f"{number}.test" for number in range(101)]):
        with pytest.raises(AcmeError, match="1 to 100 names"):
            normal_names(names)
    with pytest.raises(HostnameError):
        normal_names(["a b"])
