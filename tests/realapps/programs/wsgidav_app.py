"""WsgiDAV, a WSGI app, through a2wsgi."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app: one folder, one user."""
    import os

    from a2wsgi import WSGIMiddleware
    from wsgidav.wsgidav_app import WsgiDAVApp

    files = Path(os.environ["REALAPPS_FOLDER"]) / "files"
    files.mkdir()
    return WSGIMiddleware(
        WsgiDAVApp(
            {
                "provider_mapping": {"/": str(files)},
                "simple_dc": {"user_mapping": {"*": {"ada": {"password": "pass"}}}},
                "http_authenticator": {"accept_basic": True, "accept_digest": False},
                "verbose": 1,
            }
        )
    )


def job(visit: Visit) -> None:
    """Copy a folder to the server, change it, and copy it back."""
    source, back = visit.folder / "source", visit.folder / "back"
    (source / "sub" / "ü ö").mkdir(parents=True)
    (source / "big.bin").write_bytes(bytes(range(256)) * 8192)  # 2 MiB
    (source / "sub" / "a b.txt").write_text("one")
    (source / "sub" / "ü ö" / "é#%.txt").write_text("two")
    password = visit.run("rclone", "obscure", "pass").strip()
    options = ["--config", "/dev/null", "--ca-cert", str(visit.certificate), "--retries", "1"]
    options += ["--webdav-url", visit.base, "--webdav-user", "ada", "--webdav-pass", password]
    visit.run("rclone", "sync", str(source), ":webdav:shop", *options)
    (source / "sub" / "a b.txt").unlink()
    (source / "new.txt").write_text("three")
    visit.run("rclone", "sync", str(source), ":webdav:shop", *options)
    visit.run("rclone", "moveto", ":webdav:shop/new.txt", ":webdav:shop/sub/moved.txt", *options)
    visit.run("rclone", "copyto", ":webdav:shop/big.bin", ":webdav:shop/copy.bin", *options)
    visit.run("rclone", "deletefile", ":webdav:shop/big.bin", *options)
    visit.run("rclone", "sync", ":webdav:shop", str(back), *options)
    visit.note("what came back", files=_tree(back))
    assert len(_tree(back)) == 3
    assert (back / "copy.bin").read_bytes() == (source / "big.bin").read_bytes()
    listing = visit.run("rclone", "lsf", "-R", ":webdav:shop", *options)
    visit.note("listing", lines=sorted(listing.splitlines()))
    visit.curl("options", "/", "-X", "OPTIONS", "-u", "ada:pass")
    # The bodies of its errors end with the time of day.
    visit.curl("refused", "/shop/", "-X", "PROPFIND", body=False)
    visit.curl("range", "/shop/copy.bin", "-u", "ada:pass", "-r", "65-74")
    visit.curl("no lock", "/shop/sub/moved.txt", "-u", "ada:pass", "-X", "UNLOCK", body=False)
    visit.curl(
        "put with 100-continue",
        "/c.txt",
        "-u",
        "ada:pass",
        "-H",
        "Expect: 100-continue",
        "-X",
        "PUT",
        "-d",
        "x" * 2000,
        body=False,
    )


def _tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


PROGRAMS = [
    Program(
        name="WsgiDAV through a2wsgi",
        module="wsgidav_app",
        distribution="wsgidav",
        does="a folder synced there, changed, copied, moved, deleted and synced back",
        visitors="rclone, curl",
        job=job,
        needs=("rclone", "curl"),
        quick=True,
    )
]
