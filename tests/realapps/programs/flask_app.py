"""Flask, a WSGI app, through a2wsgi."""

from __future__ import annotations

from typing import Any

from tests.realapps import common
from tests.realapps.visit import Program


def create() -> Any:
    """Return the app."""
    from a2wsgi import WSGIMiddleware
    from flask import Flask, jsonify, redirect, request

    app = Flask("shop")

    @app.route("/json", methods=["GET", "DELETE"])
    def json() -> Any:
        return jsonify(method=request.method, query=request.args.to_dict())

    @app.post("/form")
    def form() -> Any:
        return f"hello {request.form['name']}"

    @app.post("/upload")
    def upload() -> Any:
        file = request.files["file"]
        return jsonify(common.facts(file.filename or "", file.read()))

    @app.get("/login")
    def login() -> Any:
        response = redirect("/me")
        response.set_cookie("user", "ada", httponly=True, secure=True)
        return response

    @app.get("/me")
    def me() -> Any:
        return request.cookies.get("user", "nobody")

    @app.get("/stream")
    def stream() -> Any:
        return app.response_class(iter(common.lines()), mimetype="text/plain")

    @app.get("/url")
    def url() -> Any:
        return jsonify(url=request.url, address=request.remote_addr, scheme=request.scheme)

    return WSGIMiddleware(app.wsgi_app)


PROGRAMS = [
    Program(
        name="Flask through a2wsgi",
        module="flask_app",
        distribution="flask",
        does=common.DOES,
        visitors=common.VISITORS,
        job=common.job,
        quick=True,
    )
]
