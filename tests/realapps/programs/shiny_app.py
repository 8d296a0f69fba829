"""Shiny for Python."""

from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app: a text, an upload, a download."""
    from shiny import App, render, ui

    page = ui.page_fluid(
        ui.input_text("name", "Name", "Ada"),
        ui.output_text("hello"),
        ui.input_file("file", "File"),
        ui.output_text("size"),
        ui.download_link("report", "Report"),
    )

    def server(input: Any, output: Any, session: Any) -> None:  # noqa: A002 - Shiny's own name
        @render.text
        def hello() -> str:
            return f"hello {input.name()}"

        @render.text
        def size() -> str:
            files = input.file()
            return f"{files[0]['name']}: {files[0]['size']}" if files else "nothing"

        @render.download(filename="report.txt")
        def report() -> Any:
            yield f"report for {input.name()}"

    return App(page, server)


def job(visit: Visit) -> None:
    """Type, upload, download."""
    with visit.browser() as page:
        page.goto(visit.base)
        page.wait_for_selector("text=hello Ada")
        page.fill("#name", "Bob")
        page.wait_for_selector("text=hello Bob")
        upload = {"name": "a.bin", "mimeType": "application/octet-stream", "buffer": bytes(900_000)}
        page.set_input_files("#file", upload)
        page.wait_for_selector("text=a.bin: 900000")
        with page.expect_download() as download:
            page.click("#report")
        with open(download.value.path()) as file:  # noqa: PTH123
            visit.note("download", name=download.value.suggested_filename, text=file.read())


PROGRAMS = [
    Program(
        name="Shiny",
        module="shiny_app",
        distribution="shiny",
        does="a text field, an upload, a download",
        visitors="Chromium",
        job=job,
        needs=("chromium",),
    )
]
