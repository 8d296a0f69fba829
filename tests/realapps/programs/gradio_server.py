"""Gradio on a port of its own: `launch()`, as its pages show it."""

from __future__ import annotations

import sys

from tests.realapps.programs import gradio_app
from tests.realapps.visit import Place, Program, Visit

SCRIPT = """
import sys
from tests.realapps.programs.gradio_app import blocks
blocks().launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), root_path=sys.argv[2])
"""


def start(place: Place) -> list[str]:
    """Launch it."""
    return [sys.executable, "-c", SCRIPT, str(place.port), place.path]


def job(visit: Visit) -> None:
    """Call the functions as gradio_client does."""
    gradio_app.job(visit, "/")


def job_in_browser(visit: Visit) -> None:
    """Press a button, and watch the results of another one come."""
    with visit.browser() as page:
        page.goto(visit.base + "/")
        page.fill("#text textarea", "hello")
        page.click("#go")
        page.wait_for_function("document.querySelector('#result textarea').value == 'HELLO'")
        page.fill("#number input", "5")
        page.evaluate("""() => {
            window.seen = [];
            const look = () => {
                const text = document.querySelector('#steps textarea').value;
                if (text && !seen.includes(text)) seen.push(text);
                requestAnimationFrame(look);
            };
            look();
        }""")
        page.click("#count")
        page.wait_for_function("seen.includes('step 4')")
        visit.note("came one by one", is_=page.evaluate("() => seen.length > 2"))
        visit.note("result", text=page.input_value("#result textarea"))


PROGRAMS = [
    Program(
        name="Gradio on its port",
        distribution="gradio",
        does="a function, a stream of results, an upload, URLs with the visitor's port",
        visitors="gradio_client, httpx",
        job=job,
        start=start,
        setting="nothing",
    ),
    Program(
        name="Gradio on its port in a browser",
        distribution="gradio",
        does="a button, a stream of results",
        visitors="Chromium",
        job=job_in_browser,
        start=start,
        needs=("chromium",),
    ),
    Program(
        name="Gradio below a path",
        distribution="gradio",
        does="a button, a stream of results",
        visitors="Chromium",
        job=job_in_browser,
        start=start,
        path="/ui",
        strip=True,
        setting='`root_path="/ui"` in `launch`; `path = "/ui"` and `strip = true` in the table; '
        "links lead to `/ui/`, with its slash",
        needs=("chromium",),
    ),
]
