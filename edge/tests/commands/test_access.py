"""``user``, ``service-token``, ``link``, ``session`` and ``access``: who may pass doors."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from asgi_tunnel_edge.access.passwords import password_matches
from asgi_tunnel_edge.accounts import SessionRecord
from asgi_tunnel_edge.cli import main
from asgi_tunnel_edge.commands.status import count_access
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.encryption import SecretBox
from asgi_tunnel_edge.tokens import secret_digest

if TYPE_CHECKING:
    from .conftest import Done, Run

SETTINGS = """
[access.family]
users = ["anna", "zoe"]
groups = ["friends"]

[access.operators]
groups = ["admin"]
methods = ["passkey"]

[hostnames."shop.a.test"]
access = "family"
access_paths = { "/share" = "public", "POST /hooks" = "public", "/admin" = "operators" }
"""


@pytest.fixture
def shop(data: Path, run: Run) -> Path:
    """An edge whose hostname shop.a.test has doors."""
    with (data / "edge.toml").open("a") as file:
        file.write(SETTINGS)
    assert run("token", "create", "shop", "--data", data).code == 0
    return data


def store(data: Path) -> AccessStore:
    """What commands have written."""
    return AccessStore(EdgeConfig.load(data).database_path)


def typed(data: Path, text: str, *words: str) -> Any:
    """Run a command that reads stdin."""
    return CliRunner().invoke(main, [*words, "--data", str(data)], input=text)


def test_a_user_from_the_first_day_to_the_last(shop: Path, run: Run) -> None:
    """Made, shown, changed, signed out and removed; the store has what was typed."""
    words = ("user", "create", "anna", "--email", "Anna@A.test", "--group", "friends")
    done = typed(shop, "correct horse battery\n", *words, "--password-stdin")
    assert (done.exit_code, done.output) == (0, "User anna is there.\n")
    assert password_matches("correct horse battery", store(shop).password_of("anna"))
    row = run("user", "list", "--data", shop).out.splitlines()[1]
    assert row.split()[:3] == ["anna", "anna@a.test", "friends"]
    run("user", "change", "anna", "--no-groups", "--email", "", "--data", shop)
    shown = run("user", "show", "anna", "--data", shop).out
    assert "groups:    -" in shown
    assert "policies:  family" in shown
    before = store(shop).users()[0][0].epoch
    assert run("user", "sign-out", "anna", "--data", shop).code == 0
    assert run("user", "change", "anna", "--disable", "--data", shop).code == 0
    assert store(shop).users()[0][0].epoch == before + 2
    assert store(shop).password_of("anna") == ""
    assert "disabled since" in run("user", "list", "--data", shop).out
    assert run("user", "rm", "anna", "--data", shop).code == 0
    assert "There are no users yet." in run("user", "list", "--data", shop).out


def test_a_user_whom_no_policy_names_hears_it(shop: Path, run: Run) -> None:
    """Otherwise the first who finds out is the user, at the door."""
    done = run("user", "create", "carl", "--data", shop)
    assert "user invite carl" in done.out
    assert "No policy in edge.toml lets this user in" in done.out


def test_an_invitation_leads_to_the_hostname_with_a_door(shop: Path, run: Run) -> None:
    """Its secret is in the address alone; the store has the hash."""
    run("user", "create", "anna", "--data", shop)
    done = run("user", "invite", "anna", "--expires", "2d", "--data", shop, "--json")
    url = json.loads(done.out)["url"]
    begin, _, secret = url.rpartition("/")
    assert begin == "http://shop.a.test:8080/.well-known/asgi-tunnel/access/invite"
    assert store(shop).invited(secret_digest(secret), now=0) == "anna"


def test_a_service_token_is_shown_once_in_three_forms(shop: Path, run: Run) -> None:
    """As fields, for curl, and as name and password."""
    done = run("service-token", "create", "phone", "--access", "family", "--data", shop)
    [record] = store(shop).service_tokens()
    secret = done.out.partition("asgi-tunnel-token-secret: ")[2].split()[0]
    assert record.secret_sha256 == secret_digest(secret)
    assert f"name:      {record.id}\n  password:  {secret}\n" in done.out
    assert f"curl -H 'asgi-tunnel-token-id: {record.id}'" in done.out
    listed = run("service-token", "list", "--data", shop).out
    assert secret not in listed
    assert listed.splitlines()[1].endswith("never    active")
    run("service-token", "revoke", "phone", "--data", shop)
    assert run("service-token", "list", "--data", shop).out.splitlines()[1].endswith("revoked")


def test_a_link_is_made_for_a_path_that_is_shut(shop: Path, run: Run) -> None:
    """What a person types is what a browser sends."""
    done = run("link", "create", "shop.a.test/album/7 ü", "--uses", 1, "--data", shop, "--json")
    link = json.loads(done.out)
    assert link["path"] == "/album/7%20%C3%BC"
    assert store(shop).use_link(secret_digest(link["url"].rpartition("/")[2]), "shop.a.test", now=0)
    row = run("link", "list", "--data", shop).out.splitlines()[1]
    assert row.split()[-4:] == ["1", "of", "1", "used"][-4:] or " used " in row
    assert run("link", "revoke", link["id"], "--data", shop).code == 0
    assert " revoked " in run("link", "list", "--data", shop).out


def test_sessions_are_listed_and_ended(shop: Path, run: Run) -> None:
    """One by its id, or all of them; what a browser calls itself cannot write to a terminal."""
    record = SessionRecord(
        id="s1",
        subject="user:anna",
        name="anna",
        hostname="shop.a.test",
        method="password",
        created_at=1,
        expires_at=4_000_000_000,
        agent="\x1b[2Jbrowser",
    )
    store(shop).add_session(record)
    shown = run("session", "list", "--data", shop).out
    assert "user:anna" in shown
    assert "?[2Jbrowser" in shown
    assert "Session s1 of user:anna" in run("session", "end", "s1", "--data", shop).out
    assert run("session", "list", "--data", shop).out == "Nobody is logged in.\n"
    assert run("session", "end", "s1", "--data", shop).code == 2
    assert run("session", "end", "--all", "--data", shop).code == 0
    assert store(shop).sessions() == []


def test_who_can_see_what(shop: Path, run: Run) -> None:
    """Each path with the people, programs and links that pass; a name that is nobody's is said."""
    run("user", "create", "anna", "--data", shop)
    run("user", "create", "ben", "--group", "admin", "--data", shop)
    run("service-token", "create", "phone", "--access", "family", "--data", shop)
    run("link", "create", "shop.a.test/album", "--data", shop)
    rows = run("access", "list", "--data", shop).out.splitlines()
    assert "anna, zoe (no such user), service token phone, 1 share link" in rows[1]
    assert [" ".join(row.split()[1:4]) for row in rows[2:]] == [
        "/share public everybody",
        "POST /hooks public",
        "/admin operators ben",
    ]


