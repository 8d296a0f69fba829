"""Which hostnames a process serves: the table's, and those of the setting."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_tunnel.cli import main
from asgi_tunnel.config import HOSTNAMES, TunnelConfig
from asgi_tunnel.errors import ConfigError
from asgi_tunnel.names import MAX_NAMES, ServedNames, is_covered, names_of
from asgi_tunnel.services.app import Services
from asgi_tunnel.token import Token

from .e2e.browsing import APPS, ROOT, browse
from .e2e.harness import BIN, Edge, Process, running_app, running_edge, spawn, wait_until

TOKEN = Token(edge="ws://127.0.0.1:9", id="tok_1", secret="s" * 43).format()


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("a.test", True),
        ("b.test", False),
        ("x.w.test", True),
        ("x.y.w.test", False),
        ("*.w.test", True),
        ("*.test", True),  # a.test is below it
        ("*.other", False),
        ("*", True),
    ],
)
def test_covered(name: str, covered: bool) -> None:
    """Equal, below a wildcard of the token, or a wildcard above one of its names."""
    assert is_covered(name, ("a.test", "*.w.test")) is covered


def test_names_of_a_table() -> None:
    """Each once, in order; those of an app without a table are not known."""
    services = Services({"a.test/x": print, "a.test": print, "*.b.test": print})
    served = names_of(services)
    assert served is not None
    assert served.names == ("a.test", "*.b.test")
    assert served.in_hello == served.names
    assert names_of(print) is None


def test_a_change_of_names() -> None:
    """It is told once; what HELLO cannot hold, or has every name in it, asks for all."""
    served = ServedNames()
    heard: list[tuple[str, ...]] = []
    served.on_change = lambda: heard.append((*served.names[:2], "in hello:", *served.in_hello))
    served.replace(["c.test"])
    served.replace(["c.test", "c.test"])
    served.replace(["c.test", "*"])
    served.replace([f"{number}.test" for number in range(MAX_NAMES + 1)])
    served.replace([])
    assert heard == [
        ("c.test", "in hello:", "c.test"),
        ("c.test", "*", "in hello:"),
        ("0.test", "1.test", "in hello:"),
        ("in hello:",),
    ]


def test_setting() -> None:
    """Argument before variable; commas in the latter; what is no name is said."""

    def read(text: str = "", given: list[str] | str | None = None) -> tuple[str, ...]:
        config = TunnelConfig.from_env({HOSTNAMES: text}, token=TOKEN, hostnames=given)
        assert config is not None
        return config.hostnames

    assert read() == ()
    assert read("A.test, b.test,,a.test") == ("a.test", "b.test")
    assert read("a.test", ["b.test"]) == read("a.test", "b.test") == ("b.test",)
    for wrong, why in (("a b", "is no hostname"), (",".join(map(str, range(101))), "more than")):
        with pytest.raises(ConfigError, match=why):
            read(wrong)


# -- with an edge -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all."""
    with running_edge(tmp_path_factory.mktemp("edge"), limits="hold_timeout = 3.0") as running:
        yield running


def write_table(folder: Path, *hostnames: str) -> None:
    """A folder of one file for each hostname, which says the name of ``folder``."""
    folder.mkdir(exist_ok=True)
    page = folder / "page"
    page.mkdir(exist_ok=True)
    (page / "index.html").write_text(folder.name)
    lines = [f'[[services]]\nhostname = "{one}"\nto = "./page"\n' for one in hostnames]
    (folder / "asgi-tunnel.toml").write_text("\n".join(lines))


def start(folder: Path, token: str) -> Process:
    """``asgi-tunnel run`` in a folder with a table."""
    return spawn(
        [str(BIN / "asgi-tunnel"), "run"], folder, env={"ASGI_TUNNEL_TOKEN": token}, cwd=folder
    )


