"""A CA over real HTTP that says what a test wants: rate limits, junk, other certificates.

It checks no signature and no proof (pebble does, in ``edge/tests/acme``); it has the test's clock.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

URN = "urn:ietf:params:acme:error:"


@dataclass(frozen=True, kw_only=True)
class Said:
    """A reply that takes the place of the right one."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def problem(kind: str, *, status: int = 400, detail: str = "", **headers: str) -> Said:
    """A refusal; ``retry_after="5"`` becomes a field."""
    return Said(
        status=status,
        body=json.dumps({"type": URN + kind, "detail": detail or f"because of {kind}"}).encode(),
        headers={
            "content-type": "application/problem+json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


@dataclass
class Clock:
    """Seconds that pass when somebody sleeps, or when a test says so."""

    value: float = 1_800_000_000.0

    def now(self) -> float:
        """Seconds since 1970."""
        return self.value

    async def sleep(self, seconds: float) -> None:
        """Pass them; what renews a lease beside the work must not make time run."""
        if seconds == 20.0:
            await asyncio.sleep(0.2)
        else:
            self.value += seconds
            await asyncio.sleep(0)


@dataclass
class FakeCA:
    """What it was asked, and what it is going to say.

    Attributes:
        replies: By the first part of the path: replies that come first, one after the other.
        always: By the first part of the path: what is always said.
        on_request: Called with each path before anything is said.
        window: (start, end) in seconds after a certificate's begin; None: no ARI.
        retry_after: Of ARI's replies.
        issue_for: Changes the names of what is issued.
    """

    clock: Clock
    lifetime: float = 90 * 86400.0
    replies: dict[str, list[Said]] = field(default_factory=dict)
    always: dict[str, Said] = field(default_factory=dict)
    on_request: Callable[[str], None] = lambda _path: None
    window: tuple[float, float] | None = None
    retry_after: str = "21600"
    issue_for: Callable[[list[str]], list[str]] = lambda names: names
    profiles: tuple[str, ...] = ()
    base: str = ""
    asked: list[str] = field(default_factory=list)
    ordered: list[dict[str, Any]] = field(default_factory=list)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    knows_accounts: bool = True
    _orders: list[dict[str, Any]] = field(default_factory=list)
    _key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def directory(self) -> str:
        """Its directory's URL."""
        return f"{self.base}/dir"

    def count(self, part: str) -> int:
        """How often something was asked for."""
        return sum(path.startswith(f"/{part}") for path in self.asked)

    def reply(self, path: str, payload: Any) -> Said:
        """What is said to a request."""
        self.asked.append(path)
        self.on_request(path)
        part, _, rest = path.strip("/").partition("/")
        if waiting := self.replies.get(part):
            return waiting.pop(0)
        if part in self.always:
            return self.always[part]
        handler: Callable[[str, Any], Said] = getattr(self, f"_{part}")
        return handler(rest, payload)

    def _dir(self, _rest: str, _payload: Any) -> Said:
        urls = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order"}
        urls |= {"revokeCert": "revoke"}
        if self.window is not None:
            urls["renewalInfo"] = "renewal"
        body: dict[str, Any] = {name: f"{self.base}/{part}" for name, part in urls.items()}
        body["meta"] = {"profiles": dict.fromkeys(self.profiles, "")}
        return _json(body)

    def _nonce(self, _rest: str, _payload: Any) -> Said:
        return Said()

    def _account(self, _rest: str, payload: Any) -> Said:
        self.accounts.append(payload)
        self.knows_accounts = True
        return _json({"status": "valid"}, location=f"{self.base}/account/1", status=201)

    def _order(self, rest: str, payload: Any) -> Said:
        if rest:
            return _json(self._orders[int(rest)])
        if not self.knows_accounts:
            return problem("accountDoesNotExist")
        number = len(self._orders)
        self.ordered.append(payload)
        self._orders.append(
            {
                "status": "pending",
                "names": [one["value"] for one in payload["identifiers"]],
                "profile": payload.get("profile") or (self.profiles or (None,))[0],
                "authorizations": [
                    f"{self.base}/authz/{number}/{at}" for at in range(len(payload["identifiers"]))
                ],
                "finalize": f"{self.base}/finalize/{number}",
                "certificate": f"{self.base}/cert/{number}",
                "proved": [],
            }
        )
        return _json(self._orders[number], location=f"{self.base}/order/{number}", status=201)

    def _authz(self, rest: str, _payload: Any) -> Said:
        number, at = (int(one) for one in rest.split("/"))
        order = self._orders[number]
        name = order["names"][at]
        challenge = {"type": "http-01", "url": f"{self.base}/chall/{rest}", "token": f"t{number}"}
        return _json(
            {
                "status": "valid" if at in order["proved"] else "pending",
                "identifier": {"type": "dns", "value": name},
                "challenges": [challenge],
            }
        )

    def _chall(self, rest: str, _payload: Any) -> Said:
        number, at = (int(one) for one in rest.split("/"))
        order = self._orders[number]
        order["proved"].append(at)
        if len(set(order["proved"])) == len(order["names"]):
            order["status"] = "ready"
        return _json({"type": "http-01", "url": f"{self.base}/chall/{rest}"})

    def _finalize(self, rest: str, payload: Any) -> Said:
        order = self._orders[int(rest)]
        if order["status"] != "ready":
            return problem("orderNotReady", status=403)
        csr = base64.urlsafe_b64decode(payload["csr"] + "==")
        order["chain"] = self.issue(x509.load_der_x509_csr(csr), order["names"])
        order["status"] = "valid"
        return _json(order)

    def _cert(self, rest: str, _payload: Any) -> Said:
        return Said(body=self._orders[int(rest)]["chain"].encode())

    def _renewal(self, rest: str, _payload: Any) -> Said:
        assert self.window is not None
        serial = int.from_bytes(base64.urlsafe_b64decode(rest.partition(".")[2] + "=="), "big")
        begin = float(serial)  # its number is the second in which it was made
        start, end = (_time(begin + one).isoformat() for one in self.window)
        body = {"suggestedWindow": {"start": start, "end": end}}
        return _json(body, retry_after=self.retry_after)

    def issue(self, request: x509.CertificateSigningRequest, names: list[str]) -> str:
        """A certificate, PEM."""
        begin = _time(int(self.clock.value))
        alternative = [x509.DNSName(name) for name in self.issue_for(names)]
        public = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Fake CA")]))
            .public_key(request.public_key())
            .serial_number(int(self.clock.value))
            .not_valid_before(begin)
            .not_valid_after(begin + dt.timedelta(seconds=self.lifetime))
            .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
            .decode()
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                fields = dict(
                    line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
                )
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                said = self.reply(path, _payload(body))
                lines = [f"HTTP/1.1 {said.status} X", "Replay-Nonce: nonce"]
                lines += [f"{name}: {value}" for name, value in said.headers.items()]
                lines += [f"Content-Length: {len(said.body)}", "", ""]
                writer.write("\r\n".join(lines).encode())
                if method != "HEAD":
                    writer.write(said.body)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def fake_ca(clock: Clock, **options: Any) -> AsyncIterator[FakeCA]:
    """A CA on a port of its own."""
    ca = FakeCA(clock=clock, **options)
    server = await asyncio.start_server(ca.serve, "127.0.0.1", 0)
    ca.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield ca
    finally:
        server.close()


def _payload(body: bytes) -> Any:
    if not body:
        return None
    text = json.loads(body)["payload"]
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return json.loads(raw) if raw else None


def _json(body: dict[str, Any], *, status: int = 200, **headers: str) -> Said:
    public = {name: value for name, value in body.items() if name not in {"proved", "chain"}}
    return Said(
        status=status,
        body=json.dumps(public).encode(),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def _time(when: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(when, dt.UTC)
