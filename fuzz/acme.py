"""What a CA says: only an AcmeError comes out of the readers, with one line that can be printed.

The first byte chooses the reader.
"""

import random
import shlex
import sys

import atheris

with atheris.instrument_imports(include=["asgi_tunnel_edge.certificates.acme"]):
    from asgi_tunnel_edge.certificates.acme.certificate import check_certificate, new_key
    from asgi_tunnel_edge.certificates.acme.challenges import (
        persistent_record_fits,
        proof,
    )
    from asgi_tunnel_edge.certificates.acme.messages import (
        Authorization,
        Directory,
        Order,
        Problem,
        RenewalInfo,
        read,
    )
    from asgi_tunnel_edge.certificates.acme.problems import explain
    from asgi_tunnel_edge.certificates.acme.schedule import window_renewal
    from asgi_tunnel_edge.certificates.acme.transport import Reply, check_url, retry_after
    from asgi_tunnel_edge.errors import AcmeError, CertificateError

KEY = new_key()
NOW = 1_800_000_000.0
CHANCE = random.Random(1)  # noqa: S311 - spreads renewals, hides no secret


def problem(data: bytes) -> None:
    """A sentence on one line, of a bounded length."""
    error = explain(read(data, Problem), ca="ca.test", names=["a.test"])
    assert str(error).isprintable()
    assert len(str(error)) < 4000


def authorization(data: bytes) -> None:
    """What a solver gets has no character that means something in a path or a record."""
    for challenge in read(data, Authorization).challenges:
        text = proof(challenge, thumbprint="print", account_url="https://a", wildcard=True)
        if challenge.type != "dns-persist-01":
            assert text.replace("-", "").replace("_", "").replace(".", "").isalnum()


def renewal(data: bytes) -> None:
    """A moment in the certificate's life, whatever is suggested."""
    window = read(data, RenewalInfo).suggested_window
    found = window_renewal(window, chosen=0, not_before=NOW, not_after=NOW + 1e6, chance=CHANCE)
    assert found is None or NOW < found < NOW + 1e6


def chain(data: bytes) -> None:
    """Never a certificate for this key: nobody has it."""
    try:
        check_certificate(["a.test"], data, KEY, now=NOW)
    except CertificateError:
        return
    raise AssertionError("a certificate for a key that was never given away")


def fields(data: bytes) -> None:
    """Field values and records."""
    text = data.decode("latin-1")
    when = retry_after(Reply(status=429, headers={"retry-after": text}, body=b""), NOW)
    assert when is None or NOW <= when < NOW + 1e6
    persistent_record_fits(text, issuers=["ca"], account_url="https://a", wildcard=True, now=NOW)
    check_url(text, plaintext=False)
    assert text.lower().startswith("https://")


READERS = [
    problem,
    authorization,
    renewal,
    chain,
    fields,
    lambda data: read(data, Directory),
    lambda data: read(data, Order),
]


def run(data: bytes) -> None:
    """One input."""
    if data:
        try:
            READERS[data[0] % len(READERS)](data[1:])
        except AcmeError as error:
            if not str(error).isprintable():
                raise AssertionError(repr(str(error))) from error


# The first word is how a merge starts itself again, in a shell.
atheris.Setup([shlex.join([sys.executable, sys.argv[0]]), *sys.argv[1:]], run)
atheris.Fuzz()