@pytest.mark.parametrize(
    ("words", "outcome", "policies"),
    [
        (("/",), "login", ["family"]),
        (("/share/1",), "passes", []),
        (("/share/../x",), "login", ["family", "operators"]),
        (("/hooks",), "login", ["family"]),
        (("/hooks", "--method", "POST"), "passes", []),
        (("/", "--user", "anna"), "passes", ["family"]),
        (("/admin", "--user", "anna"), "denied", ["operators"]),
        (("/ADMIN/x", "--user", "anna"), "denied", ["operators"]),
        (("/admin", "--user", "ben"), "passes", ["operators"]),
        (("/", "--user", "gone"), "denied", ["family"]),
        (("/", "--token", "phone"), "passes", ["family"]),
        (("/admin", "--token", "phone"), "denied", ["operators"]),
    ],
)
def test_a_door_is_tried(
    shop: Path, run: Run, words: tuple[str, ...], outcome: str, policies: list[str]
) -> None:
    """By the code that a running edge decides with."""
    run("user", "create", "anna", "--data", shop)
    run("user", "create", "ben", "--group", "admin", "--data", shop)
    run("user", "create", "gone", "--group", "friends", "--data", shop)
    run("user", "change", "gone", "--disable", "--data", shop)
    run("service-token", "create", "phone", "--access", "family", "--data", shop)
    done = run("access", "test", "shop.a.test", *words, "--data", shop, "--json")
    document = json.loads(done.out)
    assert (document["outcome"], document["policies"]) == (outcome, policies)
    said = run("access", "test", "shop.a.test", *words, "--data", shop).out
    assert said.splitlines()[1].startswith("Why: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("user", "create", "Anna"), "NAME: expected 1 to 63 of a-z 0-9 . _ -"),
        (("user", "create", "svc_1"), "svc_ begins the ids of service tokens"),
        (("user", "create", "a", "--email", "x"), "--email: expected an e-mail address"),
        (("user", "create", "a", "--group", "B"), "--group: expected 1 to 63"),
        (("user", "show", "x"), '"x" is no user of this edge; list them'),
        (("user", "change", "x", "--disable"), '"x" is no user of this edge'),
        (("user", "change", "x"), "nothing to change is given"),
        (("user", "change", "x", "--group", "a", "--no-groups"), "cannot be used together"),
        (("user", "invite", "x"), '"x" is no user of this edge'),
        (("user", "invite", "x", "--expires", "8d"), "lives for at most 7 days"),
        (("user", "invite", "x", "--host", "open.a.test"), "open.a.test has no door"),
        (("user", "rm", "x"), '"x" is no user of this edge'),
        (("user", "sign-out", "x"), '"x" is no user of this edge'),
        (("service-token", "create", "x"), "missing option '--access'"),
        (("service-token", "create", "x", "--access", "y"), 'there is no [access."y"]'),
        (("service-token", "create", "x", "--access", "operators"), "takes no service tokens"),
        (("service-token", "revoke", "x"), '"x" is no service token that holds'),
        (("link", "create", "shop.a.test/share"), "is open to everybody"),
        (("link", "create", "open.a.test/"), "is open to everybody"),
        (("link", "create", "shop.a.test/admin"), "takes no links"),
        (("link", "create", "shop.a.test/a//b"), "can be read in more than one way"),
        (("link", "create", "shop.a.test/a?b"), "or has a query"),
        (("link", "create", "shop.a.test/a", "--note", "a\nb"), "--note: expected one line"),
        (("link", "revoke", "x"), '"x" is no share link that holds'),
        (("session", "end"), "name sessions, or --all of them"),
        (("session", "end", "x"), '"x" is no session that holds'),
        (("access", "test", "shop.a.test", "/", "--user", "x"), '"x" is no user'),
        (("access", "test", "shop.a.test", "/", "--token", "x"), '"x" is no service token'),
    ],
)
def test_refusals(shop: Path, run: Run, words: tuple[str, ...], sentence: str) -> None:
    """One sentence that says what, why and what to do; nothing is changed."""
    before = store(shop).users()
    done = run(*words, "--data", shop)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert store(shop).users() == before


