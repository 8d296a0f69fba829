"""When certificates are ordered, with a clock that the test moves and a CA over real HTTP."""

from __future__ import annotations

import asyncio
import email.utils
import random
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from asgi_tunnel_edge.certificates.acme import (
    AcmeSettings,
    HttpTokens,
    IssuanceFailure,
    Issuer,
    IssuerClock,
    IssuerHooks,
)
from asgi_tunnel_edge.certificates.acme import (
    issuer as module,
)
from asgi_tunnel_edge.certificates.acme.lease import LEASE
from asgi_tunnel_edge.certificates.acme.schedule import (
    DAY,
    HOUR,
    MAX_FAILURES_PER_HOUR,
    MAX_ORDERS_PER_HOUR,
)
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage.acme import AcmeStore

from .fake_ca import Clock, FakeCA, Said, fake_ca, problem
from .memory import MemoryStorage

Names = tuple[str, ...]


@dataclass
class World:
    """A store, a clock, a CA, and what an edge heard."""

    folder: Path
    clock: Clock
    ca: FakeCA
    wanted: list[Sequence[str]] = field(default_factory=lambda: [["a.test"]])
    installed: list[Names] = field(default_factory=list)
    chains: dict[Names, bytes] = field(default_factory=dict)
    failures: list[IssuanceFailure] = field(default_factory=list)

    events: dict[Names, asyncio.Event] = field(default_factory=dict)

    memory: MemoryStorage = field(default_factory=MemoryStorage)
    on_disk: bool = False  # a real database: slower, and what a restart really has

    @property
    def store(self) -> AcmeStore:
        """The database, as another process opens it."""
        self.on_disk = True
        return AcmeStore(self.folder / "edge.sqlite3", self.folder / "secrets.key")

    def issuer(self, **settings: Any) -> Issuer:
        """An issuer, as a start of the edge makes it."""
        fields = {"directory_url": self.ca.directory, **settings}
        return Issuer(
            AcmeSettings(**fields),
            self.store if self.on_disk else self.memory,
            [HttpTokens()],
            IssuerHooks(
                wanted=lambda: self.wanted, installed=self._install, failed=self.failures.append
            ),
            clock=IssuerClock(now=self.clock.now, sleep=self.clock.sleep, chance=random.Random(1)),
        )

    async def is_installed(self, names: Names) -> None:
        """Wait until a certificate was handed on."""
        await self.events.setdefault(names, asyncio.Event()).wait()

    def _install(self, names: Names, chain_pem: bytes, key_pem: bytes) -> None:
        assert b"PRIVATE KEY" in key_pem
        self.installed.append(names)
        self.chains[names] = chain_pem
        self.events.setdefault(names, asyncio.Event()).set()

    async def live(self, issuer: Issuer, seconds: float) -> None:
        """Let time pass, with all looks in it."""
        end = self.clock.value + seconds
        while self.clock.value < end:
            self.clock.value += await issuer.step()

    def left(self, *names: str) -> float:
        """Seconds until the certificate in use expires."""
        certificate = x509.load_pem_x509_certificate(self.chains[names or ("a.test",)])
        return certificate.not_valid_after_utc.timestamp() - self.clock.value


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database; a copy is quicker than migrations."""
    path = tmp_path_factory.mktemp("empty") / "edge.sqlite3"
    AcmeStore(path, path.with_name("secrets.key")).migrate()
    return path


@pytest.fixture
async def world(database: Path, tmp_path: Path) -> AsyncIterator[World]:
    """An edge that wants a certificate for a.test."""
    shutil.copy(database, tmp_path)
    clock = Clock()
    async with fake_ca(clock) as ca:
        one = World(folder=tmp_path, clock=clock, ca=ca)
        yield one


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of looks are quick also where other programs want the cores."""

    async def inline(function: Callable[..., Any], *words: Any, **options: Any) -> Any:
        return function(*words, **options)

    monkeypatch.setattr(asyncio, "to_thread", inline)


