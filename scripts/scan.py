"""Scan the TLS of a real edge for what a stranger's scanner would complain about (`make scan`).

Three listeners: the edge's own with an ECDSA certificate, the same with RSA, and an end-to-end
hostname, whose TLS the app speaks. Certificates come from a CA made here, so the chain is judged,
too. sslyze looks at each, testssl.sh at the first where it is installed (two minutes; ``--quick``
leaves it out). Anything above informational is a sentence, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.authority import Authority  # noqa: E402 - needs the line above
from tests.e2e.harness import Edge, edge_command, running_app  # noqa: E402

from asgi_tunnel_edge.settings.config import EdgeConfig  # noqa: E402

DOMAIN: Final = "localhost"  # leads to this machine everywhere
OPEN: Final = "shop.localhost"  # its TLS ends at the edge
END_TO_END: Final = "home.localhost"
HSTS: Final = 31536000  # seconds
TIMEOUT: Final = 600.0  # seconds for one scan

APP: Final = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
"""

OLD: Final = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
SUITES: Final = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    *(
        f"TLS_ECDHE_{key}_WITH_{cipher}"
        for key in ("ECDSA", "RSA")
        for cipher in (
            "AES_128_GCM_SHA256",
            "AES_256_GCM_SHA384",
            "CHACHA20_POLY1305_SHA256",
        )
    ),
}
"""Ephemeral keys and authenticated encryption: what RFC 9325 section 4.2 recommends, and 1.3."""

CURVES: Final = {"X25519", "X448", "secp256r1", "secp384r1", "secp521r1"}
"""Those of RFC 8446: what OpenSSL offers by itself."""

FLAGS: Final = (
    ("tls_compression", "supports_compression", False, "compresses, which gives secrets away"),
    ("tls_1_3_early_data", "supports_early_data", False, "takes early data, which can be replayed"),
    ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", False, "has CVE-2014-0224"),
    ("heartbleed", "is_vulnerable_to_heartbleed", False, "has CVE-2014-0160"),
    ("tls_fallback_scsv", "supports_fallback_scsv", True, "does not refuse a forced downgrade"),
    ("session_renegotiation", "supports_secure_renegotiation", True, "renegotiates insecurely"),
    (
        "session_renegotiation",
        "is_vulnerable_to_client_renegotiation_dos",
        False,
        "lets a client renegotiate",
    ),
    ("tls_extended_master_secret", "supports_ems_extension", True, "has no RFC 7627"),
)
"""What sslyze found: scan, fact, what it has to be, and what it means where it is not."""

GIVEN_STORE: Final = "Supplied CA file"

NOT_THE_EDGE: Final = {
    "engine_problem": "of the scanner's own OpenSSL",
    "DNS_CAArecord": "of the DNS, and a made-up name has none",
    "security_headers": "of the app: what a page may load is its business",
    "sessionresumption_ticket": "its client leaves before the tickets of TLS 1.3 come; see _visit",
}
"""Findings of testssl.sh that say nothing about the edge."""

HARMLESS: Final = {"OK", "INFO", "DEBUG"}
"""Severities of testssl.sh up to informational."""


@dataclass(frozen=True)
class Target:
    """A listener.

    Attributes:
        title: For people.
        hostname: Asked for.
        port: On 127.0.0.1.
    """

    title: str
    hostname: str
    port: int


def judge(result: dict[str, Any], hostname: str) -> Iterator[str]:
    """Yield what is wrong with what sslyze found: the end of a sentence about the listener."""
    for name, one in result.items():
        if one["status"] != "COMPLETED":
            yield f"was not looked at for {name}: {one['error_reason'] or one['status']}"
    found: dict[str, Any] = {name: one["result"] or {} for name, one in result.items()}
    yield from _suites(found)
    for scan, fact, wanted, why in FLAGS:
        if found[scan].get(fact, wanted) is not wanted:
            yield why
    if not str(found["robot"].get("robot_result", "NOT_")).startswith("NOT_VULNERABLE"):
        yield "has ROBOT (CVE-2017-13099)"
    curves = {one["name"] for one in found["elliptic_curves"].get("supported_curves") or ()}
    if curves - CURVES:
        yield f"agrees on a key by {', '.join(sorted(curves - CURVES))}"
    resumption = found["session_resumption"]
    if resumption.get("tls_ticket_resumption_result") != "FULLY_SUPPORTED":
        yield "does not resume a session by its ticket each time"
    yield from _certificates(found["certificate_info"], hostname)


