"""nginx: files with ranges, and its WebDAV."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import wave
from pathlib import Path
from typing import Any

from tests.realapps.running import find_program
from tests.realapps.visit import Place, Program, Visit

CONFIGURATION = """
daemon off; master_process off; error_log stderr; pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off; gzip on; gzip_min_length 100;
  types {{ text/plain txt; text/html html; audio/wav wav; application/octet-stream bin; }}
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  client_max_body_size 64m;
  gzip_types text/plain;
  set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/www;
    location = /who {{ return 200 "$host $remote_addr"; }}
    location /dav/ {{ dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on; }}
  }}
}}
"""

# nginx's WebDAV compares a Destination with its own scheme and Host: there it gets its own.
TABLE = """
[[services]]
hostname = "{hostname}"
path = "/dav"
to = "http://127.0.0.1:{port}"
host = "127.0.0.1:{port}"

[[services]]
hostname = "{hostname}"
to = "http://127.0.0.1:{port}"
"""

PAGE = """<!doctype html><title>files</title>
<audio id=tone src=tone.wav controls preload=metadata></audio><p id=at></p>
<script>tone.onseeked = () => { at.textContent = "at " + Math.round(tone.currentTime); };</script>
"""

BIG = bytes(range(256)) * 65536  # 16 MiB


def start(place: Place) -> list[str]:
    """Write the files and the configuration."""
    www = place.folder / "www"
    (www / "sub").mkdir(parents=True)
    (www / "dav").mkdir()
    (www / "long.txt").write_text("photo " * 1000)
    (www / "big.bin").write_bytes(BIG)
    (www / "sub" / "index.html").write_text("<p>sub")
    (www / "index.html").write_text(PAGE)
    with wave.open(str(www / "tone.wav"), "wb") as tone:
        tone.setparams((2, 2, 44100, 0, "NONE", ""))
        tone.writeframes(bytes(44100 * 4 * 180))  # three minutes of silence, 30 MiB
    for file in www.rglob("*"):
        os.utime(file, (1_700_000_000, 1_700_000_000))
    configuration = place.folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=place.folder, port=place.port))
    nginx = find_program("nginx")
    assert nginx is not None
    return [nginx, "-p", str(place.folder), "-c", str(configuration)]


def version() -> str:
    """Return "1.22.1" of "nginx version: nginx/1.22.1"; empty where it is not installed."""
    nginx = find_program("nginx")
    if nginx is None:
        return ""
    done = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"nginx/([0-9.]+)", done.stderr)
    assert found, done.stderr
    return found[1]


def job(visit: Visit) -> None:
    """Ask for files, parts of them and nothing new; write, copy, move and delete by WebDAV."""
    visit.curl("file", "/long.txt")
    visit.curl("gzip", "/long.txt", "--compressed")
    visit.curl("head", "/big.bin", "-I")
    visit.curl("range", "/long.txt", "-r", "6-10")
    visit.curl("suffix range", "/long.txt", "-r", "-6")
    visit.curl("two ranges", "/long.txt", "-r", "0-4,12-16")
    visit.curl("beyond the end", "/long.txt", "-r", "9999-")
    visit.curl(
        "not modified", "/long.txt", "-H", "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT"
    )
    visit.curl("folder without its slash", "/sub")
    curl = ["curl", "-sS", "--fail", "--cacert", str(visit.certificate)]
    followed = visit.run(*curl, "-L", "-w", " %{url_effective}", visit.base + "/sub")
    visit.note("folder", body=followed)
    visit.curl("visitor", "/who", "--interface", "127.0.0.2")
    half = visit.folder / "half.bin"
    half.write_bytes(BIG[: len(BIG) // 2])
    visit.run(*curl, "-C", "-", "-o", str(half), visit.base + "/big.bin")
    visit.note("download continued", sha256=_hash(half))
    assert _hash(half) == hashlib.sha256(BIG).hexdigest()
    visit.curl("put", "/dav/a/big.bin", "-T", str(half))
    for method, source, to in (("COPY", "a/big.bin", "b.bin"), ("MOVE", "b.bin", "c.bin")):
        field = f"Destination: {visit.base}/dav/{to}"
        visit.curl(method, f"/dav/{source}", "-X", method, "-H", field)
    visit.run(*curl, "-o", str(half), visit.base + "/dav/c.bin")
    visit.note("what came back", sha256=_hash(half))
    assert _hash(half) == hashlib.sha256(BIG).hexdigest()
    visit.curl("delete", "/dav/c.bin", "-X", "DELETE")
    visit.curl("deleted", "/dav/c.bin")


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def job_in_browser(visit: Visit) -> None:
    """Move to the end of a long recording, of which the browser then loads that part only."""
    with visit.browser() as page:
        answers: list[Any] = []
        # Playwright marks what it calls, which a method of a list does not allow.
        page.on("response", lambda one: answers.append(one))  # noqa: PLW0108
        page.goto(visit.base)
        page.wait_for_function("tone.duration > 0")
        page.evaluate("() => { tone.currentTime = 170; }")
        page.wait_for_selector("text=at 170")
        visit.note("recording", seconds=page.evaluate("() => tone.duration"))
        parts = [one for one in answers if one.url.endswith("/tone.wav")]
        assert {one.status for one in parts} == {206}
        last = [one.headers["content-range"] for one in parts][-1]
        visit.note("the last part", is_behind_the_middle=int(re.findall(r"\d+", last)[0]) > 15e6)
        visit.note("errors", statuses=sorted({one.status for one in answers if one.status >= 400}))


PROGRAMS = [
    Program(
        name="nginx",
        distribution="nginx",
        version=version,
        does="files, ranges, gzip, 304, a download continued; WebDAV: 16 MiB put, copied, moved",
        visitors="curl",
        job=job,
        start=start,
        table=TABLE,
        setting="`set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;` for its log; "
        'for `dav_methods` COPY and MOVE its own name in the table, `host = "127.0.0.1:PORT"`',
        needs=("nginx", "curl"),
        quick=True,
    ),
    Program(
        name="nginx in a browser",
        distribution="nginx",
        version=version,
        does="a recording of 30 MiB, and a jump to its end",
        visitors="Chromium",
        job=job_in_browser,
        start=start,
        needs=("nginx", "chromium"),
    ),
]
