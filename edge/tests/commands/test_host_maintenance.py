"""``host maintenance on`` and ``host maintenance off``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


@pytest.fixture
def shop(data: Path, run: Run) -> Path:
    """An edge with the tokens `shop` and `blog`."""
    for name in ("shop", "blog"):
        assert run("token", "create", name, "--data", data).code == 0
    return data


def closed(data: Path) -> list[str]:
    """Hostnames that are."""
    records = Store(EdgeConfig.load(data).database_path).maintenance()
    return [record.hostname for record in records]


def test_for_a_person(shop: Path, run: Run) -> None:
    """It says how to open again, and the list shows what is closed."""
    done = run("host", "maintenance", "on", "Shop.a.test", "--until", "2h", "--data", shop)
    assert (done.code, done.err) == (0, "")
    first, second, third = done.out.splitlines()
    assert first == "shop.a.test is closed for maintenance."
    assert second.startswith("Visitors read that you expect to be done at 20")
    assert third.endswith("asgi-tunnel-edge host maintenance off shop.a.test")
    rows = run("host", "list", "--data", shop).out.splitlines()
    assert rows[0].split()[-1] == "MAINTENANCE"
    assert rows[1].endswith("  no")
    assert "  since 20" in rows[2]
    assert ", expected until 20" in rows[2]
    done = run("host", "maintenance", "off", "shop.a.test", "blog.a.test", "--data", shop)
    assert done.out == "shop.a.test is open again.\nblog.a.test was not closed.\n"
    assert closed(shop) == []


def test_json(shop: Path, run: Run) -> None:
    """The same for a program."""
    words = ("--message", "New disks.", "--allow", "203.0.113.7", "--allow", "2001:db8::1")
    names = ("shop.a.test", "blog.a.test", "shop.a.test")
    done = run("host", "maintenance", "on", *names, *words, "--data", shop, "--json")
    document = json.loads(done.out)
    since = document.pop("since")
    assert document == {
        "hostnames": ["shop.a.test", "blog.a.test"],
        "message": "New disks.",
        "until": None,
        "allow": ["203.0.113.7", "2001:db8::/64"],
    }
    listed = json.loads(run("host", "list", "--data", shop, "--json").out)
    assert listed[0]["maintenance"] == {
        "since": since,
        "message": "New disks.",
        "until": None,
        "allow": ["203.0.113.7", "2001:db8::/64"],
    }
    done = run("host", "maintenance", "off", "shop.a.test", "--data", shop, "--json")
    assert json.loads(done.out) == {"opened": ["shop.a.test"]}
    listed = json.loads(run("host", "list", "--data", shop, "--json").out)
    assert [one["maintenance"] is None for one in listed] == [False, True]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("x.a.test",), "no token has the hostname x.a.test"),
        (("shop.a.test", "x.a.test"), "no token has the hostname x.a.test"),
        (("shop.a.test", "--until", "soon"), "--until: expected a time"),
        (("shop.a.test", "--allow", "me"), "--allow: expected an IP address or a network"),
        (("shop.a.test", "--message", "a\nb"), "--message: expected one line"),
        (
            ("shop.a.test", *(one for n in range(51) for one in ("--allow", f"192.0.2.{n}"))),
            "--allow: there are more than 50 addresses; name a network",
        ),
        ((), "missing argument 'HOST...'"),
    ],
)
def test_refusals(shop: Path, run: Run, words: tuple[str, ...], sentence: str) -> None:
    """One sentence, and nothing is closed."""
    done = run("host", "maintenance", "on", *words, "--data", shop)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert closed(shop) == []


def test_an_edge_that_cannot_read_shows_no_page(tmp_path: Path, run: Run) -> None:
    """Where TLS ends in the app, the app itself has to say it."""
    data = tmp_path / "data"
    assert run("init", "--data", data, "--domain", "a.test").code == 0
    assert run("token", "create", "shop", "--end-to-end", "--data", data).code == 0
    done = run("host", "maintenance", "on", "shop.a.test", "--data", data)
    assert done.code == 2
    assert "the TLS of shop.a.test ends in the app" in done.err
    assert closed(data) == []