def _suites(found: dict[str, Any]) -> Iterator[str]:
    for version in OLD:
        if found[f"{version}_cipher_suites"].get("is_tls_version_supported", True):
            yield f"speaks {version}"
    for version in ("tls_1_2", "tls_1_3"):
        accepted = found[f"{version}_cipher_suites"].get("accepted_cipher_suites", ())
        names = {one["cipher_suite"]["name"] for one in accepted}
        if not names:
            yield f"does not speak {version}"
        if names - SUITES:
            yield f"takes {', '.join(sorted(names - SUITES))}"


def _certificates(found: dict[str, Any], hostname: str) -> Iterator[str]:
    for one in found.get("certificate_deployments", ()):
        if not one["received_chain_has_valid_order"]:
            yield "sends its certificates in the wrong order"
        if one["received_chain_contains_anchor_certificate"]:
            yield "sends the root, which who trusts it has"
        if one["verified_chain_has_sha1_signature"]:
            yield "has a certificate that is signed with SHA-1"
        # The CA made here is in no other store than the one that was given.
        stores = {each["trust_store"]["name"]: each for each in one["path_validation_results"]}
        ours = stores[GIVEN_STORE]
        if not ours["was_validation_successful"]:
            yield f"has no valid certificate for {hostname}: {ours['validation_error']}"


