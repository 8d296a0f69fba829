"""Names, addresses and groups of accounts."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.accounts import check_account_name, check_email, check_groups
from asgi_tunnel_edge.errors import EdgeConfigError


@pytest.mark.parametrize("text", ["", "Anna", "-a", "a-", "a b", "ä", "a" * 64, "a/b", "a:b"])
def test_names_that_are_none(text: str) -> None:
    """A colon would end a name in Basic authentication, a slash one in an address."""
    with pytest.raises(EdgeConfigError, match="NAME: expected 1 to 63"):
        check_account_name(text)


def test_names() -> None:
    """One that looks like a service token's id is none."""
    for text in ("a", "anna.b-c_d", "0"):
        assert check_account_name(text) == text
    with pytest.raises(EdgeConfigError, match="svc_ begins the ids of service tokens"):
        check_account_name("svc_anna")


@pytest.mark.parametrize("text", ["a", "a@b", "a b@c.d", "@c.d", "a@@c.d", 'a"@c.d', "a@c.d\n"])
def test_addresses_that_are_none(text: str) -> None:
    """As far as that can be told from the text."""
    with pytest.raises(EdgeConfigError, match="--email: expected an e-mail address"):
        check_email(text)


def test_addresses() -> None:
    """In lower case, for they are compared."""
    assert check_email("Anna@Example.org") == "anna@example.org"
    with pytest.raises(EdgeConfigError):
        check_email(f"{'a' * 250}@b.de")


def test_groups() -> None:
    """Each once; a bounded number."""
    assert check_groups(("b", "a", "b")) == ("b", "a")
    with pytest.raises(EdgeConfigError, match="there are more than 32 groups"):
        check_groups(tuple(f"g{number}" for number in range(33)))