@pytest.mark.e2e
def test_two_tables_of_one_token(edge: Edge, tmp_path: Path) -> None:
    """Each process gets what its table has, follows it, and the pool of a name is told of to both.

    Also: a name that the token does not serve is said once, with what to do, and served as soon as
    it does.
    """
    names = ("photos.example.test", "shop.example.test", "late.example.test")
    token = edge.create_token("tables", "--hostname", names[0], "--hostname", names[1])
    one, two = tmp_path / "one", tmp_path / "two"
    write_table(one, names[0], names[2])
    write_table(two, names[1])

    def says(name: str) -> set[str]:
        with browse(edge, name) as web:
            return {web.get("/").text for _ in range(4)}

    first, second = start(one, token.token), start(two, token.token)
    try:
        first.wait_for(f"the token does not serve {names[2]}, so no visitor comes; on the edge: ")
        first.wait_for(f"`asgi-tunnel-edge host add {token.id} {names[2]}`")
        second.wait_for(f"is live: http://{names[1]}")
        assert names[1] not in first.output
        assert (says(names[0]), says(names[1])) == ({"one"}, {"two"})
        assert "another process serves" not in first.output + second.output

        edge.command("host", "add", "tables", names[2])
        wait_until(lambda: says(names[2]) == {"one"}, what="the new name of the token")

        write_table(two, names[1], names[0])  # the second one has the photos, too
        for process in (first, second):
            process.wait_for(f"another process serves {names[0]} too, with the same token")
        assert says(names[1]) == {"two"}
        write_table(one, names[2])  # and the first one has them no more
        wait_until(lambda: says(names[0]) == {"two"}, what="all photos come from the second one")
        assert says(names[2]) == {"one"}
        assert first.output.count("the token does not serve") == 1
        assert "Traceback" not in first.output + second.output
    finally:
        first.stop()
        second.stop()


@pytest.mark.e2e
def test_hostname_option(edge: Edge, tmp_path: Path) -> None:
    """A process serves the one name that it was given; one that is not the token's is refused."""
    names = ("a.example.test", "b.example.test")
    token = edge.create_token("option", "--hostname", names[0], "--hostname", names[1])
    app = f"{APPS}.scope_app:app"
    with running_app(
        tmp_path, token, app, "--hostname", names[0], "--reload", app_dir=ROOT
    ) as process:
        assert re.findall(r"is live: http://([a-z.]+)", process.output) == [names[0]]
        process.stop(signal.SIGTERM)
    env = {"ASGI_TUNNEL_TOKEN": token.token, HOSTNAMES: "nobody.example.test"}
    command = [str(BIN / "asgi-tunnel"), "run", app, "--app-dir", str(ROOT)]
    refused = spawn(command, tmp_path, env=env)
    assert refused.popen.wait(20) == 1
    assert "the token option does not serve nobody.example.test" in refused.output
    assert "asgi-tunnel-edge host add option nobody.example.test" in refused.output


@pytest.mark.e2e
def test_service_check(
    edge: Edge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Names are checked beside a tunnel that runs, which notices nothing of it."""
    token = edge.create_token("check", "--hostname", "*.check.test")
    table = tmp_path / "table"
    write_table(table, "a.check.test", "nobody.example.test")
    tunnel = start(table, token.token)

    monkeypatch.chdir(table)

    def check(text: str, *options: str) -> tuple[int, str, str]:
        monkeypatch.setenv("ASGI_TUNNEL_TOKEN", text)
        code = main(["service", "check", *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    try:
        tunnel.wait_for("is live")
        edge.running.wait_for("tunnel check/", count=2)
        before = edge.running.output
        problem = (
            "the token does not serve nobody.example.test, so no visitor comes; on the edge: "
            f"`asgi-tunnel-edge host add {token.id} nobody.example.test`"
        )
        assert check(token.token) == (
            1,
            f"a.check.test: ok\nnobody.example.test: {problem}\n",
            "",
        )
        assert edge.running.output == before  # no session began, none has ended
        assert json.loads(check(token.token, "--json")[1]) == [
            {"name": "a.check.test", "problems": []},
            {"name": "nobody.example.test", "problems": [problem]},
        ]
        lines = "a.check.test: ok\nnobody.example.test: ok\n"
        nobody = Token(edge="ws://127.0.0.1:1", id="tok_1", secret="s" * 43).format()
        for text, why in (
            ("", "ASGI_TUNNEL_TOKEN is not set"),
            ("att1", "ASGI_TUNNEL_TOKEN has 1 part"),
            (nobody, "the edge at ws://127.0.0.1:1 was not reached"),
            (token.token[:-4] + "AAAA", "the edge refuses the token"),
        ):
            code, output, error = check(text)
            assert (code, output) == (0, lines)
            assert f"whether the token serves the hostnames was not checked: {why}" in error
    finally:
        tunnel.stop()
