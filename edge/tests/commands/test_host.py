"""``host add``, ``host list`` and ``host rm``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.certificates.dns import pointing
from asgi_tunnel_edge.errors import HostnameElsewhereError
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


@pytest.fixture
def shop(data: Path, run: Run) -> Path:
    """An edge with the token `shop`."""
    assert run("token", "create", "shop", "--data", data).code == 0
    return data


def hostnames(data: Path) -> dict[str, tuple[str, ...]]:
    """Of each token, by its name."""
    _, records = Store(EdgeConfig.load(data).database_path).read()
    return {record.name: record.hostnames for record in records}


def test_for_a_person(shop: Path, run: Run) -> None:
    """Add, list, take back; the URLs are as visitors type them."""
    done = run("host", "add", "shop", "Cart.a.test.", "*.shop.a.test", "--data", shop)
    assert (done.code, done.err) == (0, "")
    assert "http://cart.a.test:8080" in done.out
    rows = run("host", "list", "--data", shop).out.splitlines()
    assert [row.split()[0] for row in rows] == [
        "HOSTNAME",
        "*.shop.a.test",
        "cart.a.test",
        "shop.a.test",
    ]
    done = run("host", "rm", "cart.a.test", "--data", shop)
    assert done.out == "cart.a.test is served no longer; the token shop had it.\n"
    assert hostnames(shop) == {"shop": ("*.shop.a.test", "shop.a.test")}


def test_json(shop: Path, run: Run) -> None:
    """The same for a program."""
    done = run("host", "add", "shop", "cart.a.test", "--data", shop, "--json")
    added = json.loads(done.out)
    assert added["name"] == "shop"
    assert added["added"] == ["cart.a.test"]
    assert added["urls"] == ["http://cart.a.test:8080"]
    assert added["hostnames"] == ["cart.a.test", "shop.a.test"]
    assert added["end_to_end"] == []
    listed = json.loads(run("host", "list", "--data", shop, "--json").out)
    assert listed[0] == {
        "hostname": "cart.a.test",
        "url": "http://cart.a.test:8080",
        "token": "shop",
        "token_id": added["id"],
        "end_to_end": False,
        "maintenance": None,
    }
    done = run("host", "rm", "cart.a.test", "shop.a.test", "--data", shop, "--json")
    assert json.loads(done.out) == {"removed": ["cart.a.test", "shop.a.test"]}
    assert json.loads(run("host", "list", "--data", shop, "--json").out) == []
    assert "token create shop" in run("host", "list", "--data", shop).out


def test_a_hostname_moves_to_another_token(shop: Path, run: Run) -> None:
    """Both tokens stay as they are but for it; the audit log says who had it."""
    run("token", "create", "cart", "--data", shop)
    assert run("host", "rm", "shop.a.test", "--data", shop).code == 0
    assert run("host", "add", "cart", "shop.a.test", "--data", shop).code == 0
    assert hostnames(shop) == {"shop": (), "cart": ("cart.a.test", "shop.a.test")}
    changes = [line[1:] for line in Store(EdgeConfig.load(shop).database_path).audit()][-2:]
    assert [(action, detail) for action, _, detail in changes] == [
        ("host.rm", "name=shop hostnames=shop.a.test"),
        ("host.add", "name=cart hostnames=shop.a.test"),
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("add", "shop", "shop.a.test"),
            "the hostname shop.a.test belongs to the token named shop",
        ),
        (("add", "nobody", "x.a.test"), 'no token has the id or name "nobody"'),
        (("add", "old", "x.a.test"), "was revoked"),
        (("add", "shop", "x_!.a.test"), "has characters other than"),
        (("add", "shop", "x.a.test", "--end-to-end"), "tls.mode is off"),
        (("rm", "x.a.test"), "no token has the hostname x.a.test"),
        (("rm", "shop.a.test", "x.a.test"), "no token has the hostname x.a.test"),
        (
            ("add", "shop", *(f"n{number}.a.test" for number in range(100))),
            "would have more than 100 hostnames",
        ),
        (
            ("add", "shop", *(f"{number:060}.{'x' * 60}.a.test" for number in range(40))),
            "of more than 4000 characters together",
        ),
    ],
)
def test_refusals(shop: Path, run: Run, words: tuple[str, ...], sentence: str) -> None:
    """One sentence, and nothing is changed."""
    run("token", "create", "old", "--data", shop)
    run("token", "revoke", "old", "--data", shop)
    done = run("host", *words, "--data", shop)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert hostnames(shop) == {"shop": ("shop.a.test",), "old": ()}


def test_a_custom_hostname_is_looked_up(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One below the domain is not; `--unchecked` takes what leads elsewhere."""
    asked = []

    async def check(hostname: str, domain: str, lookup: object) -> None:
        asked.append((hostname, domain))
        raise HostnameElsewhereError(hostname, "it leads elsewhere")

    monkeypatch.setattr(pointing, "check_pointing", check)
    done = run("host", "add", "shop", "x.a.test", "www.shop.test", "--data", shop)
    assert (done.code, asked) == (2, [("www.shop.test", "a.test")])
    assert done.err == ("error: it leads elsewhere; --unchecked keeps the hostname as it is\n")
    assert hostnames(shop) == {"shop": ("shop.a.test",)}
    done = run("host", "add", "shop", "www.shop.test", "--unchecked", "--data", shop)
    assert done.code == 0
    assert hostnames(shop) == {"shop": ("shop.a.test", "www.shop.test")}