def sslyze(target: Target, python: Path, root: Path, folder: Path) -> list[str]:
    """Let sslyze look at a listener; return what is wrong."""
    report = folder / "sslyze.json"
    report.unlink(missing_ok=True)
    command = [str(python), "-W", "ignore", "-m", "sslyze", "--quiet", "--json_out", str(report)]
    scans = ["certinfo", "sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3", "compression"]
    scans += ["early_data", "openssl_ccs", "fallback", "heartbleed", "robot", "reneg", "resum"]
    scans += ["elliptic_curves", "ems", "http_headers"]
    command += [f"--{scan}" for scan in scans] + ["--mozilla_config", "disable"]
    command += ["--certinfo_ca_file", str(root), f"{target.hostname}:{target.port}{{127.0.0.1}}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    try:
        (scanned,) = json.loads(report.read_text())["server_scan_results"]
    except (OSError, ValueError) as error:
        raise SystemExit(f"sslyze gave no result: {error}; {done.stderr.strip()}") from error
    if scanned["scan_result"] is None:
        return [f"could not be scanned: {scanned['connectivity_error_trace']}"]
    wrong = list(judge(scanned["scan_result"], target.hostname))
    headers = scanned["scan_result"]["http_headers"]["result"] or {}
    hsts = headers.get("strict_transport_security_header")
    if target.hostname == OPEN and (not hsts or hsts["max_age"] != HSTS):
        wrong.append("does not send the Strict-Transport-Security that is set")
    return wrong


def testssl(target: Target, root: Path, folder: Path) -> list[str]:
    """Let testssl.sh look at a listener; return its findings above informational."""
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if program is None:
        print("testssl.sh is not installed (Debian: apt-get install testssl.sh) and left out")
        return []
    report = folder / "testssl.json"
    command = [program, "--quiet", "--color", "0", "--ip", "127.0.0.1", "--add-ca", str(root)]
    command += ["--jsonfile", str(report), f"{target.hostname}:{target.port}"]
    subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
    try:
        findings = json.loads(report.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"testssl.sh gave no result: {error}") from error
    print(f"testssl.sh: {len(findings)} findings")
    return [
        f"{one['severity']} of testssl.sh, {one['id']}: {one['finding']}"
        for one in findings
        if one["severity"] not in HARMLESS and one["id"] not in NOT_THE_EDGE
    ]


def protocols(target: Target, root: Path) -> list[str]:
    """Visit with the certificate checked; return what is wrong with ALPN and resumption."""
    wrong = []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        trust = ssl.create_default_context(cafile=str(root))
        trust.minimum_version = trust.maximum_version = version
        trust.set_alpn_protocols(["h2", "http/1.1"])
        agreed, _, session = _visit(target, trust, None)
        if agreed != "http/1.1":
            wrong.append(f"agrees on {agreed} in the place of HTTP/1.1")
        if not _visit(target, trust, session)[1]:
            wrong.append(f"does not resume a session of {version.name}")
    return wrong


def _visit(
    target: Target, trust: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[str | None, bool, ssl.SSLSession | None]:
    """Ask for a page; return the protocol, whether the session was resumed, and the next one."""
    with (
        socket.create_connection(("127.0.0.1", target.port), timeout=10) as sock,
        trust.wrap_socket(sock, server_hostname=target.hostname, session=session) as tls,
    ):
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {target.hostname}\r\n\r\n".encode())
        tls.recv(65536)  # tickets of TLS 1.3 come with it
        return tls.selected_alpn_protocol(), bool(tls.session_reused), tls.session


def redirect(port: int, https_port: int) -> list[str]:
    """What the port for plain HTTP says; return what is wrong."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(f"GET /a?b HTTP/1.1\r\nHost: {OPEN}\r\nConnection: close\r\n\r\n".encode())
        reply = b""
        while piece := sock.recv(65536):
            reply += piece
    head = reply.partition(b"\r\n\r\n")[0].lower()
    location = f"\r\nlocation: https://{OPEN}:{https_port}/a?b\r\n".encode()
    wrong = []
    if not head.startswith(b"http/1.1 301 ") or location not in head + b"\r\n":
        wrong.append("does not send visitors to https")
    if b"\r\nset-cookie:" in head or b"\r\nstrict-transport-security:" in head:
        wrong.append("says in the clear what belongs inside TLS (RFC 6797 section 7.2)")
    return wrong


@contextmanager
def listeners(folder: Path, ca: Authority, *, is_rsa: bool) -> Iterator[tuple[list[Target], int]]:
    """An edge with an app for both hostnames; gives what to scan, and the port for plain HTTP."""
    data, http_port, kind = folder / "edge", _free_port(), "RSA" if is_rsa else "ECDSA"
    where = ["--listen", "127.0.0.1:0", "--http-listen", f"127.0.0.1:{http_port}"]
    edge_command("init", "--data", str(data), "--domain", DOMAIN, *where, "--tls", "files")
    file = data / "edge.toml"
    file.write_text(file.read_text().replace("# hsts = 0\n", f"hsts = {HSTS}\n", 1))
    config = EdgeConfig.load(data)
    files = ca.issue(f"edge-{kind}", [DOMAIN, OPEN], is_rsa=is_rsa)
    config.certificate_path.parent.mkdir(exist_ok=True)
    files.certificate.replace(config.certificate_path)
    files.key.replace(config.key_path)
    home = ca.issue(f"home-{kind}", [END_TO_END], is_rsa=is_rsa)
    (folder / "scanned.py").write_text(APP)
    edge = Edge(data, DOMAIN)
    edge.start()
    try:
        shop = edge.create_token("shop")
        sealed = edge.create_token("home", "--hostname", END_TO_END, "--end-to-end")
        trust = {"SSL_CERT_FILE": str(ca.root)}
        own = {"ASGI_TUNNEL_CERTIFICATE": str(home.certificate), "ASGI_TUNNEL_KEY": str(home.key)}
        with (
            running_app(folder, shop, "scanned:app", env=trust),
            running_app(folder, sealed, "scanned:app", env={**trust, **own}),
        ):
            targets = [
                Target(f"the edge, {kind}", OPEN, edge.port),
                Target(f"end to end, {kind}", END_TO_END, edge.port),
            ]
            yield targets, http_port
    finally:
        edge.stop()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def scan(folder: Path, python: Path, *, is_rsa: bool, is_quick: bool) -> list[str]:
    """Scan the listeners with one kind of key; return a sentence for each finding."""
    ca = Authority(folder)
    found = []
    with listeners(folder, ca, is_rsa=is_rsa) as (targets, http_port):
        for target in targets:
            wrong = sslyze(target, python, ca.root, folder) + protocols(target, ca.root)
            if not is_quick and not is_rsa and target.hostname == OPEN:
                wrong += testssl(target, ca.root, folder)
            print(f"{target.title}: {len(wrong) or 'nothing'} above informational", flush=True)
            found += [f"{target.title}: it {one}." for one in wrong]
        wrong = redirect(http_port, targets[0].port)
        found += [f"the port for plain HTTP: it {one}." for one in wrong]
    return found


def main() -> int:
    """Scan with both kinds of keys."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sslyze", type=Path, required=True, help="a Python that has sslyze")
    parser.add_argument("--quick", action="store_true", help="without testssl.sh")
    options = parser.parse_args()
    found = []
    for is_rsa in (False, True):
        with tempfile.TemporaryDirectory() as name:
            found += scan(
                Path(name), options.sslyze.absolute(), is_rsa=is_rsa, is_quick=options.quick
            )
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
