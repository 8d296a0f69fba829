"""What a job gets: the server's URL, visitors of several kinds, and a record of what they saw."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import tests.e2e.names  # noqa: F401 - names below localhost lead to this machine

HOSTNAME: Final = "home.localhost"
"""Not the machine's own name, as a public one is not: some servers ask for that."""

BROWSER_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT: Final = 60.0
"""Seconds for one command or one wait of a browser, on a loaded machine."""

_RESOLVE: Final = """\
import dns from "node:dns";
const lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup(name.replace(/^.*[.]localhost$/, "127.0.0.1"), ...rest);
"""
"""For node, which does not know that names below localhost are this machine (RFC 6761)."""

_COOKIE: Final = re.compile(r"^([^=;]+)=[^;]*")
_NONCE: Final = re.compile(r'nonce="[^"]*"')
_EXPIRES: Final = re.compile(r"expires=[^;]*", re.IGNORECASE)
# Made anew by each process, so no two runs agree.
_RANDOM_FIELDS: Final = frozenset({"mcp-session-id", "etag", "last-modified", "date", "expires"})


@dataclass(frozen=True)
class Step:
    """One thing that a visitor did, and what came of it."""

    label: str
    facts: dict[str, Any]


@dataclass
class Visit:
    """One run of a job against one server."""

    base: str  # https://localhost:PORT
    certificate: Path
    folder: Path  # empty at the start
    steps: list[Step] = field(default_factory=list)
    shot: Path | None = None  # gets a picture of the last page of a browser

    @property
    def host(self) -> str:
        """What visitors send as Host."""
        return self.base.split("/")[2]

    @property
    def root(self) -> str:
        """Scheme and host of ``base``."""
        return "/".join(self.base.split("/")[:3])

    @property
    def port(self) -> str:
        """The port in ``base``."""
        return self.host.split(":")[1]

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Trusts the server's certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    # -- the record --------------------------------------------------------------------------------

    def note(self, label: str, **facts: Any) -> None:
        """Record facts that both servers must agree on."""
        self.steps.append(Step(label, self._plain(facts)))

    def response(
        self, label: str, response: Any, *, body: bool = True, status: int | None = 200
    ) -> Any:
        """Record a response of httpx or requests: status, fields, and the body unless it varies."""
        assert status in (None, response.status_code), (
            f"{label}: {response.status_code}\n{response.text}"
        )
        fields = getattr(response.headers, "multi_items", response.headers.items)()
        self.exchange(label, response.status_code, fields, response.text if body else None)
        return response

    def exchange(
        self, label: str, status: int, fields: Iterable[tuple[str, str]], body: str | None = None
    ) -> None:
        """Record a response, however it was got."""
        plain: dict[str, list[str]] = {}
        for name, value in fields:
            stable = _stable(name.lower(), value)
            if name.lower() == "location":  # a path is the same place (RFC 9110 section 10.2.2)
                stable = stable.removeprefix(self.root)
            plain.setdefault(name.lower(), []).append(stable)
        if body is None:
            plain.pop("content-length", None)
        self.note(label, status=status, headers=plain, body=body)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            plain = value.replace(self.base, "BASE")
            root, socket_root = self.root, self.root.replace("http", "ws", 1)
            plain = plain.replace(root, "ROOT").replace(socket_root, "WS-ROOT")
            return plain.replace(self.host, "HOST").replace(self.port, "PORT")
        if isinstance(value, dict):
            return {key: self._plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        return value

    # -- visitors ----------------------------------------------------------------------------------

    def httpx(self, **options: Any) -> Any:
        """Return an httpx.Client."""
        import httpx

        return httpx.Client(base_url=self.base, verify=self.tls, timeout=TIMEOUT, **options)

    def requests(self) -> Any:
        """Return a requests.Session that trusts the certificate."""
        import requests

        session = requests.Session()
        session.verify = str(self.certificate)
        session.trust_env = False
        return session

    def aiohttp(self, *, limit: int = 1) -> Any:
        """Return an aiohttp.ClientSession with a pool of ``limit`` connections."""
        import aiohttp

        return aiohttp.ClientSession(
            self.base, connector=aiohttp.TCPConnector(ssl=self.tls, limit=limit)
        )

    def run(self, *command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
        """Run a program and return what it printed; it must end with 0."""
        import os

        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=cwd or self.folder,
            env={**os.environ, **(env or {})},
        )
        if done.returncode:
            raise AssertionError(
                f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def curl(self, label: str, path: str, *options: str, body: bool = True) -> str:
        """Call curl, record the response and return its body."""
        text = self.run(
            "curl", "-sS", "-i", "--cacert", str(self.certificate), *options, self.base + path
        )
        head, rest = text.replace("\r\n", "\n").split("\n\n", 1)
        while head.startswith("HTTP/1.1 1"):  # 100 Continue
            head, rest = rest.split("\n\n", 1)
        first, *lines = head.split("\n")
        pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        self.exchange(label, int(first.split()[1]), pairs, rest if body else None)
        return rest

    def node(self, script: str) -> Any:
        """Run a module in node with ``base`` set; it prints one line of JSON."""
        file = self.folder / "visitor.mjs"
        file.write_text(f"{_RESOLVE}const base = {json.dumps(self.base)};\n{script}")
        printed = self.run("node", str(file), env={"NODE_EXTRA_CA_CERTS": str(self.certificate)})
        return json.loads(printed)

    @contextmanager
    def browser(self) -> Iterator[Any]:
        """A page of Debian's Chromium, through Playwright; errors of its console are recorded."""
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=list(BROWSER_FLAGS)
            )
            page = browser.new_page(ignore_https_errors=True)
            page.set_default_timeout(TIMEOUT * 1000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            yield page
            if self.shot is not None:
                page.screenshot(path=self.shot)
            self.note("errors of the page", errors=errors)
            browser.close()


def _stable(name: str, value: str) -> str:
    if name in _RANDOM_FIELDS:
        return "(varies)"
    if name == "set-cookie":
        return _EXPIRES.sub("expires=*", _COOKIE.sub(r"\1=*", value))
    return _NONCE.sub("nonce=*", value)


@dataclass(frozen=True)
class Place:
    """Where a server is to run.

    Attributes:
        folder: Empty, and its home.
        port: On 127.0.0.1.
        path: Below which its visitors see it; empty for none.
    """

    folder: Path
    port: int
    path: str


@dataclass(frozen=True, kw_only=True)
class Program:
    """One row of the table."""

    name: str
    distribution: str  # whose version the table shows; or one of ``needs``
    does: str
    visitors: str
    job: Callable[[Visit], Any]
    env: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # programs that are no Python distributions
    quick: bool = False
    version: Callable[[], str] | None = None  # of what is no Python distribution

    # An ASGI app, under `asgi-tunnel run` and uvicorn.
    module: str = ""  # in programs/
    factory: str = "create"
    options: tuple[str, ...] = ()  # of `asgi-tunnel run` and of uvicorn alike

    # A server on a port of its own, behind the services table.
    start: Callable[[Place], list[str]] | None = None  # writes its files, returns the command
    setting: str = ""  # what its owner sets for that, as docs/howto/services.md says
    hostname: str = HOSTNAME
    path: str = ""
    strip: bool = False
    table: str = ""  # its file, with {hostname} and {port}; by default one service
