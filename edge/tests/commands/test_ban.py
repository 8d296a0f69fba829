from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.ban import BanRecord, ScannerBan
from asgi_tunnel_edge.storage import Store

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def test_add_list_rm(data: Path, run: Run) -> None:
    """A ban is kept, shown and taken back; each change is in the audit log."""
    done = run("ban", "add", "203.0.113.7", "--reason", "guesses passwords", "--data", data)
    assert (done.code, done.err) == (0, "")
    assert done.out == "203.0.113.7 is banned until you take that back with `ban rm`.\n"
    assert run("ban", "add", "2001:db8::5", "--for", "1h", "--data", data).code == 0
    shown = run("ban", "list", "--data", data).out
    assert shown.splitlines()[0].split("  ")[0] == "ADDRESS"
    assert "203.0.113.7" in shown
    assert "for ever" in shown
    assert "guesses passwords" in shown
    assert "2001:db8::/64" in shown
    done = run("ban", "rm", "203.0.113.7", "2001:db8::9", "--data", data)
    assert (done.code, done.out.count("is not banned any more")) == (0, 2)
    assert run("ban", "list", "--data", data).out.splitlines()[0] == "Nobody is banned."
    audit = Store(data / "edge.sqlite3").audit()
    assert [action for _, action, _, _ in audit] == ["ban.add", "ban.add", "ban.rm", "ban.rm"]


def test_json(data: Path, run: Run) -> None:
    """For programs: the spelling that counts, and times in UTC."""
    before = time.time()
    added = json.loads(
        run("ban", "add", "10.1.2.3/8", "--for", "30m", "--data", data, "--json").out
    )
    assert added["address"] == "10.0.0.0/8"
    expires = datetime.fromisoformat(added["expires_at"]).timestamp()
    assert before + 1799 <= expires <= time.time() + 1800
    (row,) = json.loads(run("ban", "list", "--data", data, "--json").out)
    assert row["address"] == "10.0.0.0/8"
    assert row["expires_at"] == added["expires_at"]
    removed = run("ban", "rm", "10.0.0.0/8", "--data", data, "--json").out
    assert json.loads(removed) == {"removed": ["10.0.0.0/8"]}


def test_second_ban_takes_the_place_of_the_first(data: Path, run: Run) -> None:
    """There is one ban for an address: the last one."""
    run("ban", "add", "203.0.113.7", "--data", data)
    run("ban", "add", "203.0.113.7", "--for", "1h", "--reason", "again", "--data", data)
    (row,) = json.loads(run("ban", "list", "--data", data, "--json").out)
    assert row["reason"] == "again"
    assert row["expires_at"] is not None


def test_bans_that_are_over_are_not_shown(data: Path, run: Run) -> None:
    """An expired ban is no ban: not in the list, not to be taken back."""
    store = Store(data / "edge.sqlite3")
    store.add_ban(BanRecord(address="203.0.113.7", created_at=1, expires_at=2))
    assert run("ban", "list", "--data", data).out.splitlines()[0] == "Nobody is banned."
    assert run("ban", "rm", "203.0.113.7", "--data", data).code == 2


def scanner_ban(address: str, owner: str, *, seconds: int = 600) -> ScannerBan:
    """A ban as the scanner guard makes it."""
    now = int(time.time())
    return ScannerBan(
        address=address, owner=owner, created_at=now, expires_at=now + seconds, reason="6 probes"
    )


def test_bans_of_the_scanner_guard(data: Path, run: Run) -> None:
    """They are in the list with owner and reason, and `ban rm` takes them back for all owners."""
    token = json.loads(run("token", "create", "shop", "--data", data, "--json").out)
    store = Store(data / "edge.sqlite3")
    store.add_scanner_bans(
        [
            scanner_ban("198.51.100.9", token["id"]),
            scanner_ban("198.51.100.9", ""),
            scanner_ban("2001:db8::/64", ""),
            scanner_ban("198.51.100.7", "", seconds=0),
        ]
    )
    run("ban", "add", "203.0.113.7", "--data", data)
    rows = json.loads(run("ban", "list", "--data", data, "--json").out)
    assert sorted((row["address"], row["by"], row["owner"] or "-") for row in rows) == [
        ("198.51.100.9", "scanner", "-"),
        ("198.51.100.9", "scanner", "shop"),
        ("2001:db8::/64", "scanner", "-"),
        ("203.0.113.7", "operator", "-"),
    ]
    shown = run("ban", "list", "--data", data).out
    assert "OWNER" in shown.splitlines()[0].split()
    words = shown.split()
    assert [words.count(owner) for owner in ("shop", "nobody", "all")] == [1, 2, 1]
    assert run("ban", "rm", "198.51.100.9", "2001:db8::1", "--data", data).code == 0
    assert store.scanner_bans() == []
    assert run("ban", "rm", "198.51.100.9", "--data", data).code == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "shop"), "ADDRESS: expected an IP address or a network"),
        (("add", "10.0.0.1", "--for", "soon"), "--for: expected a time of at most ten years"),
        (("add", "10.0.0.1", "--reason", "a\nb"), "--reason: expected one line"),
        (("add", "10.0.0.1", "--reason", "x" * 201), "--reason: expected one line"),
        (("rm", "10.0.0.1"), "10.0.0.1 is not banned; see the bans with"),
    ],
)
def test_wrong_input(data: Path, run: Run, words: tuple[str, ...], sentence: str) -> None:
    """Wrong input gets one sentence and exit code 2; nothing is kept."""
    done = run("ban", *words, "--data", data)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert sentence in done.err
    assert Store(data / "edge.sqlite3").bans() == []


def test_all_or_none(data: Path, run: Run) -> None:
    """One address that is not banned, and none of them is freed."""
    run("ban", "add", "10.0.0.1", "--data", data)
    assert run("ban", "rm", "10.0.0.1", "10.0.0.2", "--data", data).code == 2
    assert len(Store(data / "edge.sqlite3").bans()) == 1


def test_an_address_of_a_banned_network(data: Path, run: Run) -> None:
    """Who wants to let one address in reads which ban shuts it out."""
    for network in ("203.0.113.0/24", "198.51.100.0/24"):
        run("ban", "add", network, "--data", data)
    done = run("ban", "rm", "203.0.113.7", "--data", data)
    assert done.code == 2
    assert done.err.startswith(
        "error: 203.0.113.7 is not banned by itself; take back 203.0.113.0/24,"
    )


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "holds addresses of this machine"),
        ("::1", "holds addresses of this machine"),
        ("10.1.2.3", "holds private addresses"),
        ("192.168.0.0/16", "holds private addresses"),
        ("fd00::1", "holds private addresses"),
        ("100.64.3.4", "holds private addresses"),
        ("0.0.0.0/1", "holds addresses of this machine"),
        ("198.51.100.7", "holds addresses of your proxy (198.51.100.0/24)"),
        ("203.0.113.7", ""),
        ("2001:db8::1", ""),
    ],
)
def test_ban_of_ones_own(data: Path, run: Run, address: str, why: str) -> None:
    """Who bans this machine, a proxy or a private network gets a warning, and the ban."""
    path = data / "edge.toml"
    text = path.read_text().replace("[proxies]\n", '[proxies]\ntrusted = ["198.51.100.0/24"]\n')
    path.write_text(text)
    done = run("ban", "add", address, "--data", data)
    assert (done.code, bool(done.err)) == (0, bool(why))
    assert why in done.err
    if why:
        assert done.err.startswith("warning: ")
        assert "asgi-tunnel-edge ban rm" in done.err
