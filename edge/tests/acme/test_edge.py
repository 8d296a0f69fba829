"""An edge as an owner runs it, with a real CA: no certificate is ever ordered by hand."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.e2e.harness import wait_until

from asgi_tunnel_edge.certificates.acme.jws import AccountKey

from .edges import AcmeEdge, Resolver, acme_edge, free_port, make_edge
from .pebble import Pebble, start_pebble

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WILDCARD: tuple[str, ...] = ("*.example.test", "example.test")


def names_in(certificate: x509.Certificate) -> set[str]:
    """The names that it is for."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(one) for one in found.get_values_for_type(x509.IPAddress)}
    return set(found.get_values_for_type(x509.DNSName)) | addresses


@pytest.fixture(scope="module")
def world(pebble: Pebble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeEdge]:
    """An edge without DNS, so that each name gets its own certificate, by tls-alpn-01."""
    folder = tmp_path_factory.mktemp("world")
    settings = 'addresses = ["127.0.0.1"]'
    with acme_edge(folder, pebble, "--no-check", "--dns", "none", settings=settings) as one:
        yield one


def test_the_domain_and_an_address(world: AcmeEdge) -> None:
    """Both are there some seconds after the first start; who names no server gets the address's."""
    assert names_in(world.wait_shown("example.test")) == {"example.test"}
    assert names_in(world.wait_shown("127.0.0.1")) == {"127.0.0.1"}
    assert "no new certificate" not in world.edge.running.output


def test_a_token_with_a_custom_hostname(world: AcmeEdge) -> None:
    """``token create`` is all that it takes; a revoked one's certificate is unused."""
    start = time.monotonic()
    token = world.edge.create_token("custom", "--hostname", "www.custom.test")
    assert names_in(world.wait_shown("www.custom.test")) == {"www.custom.test"}
    assert time.monotonic() - start < 60
    world.edge.command("token", "revoke", token.id)
    listed = json.loads(world.edge.command("cert", "list", "--json"))
    states = {tuple(one["names"]): one["state"] for one in listed}
    assert states["www.custom.test",] == "unused"
    assert states["example.test",] == "valid"


def test_strangers_order_nothing(world: AcmeEdge) -> None:
    """200 names that nobody registered get an alert each, and no order."""
    world.wait_shown("example.test")
    world.wait_shown("127.0.0.1")
    before = world.attempts()
    context, chance = world.trust(), random.Random(7)
    for _ in range(200):
        label = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=12))
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            world.connect(f"{label}.example.test", context)
    assert world.attempts() == before


def test_renewal_by_command(world: AcmeEdge) -> None:
    """A revoked certificate is replaced some seconds after ``cert renew``."""
    before = world.wait_shown("example.test")
    asyncio.run(revoke(world, before))
    done = world.edge.command("cert", "renew", "example.test")
    assert done == "example.test: the edge orders it now, or when it starts\n"
    start = time.monotonic()
    after = world.wait_shown("example.test", other_than=before)
    assert after.serial_number != before.serial_number
    assert time.monotonic() - start < 30
    status = world.pebble.manage(f"/cert-status-by-serial/{before.serial_number:x}")
    assert json.loads(status)["Status"] == "Revoked"


async def revoke(world: AcmeEdge, certificate: x509.Certificate) -> None:
    """As a CA does it, or an owner by other means."""
    account = world.state().account
    assert account is not None
    key = AccountKey.from_pem(account.key_pem)
    async with world.pebble.client(key, account_url=account.url) as client:
        await client.revoke(certificate.public_bytes(Encoding.DER), reason=1)


def test_a_restart_shows_what_is_kept(world: AcmeEdge) -> None:
    """At once, without a word to the CA."""
    before = world.wait_shown("example.test")
    world.wait_shown("127.0.0.1")
    attempts = world.attempts()
    world.edge.stop()
    world.edge.start()
    assert world.shown("example.test") == before
    assert world.attempts() == attempts


def test_without_the_records_for_the_wildcard(pebble_built: None, tmp_path: Path) -> None:
    """What an owner types first, before the zone is delegated: each name has HTTPS all the same.

    After a restart, too, while the wildcard goes on failing.
    """
    folder = tmp_path / "ca"
    folder.mkdir()
    with start_pebble(folder) as pebble:
        one = make_edge(tmp_path, pebble)  # looks at DNS, ports, clock and the CA
        one.set("[acme]\n", f'[acme]\ndns_listen = "127.0.0.1:{free_port()}"\n')
        one.edge.start()
        try:
            one.edge.create_token("shop")
            shop = one.wait_shown("shop.example.test")
            base = one.wait_shown("example.test")
            assert (names_in(shop), names_in(base)) == ({"shop.example.test"}, {"example.test"})
            one.edge.running.wait_for("no new certificate for *.example.test, example.test: ")
            one.edge.stop()
            one.edge.start()
            assert (one.shown("shop.example.test"), one.shown("example.test")) == (shop, base)
            listed = json.loads(one.edge.command("cert", "list", "--json"))
            states = {tuple(row["names"]): row["state"] for row in listed}
            assert states == {
                WILDCARD: "failing",
                ("example.test",): "valid",
                ("shop.example.test",): "valid",
            }
        finally:
            one.edge.stop()


