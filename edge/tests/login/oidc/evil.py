"""A provider of the tests' own: right where nothing else is said, else wrong in any way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jws
from joserfc.jwk import ECKey

CLIENT = "photos"
SECRET = "s3cret of the client"
DISCOVERY = "/.well-known/openid-configuration"


def new_key(name: str) -> ECKey:
    """A key with a name."""
    return ECKey.generate_key("P-256", {"kid": name})


class EvilProvider:
    """One provider, on a port of its own.

    Attributes:
        claims: Of ID tokens, in place of the right ones; None takes one out.
        header: Of ID tokens, likewise.
        sign: Makes an ID token of header and claims.
        replies: By path: what is sent in place of the right response: status, fields, body.
        silent: Paths that get no response.
        asked: Paths with their forms, in order.
    """

    def __init__(self) -> None:
        self.issuer = ""
        self.key = new_key("one")
        self.published = [self.key]
        self.metadata: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any], dict[str, Any]], str] = self._sign
        self.token: dict[str, Any] = {}
        self.replies: dict[str, tuple[int, str, bytes]] = {}
        self.silent: set[str] = set()
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def approve(self, query: dict[str, str]) -> str:
        """Let somebody in whom the edge has sent here; return the code."""
        self._count += 1
        code = f"code-{self._count}"
        self._codes[code] = query
        return code

    def paths(self) -> list[str]:
        """What was asked for so far."""
        return [path for path, _, _ in self.asked]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[EvilProvider]:
        """Listen."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._respond(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # cancelled: by `serve`, at its end
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1].partition("?")[0]
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
        }
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        form = dict(parse_qsl(body.decode()))
        self.asked.append((path, form, fields))
        if path in self.silent:
            await asyncio.Event().wait()
        found = self.replies.get(path)
        status, more, content = found or (200, "content-type: application/json", b"")
        if found is None:
            made = self._make(path, form)
            if made is None:
                status, content = 400, b'{"error": "invalid_grant"}'
            else:
                content = json.dumps(made).encode()
        lines = [f"HTTP/1.1 {status} Any", more, f"content-length: {len(content)}"]
        text = "\r\n".join([*lines, "connection: close", "", ""])
        writer.write(text.encode() + content)
        await writer.drain()

    def _make(self, path: str, form: dict[str, str]) -> dict[str, Any] | None:
        match path:
            case "/.well-known/openid-configuration":
                found = {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize?tenant=7",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    **self.metadata,
                }
                return {name: value for name, value in found.items() if value is not None}
            case "/keys":
                return {"keys": [{**one.as_dict(private=False)} for one in self.published]}
            case "/token":
                return self._token(form)
            case "/userinfo":
                return {"sub": "1042", **self.userinfo}
            case _:
                return None

    def _token(self, form: dict[str, str]) -> dict[str, Any] | None:
        query = self._codes.pop(form.get("code", ""), None)
        if query is None or form.get("redirect_uri") != query["redirect_uri"]:
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if query["code_challenge"] != urlsafe_b64encode(digest).rstrip(b"=").decode():
            return None
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "1042",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            "email": "Zoe@example.org",
            "email_verified": True,
            "name": "Zoe",
            **{
                name: value(now) if callable(value) else value
                for name, value in self.claims.items()
            },
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "ES256", "kid": self.key.kid, **self.header}
        header = {name: value for name, value in header.items() if value is not None}
        found = {
            "access_token": "an-access-token",
            "token_type": "Bearer",
            "id_token": self.sign(header, claims),
            **self.token,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
        return jws.serialize_compact(header, json.dumps(claims), self.key, registry=registry)


def unsigned(header: dict[str, Any], claims: dict[str, Any], mac: bytes = b"") -> str:
    """A token that no library would make."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), mac)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
