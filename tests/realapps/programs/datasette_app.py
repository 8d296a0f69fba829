"""Datasette."""

from __future__ import annotations

from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app, with one table of 200 rows."""
    import os
    import sqlite3
    from pathlib import Path

    from datasette.app import Datasette

    file = Path(os.environ["REALAPPS_FOLDER"]) / "shop.db"
    with sqlite3.connect(file) as database:
        database.execute("create table things (id integer primary key, name text)")
        names = [(f"thing {number}",) for number in range(200)]
        database.executemany("insert into things (name) values (?)", names)
    database.close()
    return Datasette([str(file)], settings={"force_https_urls": False}, secret="0" * 64).app()


def job(visit: Visit) -> None:
    """Read tables as JSON, CSV and HTML."""
    with visit.httpx() as client:
        page = client.get("/shop/things.json?_shape=array&_size=3")
        visit.response("rows", page)
        visit.note("the next page", link=page.headers.get("link"))
        visit.response("csv", client.get("/shop/things.csv?_stream=on"))
        visit.response("html", client.get("/shop/things"), body=False)
        visit.response("sql", client.get("/shop.json?sql=select+count(*)+from+things&_shape=array"))
        visit.response("no such table", client.get("/shop/nothing.json"), status=404)
    with visit.requests() as session:
        visit.response("database", session.get(visit.base + "/shop.db"), status=None, body=False)


PROGRAMS = [
    Program(
        name="Datasette",
        module="datasette_app",
        distribution="datasette",
        does="tables as JSON with links, a streamed CSV, HTML, SQL",
        visitors="httpx, requests",
        job=job,
    )
]