def test_wildcard_by_the_delegated_zone(pebble_built: None, tmp_path: Path) -> None:
    """The CA's questions reach the edge's own DNS server; one certificate is for all names."""
    folder = tmp_path / "ca"
    folder.mkdir()
    port = free_port()
    with (
        Resolver("_acme-challenge.example.test", port) as resolver,
        start_pebble(folder, resolver=resolver.address) as pebble,
        acme_edge(
            tmp_path, pebble, "--no-check", settings=f'dns_listen = "127.0.0.1:{port}"'
        ) as one,
    ):
        found = one.wait_shown("anything.example.test")
        assert names_in(found) == set(WILDCARD)
        assert resolver.asked
        one.edge.create_token("shop")
        assert one.shown("shop.example.test") == found
        assert list(one.state().certificates) == [WILDCARD]
        assert one.attempts() == (1, 0)


def test_from_staging_to_the_real_one(pebble_built: None, tmp_path: Path) -> None:
    """What came from the one directory is not used with the other, and is in nobody's way."""
    (tmp_path / "ca").mkdir()
    with (
        start_pebble(tmp_path / "ca") as pebble,
        acme_edge(tmp_path, pebble, "--no-check", "--dns", "none") as one,
    ):
        # The same CA by another URL, which is all that an edge knows a directory by.
        real = pebble.directory.replace("localhost", "127.0.0.1")
        staging = one.wait_shown("example.test")
        one.edge.stop()
        one.set(f'directory = "{pebble.directory}"', f'directory = "{real}"')
        one.edge.start()
        found = one.wait_shown("example.test", other_than=staging)
        assert names_in(found) == {"example.test"}
        (row,) = json.loads(one.edge.command("cert", "list", "--json"))
        assert row["serial"] != one.wait_kept("example.test").serial
        assert one.store.directories() == sorted([pebble.directory, real])
        assert "no new certificate" not in one.edge.running.output


MAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


def test_a_ca_for_customers_only(pebble_built: None, tmp_path: Path) -> None:
    """``init`` again with what the CA gave to its customer, and a running edge orders at once."""
    (tmp_path / "ca").mkdir()
    with (
        start_pebble(
            tmp_path / "ca",
            externalAccountBindingRequired=True,
            externalAccountMACKeys={"kid-1": MAC_KEY},
        ) as pebble,
        acme_edge(tmp_path, pebble, "--no-check", "--dns", "none") as one,
    ):
        wait_until(lambda: one.state().failures, timeout=45)
        one.edge.running.wait_for("an edge takes them by `init --eab-key-id`")
        key = tmp_path / "key"
        key.write_text(f"{MAC_KEY}\n")
        given = ("--eab-key-id", "kid-1", "--eab-hmac-key", str(key))
        make_edge(tmp_path, pebble, "--no-check", "--dns", "none", *given)
        assert names_in(one.wait_shown("example.test")) == {"example.test"}
        assert MAC_KEY not in one.edge.running.output
    for path in (tmp_path / "edge").rglob("*"):
        assert not path.is_file() or MAC_KEY.encode() not in path.read_bytes(), path


def test_http_where_tls_is_not_reached(pebble_built: None, tmp_path: Path) -> None:
    """After a failure of tls-alpn-01 the next try is by http-01, on the port for plain HTTP."""
    folder = tmp_path / "ca"
    folder.mkdir()
    with (
        start_pebble(folder, tlsPort=free_port()) as pebble,
        acme_edge(tmp_path, pebble, "--no-check", "--dns", "none", settings="", port=0) as one,
    ):
        wait_until(lambda: one.state().failures, timeout=45)
        one.edge.command("cert", "renew")
        assert names_in(one.wait_shown("example.test")) == {"example.test"}
        assert one.attempts() == (2, 1)


def test_stopped_in_the_middle_of_an_order(pebble_built: None, tmp_path: Path) -> None:
    """The next start goes on with it, and nothing fails.

    It is another order where the CA looked for the proof while the edge was away; that one order is
    enough otherwise shows ``test_restart``.
    """
    folder = tmp_path / "ca"
    folder.mkdir()
    with (
        start_pebble(folder, sleeps=True) as pebble,
        acme_edge(tmp_path, pebble, "--no-check", "--dns", "none", settings="") as one,
    ):
        wait_until(lambda: one.state().orders, timeout=45)
        one.edge.stop()
        assert one.state().certificates == {}
        assert len(one.state().orders) == 1
        one.edge.start()
        one.wait_shown("example.test")
        orders, failed = one.attempts()
        assert orders <= 2
        assert failed == 0
