"""How the dashboard looks: templates, style, scripts and policy, in the operator's colours.

Every style, script and picture is a file of this hostname, so that the policy (CSP) needs no
exception: nothing inline, nothing evaluated, nothing from elsewhere, and nobody frames it. What is
shown is escaped by the templates, all of which are HTML.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from ..pages.brand import DARK, LIGHT, Brand
from ..pages.colour import readable
from .words import FILTERS

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["STATIC_PATH", "Site"]

STATIC_PATH: Final = "/static/"

_TEMPLATES: Final = Path(__file__).parent / "templates"
_STATIC: Final = Path(__file__).parent / "static"
_SHADE: Final = "#f1f1ee"
_DARK_SHADE: Final = "#222428"
"""The darkest, and the lightest, that links stand on: a row under the pointer."""

_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">'
    '<circle cx="4" cy="4" r="4" fill="{accent}"/></svg>'
)


class Site:
    """See the module.

    Args:
        brand: Of the operator.

    Attributes:
        fields: That each response has.
    """

    fields: Final[Mapping[str, str]] = {
        "content-security-policy": _POLICY,
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "cache-control": "no-store",
    }

    def __init__(self, brand: Brand) -> None:
        self._environment = _environment()
        self._files = dict(_static_files(brand))
        style = self._environment.get_template("style.css")
        self._files["style.css"] = (
            style.render(
                light=LIGHT,
                dark=DARK,
                shade=_SHADE,
                dark_shade=_DARK_SHADE,
                accent=readable(brand.accent, _SHADE),
                dark_accent=readable(brand.accent_dark, _DARK_SHADE),
            ).encode(),
            "text/css",
        )
        content = b"\0".join(
            name.encode() + body for name, (body, _) in sorted(self._files.items())
        )
        self._version = hashlib.sha256(content).hexdigest()[:16]
        self._environment.globals.update(
            brand=brand, version=self._version, static=self.static_url, now=time.time
        )

    def static_url(self, name: str) -> str:
        """Return the address of a static file, which browsers may keep."""
        return f"{STATIC_PATH}{name}?{self._version}"

    def page(self, name: str, values: Mapping[str, object], *, status: int = 200) -> Response:
        """Return one page.

        Args:
            name: Of the template.
            values: For it; each is escaped.
            status: Of the response.
        """
        return HTMLResponse(self.text(name, values), status_code=status, headers=self.fields)

    def text(self, name: str, values: Mapping[str, object]) -> str:
        """Return a template as text; arguments as for :meth:`page`."""
        return self._environment.get_template(name).render(**values)

    def data(self, value: object, *, status: int = 200) -> Response:
        """Return a value as JSON, for a script."""
        return JSONResponse(value, status_code=status, headers=self.fields)

    def picture(self, svg: bytes) -> Response:
        """Return a drawing; browsers keep it for some minutes, for themselves."""
        fields = {**self.fields, "cache-control": "private, max-age=600"}
        return Response(svg, media_type="image/svg+xml", headers=fields)

    def redirect(self, path: str, *, done: str = "") -> Response:
        """Lead to a page of this dashboard, after a form."""
        where = f"{path}{'&' if '?' in path else '?'}{urlencode({'done': done})}" if done else path
        return RedirectResponse(where, status_code=303, headers=self.fields)

    def file(self, name: str, version: str) -> Response | None:
        """Return a static file; None: there is none of the name.

        Args:
            name: Below the folder of static files.
            version: That the page asked for, in its query: browsers keep what has one.
        """
        found = self._files.get(name)
        if found is None:
            return None
        body, kind = found
        fields = dict(self.fields)
        if version == self._version:
            fields["cache-control"] = "max-age=31536000, immutable"
        return Response(body, media_type=kind, headers=fields)


def _static_files(brand: Brand) -> list[tuple[str, tuple[bytes, str]]]:
    found = [
        (path.relative_to(_STATIC).as_posix(), (path.read_bytes(), _KINDS[path.suffix]))
        for path in sorted(_STATIC.rglob("*"))
        if path.suffix in _KINDS
    ]
    found.append(("icon.svg", (_ICON.format(accent=brand.accent).encode(), "image/svg+xml")))
    if brand.logo:
        head, _, content = brand.logo.partition(",")
        kind = head.removeprefix("data:").partition(";")[0]
        found.append(("logo", (base64.b64decode(content), kind)))
    return found


def _environment() -> Environment:
    """Read all templates: no file is opened, or looked at, while the edge serves.

    Each is compiled when it is first shown, in some 6 ms: all 36 cost each start of each process
    0.2 s of a core.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    texts = {path.name: path.read_text("utf-8") for path in _TEMPLATES.iterdir()}
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment
