"""NiceGUI."""

from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app: a counter and an upload."""
    from fastapi import FastAPI
    from nicegui import events, ui

    app = FastAPI()

    @ui.page("/")
    def page() -> None:
        count = ui.label("0").props("id=count")

        def more() -> None:
            count.text = str(int(count.text) + 1)

        async def uploaded(event: events.UploadEventArguments) -> None:
            said.text = f"{event.file.name}: {len(await event.file.read())}"

        ui.button("More", on_click=more).props("id=more")
        said = ui.label("nothing").props("id=said")
        ui.upload(on_upload=uploaded, auto_upload=True)

    ui.run_with(app, storage_secret="secret")
    return app


def job(visit: Visit) -> None:
    """Press a button three times, each time over the WebSocket, and upload a file."""
    with visit.browser() as page:
        page.goto(visit.base)
        for number in range(1, 4):
            page.click("#more")
            page.wait_for_function(f"document.querySelector('#count').innerText == '{number}'")
        visit.note("count", text=page.inner_text("#count"))
        upload = {"name": "a.bin", "mimeType": "application/octet-stream", "buffer": bytes(300_000)}
        page.set_input_files("input[type=file]", upload)
        page.wait_for_function("document.querySelector('#said').innerText.startsWith('a.bin')")
        visit.note("upload", text=page.inner_text("#said"))


PROGRAMS = [
    Program(
        name="NiceGUI",
        module="nicegui_app",
        distribution="nicegui",
        does="buttons over its WebSocket, an upload",
        visitors="Chromium",
        job=job,
        needs=("chromium",),
    )
]
