"""marimo: a notebook served as an app."""

from __future__ import annotations

from typing import Any

from tests.realapps.visit import Program, Visit

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    return (mo,)


@app.cell
def _(mo):
    number = mo.ui.slider(1, 9, value=4, label="number")
    number
    return (number,)


@app.cell
def _(mo, number):
    mo.md(f"square: {number.value ** 2}")
    return


if __name__ == "__main__":
    app.run()
"""


def create() -> Any:
    """Return the app."""
    import os
    from pathlib import Path

    import marimo

    file = Path(os.environ["REALAPPS_FOLDER"]) / "notebook.py"
    file.write_text(NOTEBOOK)
    return marimo.create_asgi_app(quiet=True).with_app(path="/", root=str(file)).build()


def job(visit: Visit) -> None:
    """Open the notebook, move the slider, read what depends on it."""
    with visit.browser() as page:
        page.goto(visit.base)
        page.wait_for_selector("text=square: 16")
        page.focus("[role=slider]")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("text=square: 25")
        visit.note("moved", square="25")


PROGRAMS = [
    Program(
        name="marimo",
        module="marimo_app",
        distribution="marimo",
        does="a notebook's slider, and the cell that depends on it",
        visitors="Chromium",
        job=job,
        needs=("chromium",),
    )
]
