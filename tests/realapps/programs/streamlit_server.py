"""Streamlit."""

from __future__ import annotations

from tests.realapps.running import BIN
from tests.realapps.visit import Place, Program, Visit

APP = """
import hashlib
import time

import streamlit as st

name = st.text_input("Name")
if name:
    st.write(f"hello {name}")
if st.button("Count"):
    def words():
        for number in range(5):
            yield f"step{number} "
            time.sleep(0.2)
    st.write_stream(words)
file = st.file_uploader("File")
if file is not None:
    st.write("sha256 " + hashlib.sha256(file.getvalue()).hexdigest()[:16])
st.write("rows", list(range(3)))
"""


def start(place: Place) -> list[str]:
    """Run the app."""
    app = place.folder / "app.py"
    app.write_text(APP)
    return [
        str(BIN / "streamlit"),
        "run",
        str(app),
        "--server.address=127.0.0.1",
        f"--server.port={place.port}",
        f"--server.baseUrlPath={place.path}",
        "--server.headless=true",
        "--server.fileWatcherType=none",
        "--browser.gatherUsageStats=false",
    ]


def job(visit: Visit) -> None:
    """A text field, a stream of words, an upload: each goes over its WebSocket."""
    import hashlib

    data = bytes(range(256)) * 8192  # 2 MiB
    with visit.browser() as page:
        sockets: list[str] = []
        page.on("websocket", lambda one: sockets.append(one.url))
        page.goto(visit.base)
        page.fill("input[type=text]", "Ada")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=hello Ada")
        page.evaluate("""() => {
            window.seen = new Set();
            const look = () => {
                seen.add((document.body.innerText.match(/step[0-9]/g) || []).length);
                requestAnimationFrame(look);
            };
            look();
        }""")
        page.click("button:has-text('Count')")
        page.wait_for_selector("text=step4")
        visit.note("words came one by one", is_=page.evaluate("() => seen.size > 2"))
        upload = {"name": "a.bin", "mimeType": "application/octet-stream", "buffer": data}
        page.set_input_files("input[type=file]", upload)
        digest = hashlib.sha256(data).hexdigest()[:16]
        page.wait_for_selector(f"text=sha256 {digest}")
        visit.note("upload", sha256=digest)
        visit.note("WebSockets", urls=sorted(set(sockets)))


PROGRAMS = [
    Program(
        name="Streamlit",
        distribution="streamlit",
        does="a text field, a stream of words, an upload",
        visitors="Chromium",
        job=job,
        start=start,
        setting="nothing",
        needs=("chromium",),
    ),
    Program(
        name="Streamlit below a path",
        distribution="streamlit",
        does="a text field, a stream of words, an upload",
        visitors="Chromium",
        job=job,
        start=start,
        path="/data",
        setting='`--server.baseUrlPath=/data`; `path = "/data"` in the table',
        needs=("chromium",),
    ),
]
