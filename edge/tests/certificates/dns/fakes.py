"""DNS servers for tests: one of our own for any zone, and BIND where it is installed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.zone

NAMED = shutil.which("named", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class FakeDNS(asyncio.DatagramProtocol):
    """Answers for zones as a server of them and as a resolver alike, over UDP.

    Args:
        zones: Records as in a zone file, by zone.
    """

    def __init__(self, zones: Mapping[str, str]) -> None:
        self.zones = {
            dns.name.from_text(name): dns.zone.from_text(
                f"$TTL 60\n@ SOA ns hostmaster 1 60 60 60 60\n@ NS ns.{name}.\n{text}\n",
                origin=name + ".",
                relativize=False,
                check_origin=False,
            )
            for name, text in zones.items()
        }
        self.asked: list[tuple[str, str]] = []
        self.failing: dict[str, dns.rcode.Rcode | None] = {}  # None: no reply at all
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Reply to a query."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype)))
        reply = dns.message.make_response(query)
        rcode = self.failing.get(name, dns.rcode.NOERROR)
        if rcode is None:
            return
        reply.set_rcode(rcode)
        if rcode == dns.rcode.NOERROR:
            self._fill(reply, question.name, question.rdtype)
        self.transport.sendto(reply.to_wire(), addr)

    def _fill(self, reply: dns.message.Message, name: dns.name.Name, kind: int) -> None:
        reply.flags |= dns.flags.AA
        for _ in range(10):
            zone = self._zone_of(name)
            if zone is None:
                reply.set_rcode(dns.rcode.REFUSED)
                return
            assert zone.origin is not None
            cut = name
            while cut != zone.origin:
                delegation = zone.get_rrset(cut, "NS")
                if delegation is not None:
                    reply.authority.append(delegation)
                    reply.flags &= ~dns.flags.AA
                    return
                cut = cut.parent()
            found = zone.get_rrset(name, dns.rdatatype.RdataType.make(kind))
            if found is None and self._is_absent(zone, name):
                wildcard = dns.name.Name((b"*", *name.labels[1:]))
                found = zone.get_rrset(wildcard, dns.rdatatype.RdataType.make(kind))
                if found is not None:
                    found.name = name
            if found is not None:
                reply.answer.append(found)
                return
            alias = zone.get_rrset(name, "CNAME")
            if alias is None:
                soa = zone.get_rrset(zone.origin, "SOA")
                assert soa is not None
                reply.authority.append(soa)
                if self._is_absent(zone, name):
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                return
            reply.answer.append(alias)
            name = alias[0].target

    def _zone_of(self, name: dns.name.Name) -> dns.zone.Zone | None:
        found = [origin for origin in self.zones if name.is_subdomain(origin)]
        return self.zones[max(found, key=len)] if found else None

    def _is_absent(self, zone: dns.zone.Zone, name: dns.name.Name) -> bool:
        return not any(node.is_subdomain(name) for node in zone.nodes)


@asynccontextmanager
async def fake_dns(zones: Mapping[str, str]) -> AsyncIterator[FakeDNS]:
    """A server on a free port of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: FakeDNS(zones), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()


CONFIG = """
options {{
    directory "{folder}"; pid-file none; session-keyfile none; lock-file none;
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion {recursion}; qname-minimization strict; dnssec-validation no; notify no; querylog no;
}};
controls {{ }};
{keys}
zone "example.org" {{
    type primary; file "{folder}/example.org.zone";
    {policy}
}};
"""
ZONE = """$TTL 60
@ SOA ns hostmaster 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
@ A 127.0.0.1
"""


@contextmanager
def bind9(
    folder: Path, *, keys: str = "", policy: str = "", records: str = "", recursion: bool = False
) -> Iterator[int]:
    """A BIND for ``example.org``; gives its port.

    Args:
        folder: Gets its files.
        keys: ``key`` statements.
        policy: Rules of ``update-policy``; empty: no updates.
        records: More of the zone.
        recursion: Is it a resolver too?
    """
    assert NAMED is not None
    (folder / "example.org.zone").write_text(ZONE + records)
    config = folder / "named.conf"
    values = {
        "folder": folder,
        "keys": keys,
        "policy": f"update-policy {{ {policy} }};" if policy else "",
        "recursion": "yes" if recursion else "no",
    }
    for _ in range(5):  # the port may be taken between the two
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        config.write_text(CONFIG.format(port=port, **values))
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [NAMED, "-g", "-n", "1", "-c", str(config)], stdout=output, stderr=output
            )
        try:
            if _is_running(log, process):
                yield port
                return
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    raise AssertionError((folder / "log").read_text()[-2000:])


def _is_running(log: Path, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        if re.search(r"\brunning$", log.read_text(), re.MULTILINE):
            return True
        time.sleep(0.02)
    return False
