"""Gradio."""

from typing import Any

from tests.realapps.visit import Program, Visit


def blocks() -> Any:
    """Return the interface: a function, a stream of results, a file."""
    import os
    import time
    from pathlib import Path

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    def shout(text: str) -> str:
        return text.upper()

    def count(number: float) -> Any:
        for done in range(int(number)):
            yield f"step {done}"
            time.sleep(0.2)

    def size(file: str) -> int:
        return Path(file).stat().st_size

    with gr.Blocks(analytics_enabled=False) as found:
        text = gr.Textbox(label="Text", elem_id="text")
        result = gr.Textbox(label="Result", elem_id="result")
        gr.Button("Shout", elem_id="go").click(shout, text, result, api_name="shout")
        number = gr.Number(label="Number", elem_id="number")
        steps = gr.Textbox(label="Steps", elem_id="steps")
        gr.Button("Count", elem_id="count").click(count, number, steps, api_name="count")
        file = gr.File(label="File")
        bytes_ = gr.Number(label="Bytes")
        gr.Button("Size").click(size, file, bytes_, api_name="size")
    return found


def create() -> Any:
    """Return the app, below /ui."""
    import gradio as gr
    from fastapi import FastAPI

    return gr.mount_gradio_app(FastAPI(), blocks(), path="/ui")


def job(visit: Visit, path: str = "/ui/") -> None:
    """Call the functions, follow a stream, upload a file; look at the URLs of the page."""
    from gradio_client import Client, handle_file

    client = Client(visit.base + path, verbose=False, ssl_verify=visit.tls)  # type: ignore[arg-type]
    visit.note("shout", result=client.predict("hello", api_name="/shout"))
    running = client.submit(4, api_name="/count")
    running.result(timeout=30)
    visit.note("count", outputs=running.outputs())
    file = visit.folder / "a.bin"
    file.write_bytes(bytes(1_500_000))
    visit.note("upload", size=client.predict(handle_file(str(file)), api_name="/size"))
    with visit.httpx() as http:
        config = http.get(path + "config").json()
        visit.note("URLs", root=config["root"], prefix=config["api_prefix"])
        visit.response("page", http.get(path), body=False)
    client.close()


def job_in_browser(visit: Visit) -> None:
    """Press the button."""
    with visit.browser() as page:
        page.goto(visit.base + "/ui/")
        page.fill("#text textarea", "hello")
        page.click("#go")
        page.wait_for_function("document.querySelector('#result textarea').value == 'HELLO'")
        visit.note("result", text=page.input_value("#result textarea"))


PROGRAMS = [
    Program(
        name="Gradio",
        module="gradio_app",
        distribution="gradio",
        does="a function, a stream of results, an upload, URLs with the visitor's port",
        visitors="gradio_client, httpx",
        job=job,
    ),
    Program(
        name="Gradio in a browser",
        module="gradio_app",
        distribution="gradio",
        does="a button",
        visitors="Chromium",
        job=job_in_browser,
        needs=("chromium",),
    ),
]