@pytest.fixture
def rare_looks(no_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look each six hours, so that months pass in a second."""
    monkeypatch.setattr(module, "LOOK_EVERY", 6 * HOUR)


async def test_first_certificate(world: World) -> None:
    """It is ordered in the first look and handed on; later looks do nothing."""
    issuer = world.issuer(contact=["owner@example.org"])
    await world.live(issuer, HOUR)
    assert world.installed == [("a.test",)]
    assert len(world.ca.ordered) == len(world.ca.accounts) == 1
    assert world.ca.accounts[0]["contact"] == ["mailto:owner@example.org"]
    assert world.failures == []


async def test_restart_hands_on_what_is_kept(world: World) -> None:
    """After a restart the kept certificate is used, without the CA."""
    world.on_disk = True
    await world.issuer().step()
    before = len(world.ca.asked)
    await world.issuer().step()
    assert world.installed == [("a.test",)] * 2
    assert len(world.ca.asked) == before


@pytest.mark.parametrize("days", [90, 47, 6])
async def test_many_lifetimes(
    world: World, rare_looks: None, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Renewed at two thirds of whatever the lifetime is, for ever; never without a valid one."""
    monkeypatch.setattr(module, "LOOK_EVERY", days * DAY / 60)
    world.ca.lifetime = days * DAY
    issuer = world.issuer()
    least = float("inf")
    for _ in range(300):
        await world.live(issuer, days * DAY / 60)
        least = min(least, world.left())
    assert least > days * DAY * 0.28
    assert len(world.ca.ordered) in {7, 8}  # five lifetimes, each two thirds used


async def test_ari_window(world: World, rare_looks: None) -> None:
    """The CA's window decides, with the id of the old certificate; asked as often as it says."""
    world.ca.window, world.ca.retry_after = (20 * DAY, 21 * DAY), str(12 * 3600)
    issuer = world.issuer()
    await world.live(issuer, 19.9 * DAY)
    assert len(world.ca.ordered) == 1
    assert 35 <= world.ca.count("renewal") <= 41
    await world.live(issuer, 1.5 * DAY)
    assert len(world.ca.ordered) == 2
    assert world.ca.ordered[1]["replaces"].count(".") == 1
    assert "replaces" not in world.ca.ordered[0]


async def test_ari_moves_to_now(world: World, rare_looks: None) -> None:
    """A CA that revokes certificates early gets its renewals within a day."""
    world.ca.window = (60 * DAY, 61 * DAY)
    issuer = world.issuer()
    await world.live(issuer, 5 * DAY)
    world.ca.window = (4 * DAY, 4.5 * DAY)
    await world.live(issuer, DAY)
    assert len(world.ca.ordered) == 2


async def test_ari_always_in_the_past(world: World, rare_looks: None) -> None:
    """A CA that always wants a renewal at once does not get one each minute."""
    world.ca.window = (-2 * DAY, -DAY)
    await world.live(world.issuer(), 4 * DAY)
    assert len(world.ca.ordered) <= 17


@pytest.mark.parametrize("said", [Said(status=500), Said(body=b"<html>"), problem("malformed")])
async def test_ari_broken(world: World, rare_looks: None, said: Said) -> None:
    """A CA whose ARI fails is renewed by lifetimes."""
    world.ca.window, world.ca.always["renewal"] = (0, 1), said
    world.ca.lifetime = 12 * DAY
    issuer = world.issuer()
    await world.live(issuer, 7.9 * DAY)
    assert len(world.ca.ordered) == 1
    await world.live(issuer, 0.8 * DAY)
    assert len(world.ca.ordered) == 2


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_rate_limit(world: World, no_threads: None, form: str) -> None:
    """A rate limit is respected to the minute, also across a restart; then it goes on."""
    until = world.clock.value + 2 * DAY
    value = str(2 * 86400) if form == "seconds" else email.utils.formatdate(until, usegmt=True)
    world.ca.replies["order"] = [problem("rateLimited", status=429, retry_after=value)]
    await world.live(world.issuer(), DAY)
    await world.live(world.issuer(), until - world.clock.value - 60)
    assert world.ca.count("order") == 1
    assert "issues no more for a.test" in world.failures[0].sentence
    assert world.failures[0].retry_at >= until
    await world.live(world.issuer(), HOUR)
    assert world.installed == [("a.test",)]


async def test_back_off(world: World, no_threads: None) -> None:
    """Tries become rarer, are bounded, and a restart begins none anew."""
    world.ca.always["chall"] = problem("connection")
    tries: list[int] = []
    for _ in range(48):
        await world.live(world.issuer(), HOUR)
        tries.append(len(world.ca.ordered))
    assert tries[0] <= 5
    assert tries[-1] - tries[23] <= 5  # the second day: every six hours
    assert tries[-1] - tries[23] >= 3
    world.ca.always.clear()
    await world.live(world.issuer(), 8 * HOUR)
    assert world.installed == [("a.test",)]
    assert world.memory.load(world.ca.directory).failures == {}


async def test_reports(world: World, rare_looks: None) -> None:
    """A failure is said once, again each day, and at once when it is of another kind."""
    world.ca.lifetime = 6 * DAY
    issuer = world.issuer()
    await world.live(issuer, 3.9 * DAY)
    world.ca.always["order"] = problem("caa")
    await world.live(issuer, 1.9 * DAY)
    assert world.failures[0].count == 1
    assert 1 <= len(world.failures) <= 3
    assert world.failures[0].not_after is not None  # there is still one
    assert "CAA records" in world.failures[0].sentence
    before = len(world.failures)
    world.ca.always["order"] = problem("rejectedIdentifier")
    await world.live(issuer, 0.5 * DAY)
    assert len(world.failures) >= before + 1
    assert "does not issue for a.test" in world.failures[before].sentence


async def test_report_without_a_try(world: World, rare_looks: None) -> None:
    """Who waits for a week for a rate limit is reminded each day."""
    world.ca.always["order"] = problem("rateLimited", status=429, retry_after=str(7 * 86400))
    await world.live(world.issuer(), 6 * DAY)
    assert 6 <= len(world.failures) <= 7
    assert world.ca.count("order") == 1


async def test_cap_of_orders(world: World, no_threads: None) -> None:
    """Many names are ordered over hours, not in a burst; the cap survives a restart."""
    world.wanted = [[f"{number}.test"] for number in range(MAX_ORDERS_PER_HOUR + 10)]
    await world.live(world.issuer(), 0.4 * HOUR)
    await world.live(world.issuer(), 0.4 * HOUR)
    assert len(world.ca.ordered) == MAX_ORDERS_PER_HOUR
    await world.live(world.issuer(), 0.5 * HOUR)
    assert len(set(world.installed)) == MAX_ORDERS_PER_HOUR + 10


async def test_cap_of_failures(world: World, no_threads: None) -> None:
    """An edge whose port is closed does not fail for each of its names at once."""
    world.wanted = [[f"{number}.test"] for number in range(MAX_FAILURES_PER_HOUR * 2)]
    world.ca.always["chall"] = problem("connection")
    await world.live(world.issuer(), 0.9 * HOUR)
    assert len(world.ca.ordered) <= MAX_FAILURES_PER_HOUR


async def test_one_bad_name_beside_good_ones(world: World) -> None:
    """A name that always fails does not keep others from being ordered and renewed."""
    world.wanted = [["bad.test"], ["good.test"]]

    def refuse(path: str) -> None:
        is_bad = world.ca.ordered and world.ca.ordered[-1]["identifiers"][0]["value"] == "bad.test"
        world.ca.replies["chall"] = [problem("dns")] if is_bad else []

    world.ca.on_request = refuse
    await world.live(world.issuer(), HOUR)
    assert world.installed == [("good.test",)]
    assert {one.names for one in world.failures} == {("bad.test",)}


async def test_ca_is_down(world: World) -> None:
    """A CA that cannot be reached is asked for one name, not for each; then it goes on."""
    world.wanted = [[f"{number}.test"] for number in range(10)]
    world.ca.always["dir"] = Said(status=503)
    issuer = world.issuer()
    await issuer.step()
    assert world.ca.count("dir") == 1
    assert "has an error of its own" in world.failures[0].sentence
    world.ca.always.clear()
    await world.live(issuer, 2 * HOUR)
    assert len(world.installed) == 10


async def test_account_forgotten(world: World) -> None:
    """A CA that has lost the account gets it again, with the same key."""
    await world.issuer().step()
    key = world.memory.load(world.ca.directory).account
    world.ca.knows_accounts = False
    world.wanted = [["b.test"]]
    await world.live(world.issuer(), HOUR)
    assert ("b.test",) in world.installed
    after = world.memory.load(world.ca.directory).account
    assert key is not None
    assert after is not None
    assert after.key_pem == key.key_pem
    assert len(world.ca.accounts) == 2


async def test_wrong_certificate(world: World) -> None:
    """A certificate for other names is not used, whatever the CA says; the owner hears of it."""
    world.ca.issue_for = lambda _names: ["other.test"]
    await world.issuer().step()
    assert world.installed == []
    assert "is not for a.test" in world.failures[0].sentence
    world.ca.issue_for = lambda names: names
    await world.live(world.issuer(), HOUR)
    assert world.installed == [("a.test",)]


async def test_expired_already(world: World) -> None:
    """A certificate that is over when it comes is not used."""
    world.ca.lifetime = 50.0
    world.ca.clock = Clock(world.clock.value - 100)
    await world.issuer().step()
    assert world.installed == []
    assert "expired on" in world.failures[0].sentence


async def test_another_authorization(world: World) -> None:
    """A CA cannot make the edge show a proof for a name that nobody ordered."""
    body = (
        b'{"status":"pending","identifier":{"type":"dns","value":"evil.test"},"challenges":'
        b'[{"type":"http-01","url":"http://127.0.0.1/","token":"x"}]}'
    )
    world.ca.always["authz"] = Said(body=body)
    await world.issuer().step()
    assert '"evil.test", which was not ordered' in world.failures[0].sentence


@pytest.mark.parametrize("part", ["dir", "account", "order", "authz", "finalize", "cert"])
@pytest.mark.parametrize(
    "said",
    [
        Said(body=b"<html>"),
        Said(body=b"{}"),
        Said(status=204),
        Said(status=302, headers={"location": "http://127.0.0.1:1/"}),
        Said(status=418),
        Said(status=500, body=b"[" * 5000, headers={"content-type": "application/problem+json"}),
    ],
)
async def test_junk(world: World, no_threads: None, part: str, said: Said) -> None:
    """Junk in any reply is a failure with a sentence; nothing is used, and later it goes on."""
    world.ca.always[part] = said
    await world.issuer().step()
    assert world.installed == []
    assert world.failures[0].sentence.count(";") >= 1
    world.ca.always.clear()
    await world.live(world.issuer(), HOUR)
    assert world.installed == [("a.test",)]


async def test_staging_and_real(world: World, tmp_path: Path) -> None:
    """A certificate of a staging CA never blocks the real one."""
    async with fake_ca(world.clock) as staging:
        await world.issuer(directory_url=staging.directory).step()
    assert world.installed == [("a.test",)]
    await world.issuer().step()
    assert world.installed == [("a.test",)] * 2
    assert len(world.ca.ordered) == 1
    assert "replaces" not in world.ca.ordered[0]


async def test_profile(world: World, rare_looks: None) -> None:
    """The owner's profile is asked for; without one, that of the certificate before is kept."""
    world.ca.profiles, world.ca.lifetime = ("classic", "shortlived"), 6 * DAY
    await world.issuer(profile="shortlived").step()
    await world.live(world.issuer(), 4.5 * DAY)
    assert [one.get("profile") for one in world.ca.ordered] == ["shortlived", "shortlived"]
    world.ca.profiles = ("modern",)
    await world.live(world.issuer(), 4.9 * DAY)
    assert [one.get("profile") for one in world.ca.ordered[2:]] == [None]


async def test_renewal_on_request(world: World) -> None:
    """Who asks for a renewal gets it in the next look of the running edge, a minute at most."""
    issuer = world.issuer()
    await world.live(issuer, HOUR)
    assert world.memory.request_renewal(world.ca.directory, ("a.test",))
    await world.live(issuer, 70)
    assert len(world.ca.ordered) == 2
    await world.live(issuer, HOUR)
    assert len(world.ca.ordered) == 2


async def test_restart_at_each_request(world: World) -> None:
    """Wherever the edge is killed, the next start goes on with the order: one, never two."""
    world.on_disk = True
    names = ["a.test", "b.test"]
    kills = 0
    for at in range(1, 40):
        world.wanted = [[f"{at}.{name}" for name in names]]
        asked = len(world.ca.asked)
        ordered = len(world.ca.ordered)
        reached = asyncio.Event()

        def stop(path: str, limit: int = asked + at, reached: asyncio.Event = reached) -> None:
            if len(world.ca.asked) == limit:
                reached.set()

        world.ca.on_request = stop
        step = asyncio.ensure_future(world.issuer().step())
        waiting = asyncio.ensure_future(reached.wait())
        await asyncio.wait({step, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        was_killed = step.cancel()
        await asyncio.wait({step})
        last = world.ca.asked[-1]
        world.ca.on_request = lambda _path: None
        await world.live(world.issuer(), 120)
        assert tuple(world.wanted[0]) in world.installed
        made = len(world.ca.ordered) - ordered
        # The order's own reply may be lost: then nobody knows its URL.
        lost = was_killed and last == "/order"
        assert made == 1 or (made == 2 and lost), (at, world.ca.asked[asked:])
        kills += was_killed
        if not was_killed:
            break
    assert kills >= 8
    assert world.failures == []


async def test_lease_of_a_dead_process(world: World) -> None:
    """A process that died with the lease holds up the next one for a minute."""
    store = world.memory
    now = world.clock.value
    assert store.acquire_lease(world.ca.directory, "dead", now=now, until=now + LEASE)
    issuer = world.issuer()
    assert await issuer.step() == LEASE / 3
    assert world.ca.asked == []
    await world.live(issuer, 61)
    assert world.installed == [("a.test",)]


async def test_lease_lost_in_an_order(world: World) -> None:
    """Who loses the lease stops at once; the one that took it goes on with the same order."""
    taken = False

    def take(path: str) -> None:
        nonlocal taken
        if path.startswith("/authz") and not taken:
            taken = True
            now = world.clock.value + 3600
            store = world.memory
            assert store.acquire_lease(world.ca.directory, "thief", now=now, until=now + 60)

    world.ca.on_request = take

    async def never(seconds: float) -> None:
        await (asyncio.sleep(0.01) if seconds == LEASE / 3 else asyncio.Event().wait())

    world.clock.sleep = never  # type: ignore[method-assign]
    issuer = world.issuer()
    world.ca.replies["chall"] = [Said(body=b'{"type":"http-01","url":"http://127.0.0.1/"}')]
    await issuer.step()
    assert world.installed == []
    world.clock.sleep = Clock.sleep.__get__(world.clock)  # type: ignore[method-assign]
    world.clock.value += 2 * HOUR + 60
    await world.live(world.issuer(), 60)
    assert world.installed == [("a.test",)]
    assert len(world.ca.ordered) == 1


async def test_two_issuers(world: World) -> None:
    """Of two edges on one database one orders; both use what came."""
    world.on_disk = True
    one, other = world.issuer(), world.issuer()
    await asyncio.gather(one.step(), other.step())
    await asyncio.gather(one.step(), other.step())
    assert len(world.ca.ordered) == 1
    assert world.installed == [("a.test",)] * 2


async def test_names_that_are_none(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A name that is none is said once, and the others are ordered."""
    world.wanted = [["not a name"], ["A.test."], [], ["a.test"]]
    issuer = world.issuer()
    await world.live(issuer, 180)
    assert world.installed == [("a.test",)]
    assert len([one for one in caplog.messages if "no certificate is ordered" in one]) == 2


async def test_wrong_directory(world: World) -> None:
    """A URL that no directory can have is one sentence, for each name."""
    await world.issuer(directory_url="http://ca.example/directory").step()
    assert "is no URL for a CA; give an https URL" in world.failures[0].sentence


async def test_run_looks_again_when_woken(world: World) -> None:
    """`run` orders for a name as soon as it hears of it, and survives a store that fails."""
    issuer = world.issuer()
    task = asyncio.ensure_future(issuer.run())
    await world.is_installed(("a.test",))
    world.wanted = [["a.test"], ["b.test"]]
    issuer.wake()
    await world.is_installed(("b.test",))
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_store_that_is_gone(world: World) -> None:
    """Without its database the issuer says so, and orders nothing."""
    world.on_disk = True
    issuer = world.issuer()
    (world.folder / "edge.sqlite3").unlink()
    with pytest.raises(StorageError, match="there is no database"):
        await issuer.step()
    assert world.ca.asked == []