@pytest.mark.parametrize("text", ["", "\n", "short\n", f"{'x' * 300}\n"])
def test_passwords_that_are_none(shop: Path, text: str) -> None:
    """Nothing, too short, too long: no user is made."""
    done = typed(shop, text, "user", "create", "anna", "--password-stdin")
    assert done.exit_code == 2
    assert store(shop).users() == []


def test_a_door_cannot_stand_where_tls_ends_in_the_app(tmp_path: Path, run: Run) -> None:
    """Neither with a new token nor with a hostname that is added, also by a wildcard."""
    data = tmp_path / "data"
    assert run("init", "--data", data, "--domain", "a.test").code == 0
    with (data / "edge.toml").open("a") as file:
        file.write(SETTINGS)
    for words in (
        ("token", "create", "shop", "--end-to-end"),
        ("token", "create", "x", "--hostname", "*.a.test", "--end-to-end"),
    ):
        done = run(*words, "--data", data)
        assert done.code == 2
        assert "--end-to-end: shop.a.test has a door in edge.toml" in done.err
    run("token", "create", "blog", "--data", data)
    done = run("host", "add", "blog", "shop.a.test", "--end-to-end", "--data", data)
    assert "--end-to-end: shop.a.test has a door in edge.toml" in done.err


def test_the_commands_of_the_reference(tmp_path: Path, run: Run) -> None:
    """Those that need a policy or a user end well, in the order of docs/reference/cli.md."""
    page = (Path(__file__).parents[3] / "docs/reference/cli.md").read_text()
    mark = r"<!-- run by: edge/tests/commands/test_access\.py -->\n```console\n(.*?)```"
    typed = [line for block in re.findall(mark, page, re.DOTALL) for line in block.splitlines()]
    assert len(typed) > 9
    data = tmp_path / "data"
    run("init", "--data", data, "--domain", "example.org", "--tls", "off")
    with (data / "edge.toml").open("a") as file:
        file.write('[access.family]\nusers = ["anna"]\n')
        file.write('[hostnames."photos.example.org"]\naccess = "family"\n')
    run("user", "create", "anna", "--data", data)
    for line in typed:
        words = shlex.split(line.removeprefix("$ asgi-tunnel-edge "))
        links = store(data).links()
        words = [links[0].id if word.startswith("lnk_") else word for word in words]
        done = run(*words, "--data", data)
        assert (done.code, done.err) == (0, ""), line


