"""git http-backend, a CGI program, behind a small ASGI wrapper."""

from __future__ import annotations

from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return an app that runs `git http-backend` for each request."""
    import asyncio
    import os
    import subprocess
    from pathlib import Path

    folder = Path(os.environ["REALAPPS_FOLDER"])
    bare = folder / "shop.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "config", "http.receivepack", "true"], check=True)

    def environment(scope: Any) -> dict[str, str]:
        fields = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in fields.items()}
        optional = {"CONTENT_LENGTH": fields.get("content-length")}
        return {
            **{name: value for name, value in optional.items() if value is not None},
            **named,
            "CONTENT_TYPE": fields.get("content-type", ""),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(folder),
            "PATH": os.environ["PATH"],
            "PATH_INFO": scope["path"],
            "QUERY_STRING": scope["query_string"].decode(),
            "REMOTE_ADDR": scope["client"][0],
            "REQUEST_METHOD": scope["method"],
        }

    async def feed(receive: Any, stdin: asyncio.StreamWriter) -> None:
        more = True
        while more:
            message = await receive()
            stdin.write(message.get("body", b""))
            await stdin.drain()
            more = message.get("more_body", False)
        stdin.close()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError(scope["type"])
        child = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=environment(scope),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        feeding = asyncio.create_task(feed(receive, child.stdin))
        status, headers = 200, []
        while line := (await child.stdout.readline()).strip():
            name, _, value = line.partition(b": ")
            if name.lower() == b"status":
                status = int(value.split()[0])
            else:
                headers.append((name.lower(), value))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while data := await child.stdout.read(65536):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await feeding
        await child.wait()

    return app


def job(visit: Visit) -> None:
    """Clone an empty repository, push to it, clone again, fetch what another clone pushed."""
    # Debian's git uses GnuTLS, which takes no server's own certificate for an authority.
    options = ["-c", "http.sslVerify=false", "-c", "user.name=Ada"]
    options += ["-c", "user.email=ada@example.test", "-c", "init.defaultBranch=main"]
    dates = {
        "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
        "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    }

    def git(where: str, *arguments: str) -> str:
        return visit.run("git", *options, *arguments, cwd=visit.folder / where, env=dates)

    url = visit.base + "/shop.git"
    git("", "clone", "-q", url, "one")
    # Above http.postBuffer (1 MiB), git sends the pack in chunks.
    data = b"".join(
        i.to_bytes(4, "big") + (i * 2654435761 % 2**32).to_bytes(4, "big") for i in range(400_000)
    )
    (visit.folder / "one" / "big.bin").write_bytes(data)
    git("one", "add", ".")
    git("one", "commit", "-qm", "First")
    git("one", "push", "-q", "origin", "HEAD:main")
    git("", "clone", "-q", url, "two")
    (visit.folder / "two" / "note.txt").write_text("hello")
    git("two", "add", ".")
    git("two", "commit", "-qm", "Second")
    git("two", "push", "-q", "origin", "HEAD:main")
    git("one", "pull", "-q", "origin", "main")
    log = git("one", "log", "--format=%H %s")
    visit.note("log", lines=log.splitlines())
    assert len(log.splitlines()) == 2
    visit.note("the file", same=(visit.folder / "two" / "big.bin").read_bytes() == data)
    visit.curl(
        "refs", "/shop.git/info/refs?service=git-upload-pack", "-H", "Git-Protocol: version=0"
    )


PROGRAMS = [
    Program(
        name="git http-backend",
        module="git_app",
        distribution="git",
        does="clone, push (in chunks), clone, push, pull",
        visitors="git, curl",
        job=job,
        needs=("git",),
        quick=True,
    )
]
