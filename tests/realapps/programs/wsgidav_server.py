"""WsgiDAV on a port of its own, with the server that it brings."""

from __future__ import annotations

import json

from tests.realapps.programs.wsgidav_app import job
from tests.realapps.running import BIN
from tests.realapps.visit import Place, Program


def start(place: Place) -> list[str]:
    """One folder, one user."""
    files = place.folder / "files"
    files.mkdir()
    configuration = place.folder / "wsgidav.json"
    settings = {
        "host": "127.0.0.1",
        "port": place.port,
        "server": "cheroot",
        "provider_mapping": {place.path or "/": str(files)},
        "simple_dc": {"user_mapping": {"*": {"ada": {"password": "pass"}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False},
        "verbose": 1,
    }
    configuration.write_text(json.dumps(settings))
    return [str(BIN / "wsgidav"), "--config", str(configuration)]


PROGRAMS = [
    Program(
        name="WsgiDAV on its port",
        distribution="wsgidav",
        does="a folder synced there, changed, copied, moved, deleted and synced back",
        visitors="rclone, curl",
        job=job,
        start=start,
        hostname="localhost",  # rclone knows no names below it
        setting="nothing",
        needs=("rclone", "curl"),
        quick=True,
    ),
    Program(
        name="WsgiDAV below a path",
        distribution="wsgidav",
        does="a folder synced there, changed, copied, moved, deleted and synced back",
        visitors="rclone, curl",
        job=job,
        start=start,
        hostname="localhost",
        path="/dav",
        setting='`provider_mapping: {"/dav": FOLDER}`; `path = "/dav"` in the table, '
        "without `strip`: its pages and listings hold paths",
        needs=("rclone", "curl"),
    ),
]
