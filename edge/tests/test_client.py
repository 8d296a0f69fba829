"""The client of the API, against a real edge."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from edge.tests.dashboard.house import ADMIN, SECRET, SETTINGS, House, house

from asgi_tunnel_edge import client as module
from asgi_tunnel_edge.api.table import OPERATIONS
from asgi_tunnel_edge.client import APIRequestError, EdgeClient
from asgi_tunnel_edge.operations.bans import NewBan
from asgi_tunnel_edge.operations.tokens import NewToken
from asgi_tunnel_edge.operations.users import ChangedUser, NewUser
from asgi_tunnel_edge.quotas import TokenQuotas

ID = "svc_0000000000000001"


def use(edge: EdgeClient) -> None:
    """What a program does in a day."""
    assert edge.me().role == "operator"
    assert edge.status().domain == "example.test"
    made = edge.tokens.create(NewToken(name="new", owner="ben"))
    assert made.secret.startswith("att1")
    assert [one.name for one in edge.tokens.list()] == ["shop", "blog", "new"]
    changed = edge.tokens.change("new", owner="", limits=TokenQuotas(max_tunnels=2))
    assert (changed.owner, changed.limits["max_tunnels"]) == ("", 2)
    assert edge.tokens.rotate("new", overlap="0").secret != made.secret
    added = edge.hosts.add("new", ["more.example.test"])
    assert added.added == ("more.example.test",)
    assert edge.hosts.close("more.example.test").message == ""
    edge.hosts.open("more.example.test")
    edge.hosts.remove("more.example.test")
    assert "more.example.test" not in [one.hostname for one in edge.hosts.list()]
    edge.tokens.revoke("new")
    [tunnel] = edge.tunnels.list()
    assert tunnel.token == "shop"
    assert edge.tunnels.show("shop").sessions
    assert edge.bans.add(NewBan(address="203.0.113.0/24", lifetime="1h")).warnings == []
    assert [one.address for one in edge.bans.list()] == ["203.0.113.0/24"]
    edge.bans.remove("203.0.113.0/24")
    assert list(edge.bans.limited()) == []
    edge.users.create(NewUser(name="emil"))
    assert edge.users.change("emil", ChangedUser(groups=("x",))).groups == ("x",)
    assert edge.users.invite("emil", hostname=ADMIN).url.startswith("http")
    edge.users.sign_out("emil")
    edge.users.remove("emil")
    assert list(edge.inbox.list(failed=True)) == []
    assert edge.inbox.drop(failed=True) == 0
    assert edge.history("hour").step == 60
    assert [one.action for one in edge.changes("user.rm")] == ["user.rm"]
    assert [one.name for one in edge.service_tokens.list()] == ["ci"]


def at(one: House, *, secret: str = SECRET) -> EdgeClient:
    """Return a client of its address on this machine."""
    address = one.edge.dashboard_address
    assert address is not None
    return EdgeClient(f"http://127.0.0.1:{address.port}", ID, secret)


async def test_what_a_program_does(tmp_path: Path) -> None:
    """Each call is done, and returns what it says it returns."""
    async with house(tmp_path, dashboard={**SETTINGS, "listen": "127.0.0.1:0"}) as one:
        await asyncio.to_thread(use, at(one))


async def test_what_goes_wrong(tmp_path: Path) -> None:
    """One sentence, and a word for programs; a wrong secret; nobody there."""
    async with house(tmp_path, dashboard={**SETTINGS, "listen": "127.0.0.1:0"}) as one:
        edge = at(one)
        with pytest.raises(APIRequestError, match="none") as caught:
            await asyncio.to_thread(edge.tokens.show, "none")
        assert (caught.value.status, caught.value.code) == (404, "token_not_found")
        with pytest.raises(APIRequestError) as caught:
            await asyncio.to_thread(at(one, secret="wrong").me)
        assert caught.value.status in (303, 401)
    with pytest.raises(APIRequestError, match="cannot be reached") as caught:
        await asyncio.to_thread(edge.me)
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize("url", ["admin.example.org", "ftp://a.test", "https://"])
def test_an_address_that_is_none(url: str) -> None:
    """It is refused before a secret is sent anywhere."""
    with pytest.raises(ValueError, match="is no http or https address"):
        EdgeClient(url, ID, "secret")


async def test_the_page(tmp_path: Path) -> None:
    """What docs/reference/api.md shows is a program that works."""
    page = (Path(__file__).parents[2] / "docs/reference/api.md").read_text()
    [code] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    async with house(tmp_path, dashboard={**SETTINGS, "listen": "127.0.0.1:0"}) as one:
        address = one.edge.dashboard_address
        assert address is not None
        for was, now in (
            ("https://admin.example.org", f"http://127.0.0.1:{address.port}"),
            ("svc_0123456789abcdef", ID),
            ('"SECRET"', f'"{SECRET}"'),
        ):
            assert was in code
            code = code.replace(was, now)
        said: list[str] = []
        names = {"print": lambda *words: said.append(" ".join(map(str, words)))}
        await asyncio.to_thread(exec, compile(code, "api.md", "exec"), names)
    assert said[0] == "shop ('shop.example.test',) 0"
    assert said[1].startswith("ASGI_TUNNEL_TOKEN=att1.")


def test_each_operation_has_a_method() -> None:
    """The client can do all that the API can."""
    source = Path(module.__file__ or "").read_text()
    for one in OPERATIONS:
        assert source.count(f'"{one.id}"') == 1, one.id
