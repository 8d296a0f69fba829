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

    @property
    def host(self) -> str:
        """What visitors send as Host."""
        return self.base.split("//", 1)[1]

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
            plain.setdefault(name.lower(), []).append(_stable(name.lower(), value))
        if body is None:
            plain.pop("content-length", None)
        self.note(label, status=status, headers=plain, body=body)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(self.host, "HOST").replace(self.host.split(":")[1], "PORT")
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
        file.write_text(f"const base = {json.dumps(self.base)};\n{script}")
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
            self.note("errors of the page", errors=errors)
            browser.close()


def _stable(name: str, value: str) -> str:
    if name in _RANDOM_FIELDS:
        return "(varies)"
    if name == "set-cookie":
        return _EXPIRES.sub("expires=*", _COOKIE.sub(r"\1=*", value))
    return _NONCE.sub("nonce=*", value)


@dataclass(frozen=True, kw_only=True)
class Program:
    """One row of the table."""

    name: str
    module: str  # in programs/
    distribution: str  # whose version the table shows; or one of ``needs``
    does: str
    visitors: str
    job: Callable[[Visit], Any]
    factory: str = "create"
    env: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # programs that are no Python distributions
    quick: bool = False
    options: tuple[str, ...] = ()  # of `asgi-tunnel run` and of uvicorn alike