def doors_of(done: Done) -> list[tuple[str, str]]:
    """What `doctor` finds of doors."""
    findings = json.loads(done.out)["findings"]
    return [(one["state"], one["what"]) for one in findings if one["check"] == "doors"]


def test_doctor_looks_at_doors(shop: Path, run: Run) -> None:
    """Names that are nobody's, and policies that let nobody in."""
    words = ("doctor", "--offline", "--data", shop, "--json")
    assert doors_of(run(*words)) == [
        ("warning", "[access.family] names anna, zoe, and there is no such user"),
        ("warning", "[access.family] lets nobody in"),
        ("warning", "[access.operators] lets nobody in"),
    ]
    for words_of_user in (("anna",), ("zoe",), ("ben", "--group", "admin")):
        run("user", "create", *words_of_user, "--data", shop)
    assert doors_of(run(*words)) == [("ok", "each lets somebody in: shop.a.test")]


def test_a_door_that_was_made_where_tls_ends_in_the_app(tmp_path: Path, run: Run) -> None:
    """First the hostname, then the door: both checks name it, for everybody may come in."""
    data = tmp_path / "data"
    run("init", "--data", data, "--domain", "a.test")
    run("token", "create", "shop", "--end-to-end", "--data", data)
    with (data / "edge.toml").open("a") as file:
        file.write(SETTINGS)
    done = run("config", "check", "--data", data)
    assert done.code == 2
    assert "hostnames.shop.a.test.access: the TLS of shop.a.test ends in the app" in done.err
    found = doors_of(run("doctor", "--offline", "--data", data, "--json"))
    assert found[0][0] == "problem"
    tried = run("access", "test", "shop.a.test", "/", "--data", data, "--json")
    assert json.loads(tried.out)["outcome"] == "end-to-end"
    assert "whom the app lets in" in run("access", "list", "--data", data).out


def test_a_backup_has_all_of_it(shop: Path, run: Run, tmp_path: Path) -> None:
    """Users, tokens and links, and the key that sessions are signed with: they go on."""
    run("user", "create", "anna", "--group", "friends", "--data", shop)
    run("service-token", "create", "phone", "--access", "family", "--data", shop)
    run("link", "create", "shop.a.test/album", "--data", shop)
    key = SecretBox(EdgeConfig.load(shop).acme_key_path).derive("access session")
    other, file = tmp_path / "other", tmp_path / "copy.zip"
    assert run("backup", file, "--data", shop).code == 0
    assert run("restore", file, "--data", other).code == 0
    assert SecretBox(EdgeConfig.load(other).acme_key_path).derive("access session") == key
    before, after = store(shop), store(other)
    assert after.users() == before.users()
    assert after.service_tokens() == before.service_tokens()
    assert after.links() == before.links()


def test_what_status_counts(shop: Path, run: Run) -> None:
    """What holds; nothing where no door is, or where settings cannot be read."""
    run("user", "create", "anna", "--data", shop)
    run("service-token", "create", "phone", "--access", "family", "--data", shop)
    run("service-token", "revoke", "phone", "--data", shop)
    run("link", "create", "shop.a.test/album", "--data", shop)
    counts = {"users": 1, "sessions": 0, "service_tokens": 0, "links": 1}
    assert count_access(shop) == counts
    with (shop / "edge.toml").open("a") as file:
        file.write("oops")
    assert count_access(shop) is None
