from __future__ import annotations

import pytest
from edge.tests.certificates.dns.fakes import fake_dns

from asgi_tunnel_edge.certificates.acme.solver import Solver
from asgi_tunnel_edge.certificates.dns.lookup import Lookup
from asgi_tunnel_edge.certificates.dns.persistent import PersistentRecordSolver, record_fits
from asgi_tunnel_edge.errors import SolverError

WANTED = "ca.test; accounturi=https://ca.test/1; policy=wildcard"


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        (WANTED, True),
        ("CA.test;policy=wildcard;accounturi=https://ca.test/1;other=x", True),
        (WANTED + "; persistUntil=2000", True),
        (WANTED + "; persistUntil=1000", False),
        (WANTED + "; persistUntil=soon", False),
        (WANTED.replace("/1", "/2"), False),
        (WANTED.replace("; policy=wildcard", ""), False),
        ("other.test" + WANTED[7:], False),
        ("v=spf1 -all", False),
        ("", False),
    ],
)
def test_records(found: str, fits: bool) -> None:
    """Same CA and parameters, in any order, and not expired."""
    assert record_fits(found, WANTED, now=1000) is fits


async def test_the_record_is_looked_at() -> None:
    """A CA is asked only when the record is there; else the sentence has the whole record."""
    halves = f'"{WANTED[:9]}" "{WANTED[9:]}"'
    zones = {
        "example.org": f"ns A 127.0.0.1\n_validation-persist TXT {halves}",
        "example.com": "ns A 127.0.0.1\n_validation-persist TXT other",
        "example.net": "ns A 127.0.0.1\n",
    }
    async with fake_dns(zones) as server:
        solver: Solver = PersistentRecordSolver(Lookup([("127.0.0.1", server.port)]))
        await solver.present("example.org", WANTED)
        await solver.clear("example.org", WANTED)
        with pytest.raises(SolverError, match=r"another value; make this TXT .*policy=wildcard"):
            await solver.present("example.com", WANTED)
        with pytest.raises(SolverError, match="has no TXT record"):
            await solver.present("example.net", WANTED)
        with pytest.raises(SolverError, match="looking up"):
            await solver.present("elsewhere.test", WANTED)
