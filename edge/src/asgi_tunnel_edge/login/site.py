"""How the login's pages look: templates, style and policy, in the operator's colours.

Styles and scripts are files of this hostname, so that the policy (CSP) needs no exception. Nothing
else may run on these pages, frame them, or take their forms.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, JSONResponse, Response

from ..access.doors import ACCESS_PATH
from ..pages.brand import DARK, LIGHT, Brand

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Site"]

_FOLDER: Final = Path(__file__).parent / "templates"
_SHARED: Final = Path(__file__).parents[1] / "pages"

_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
    "style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:"
)
_FIELDS: Final = {
    "content-security-policy": _POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Secrets of invitations and links stand in addresses: neither another site nor the app gets
    # these. Not "no-referrer": then browsers send "Origin: null" with forms. (Fetch section 3.2)
    "referrer-policy": "strict-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Site:
    """See the module.

    Args:
        brand: Of the operator.
    """

    def __init__(self, brand: Brand) -> None:
        self._brand = brand
        self._environment = _environment()
        style = self._environment.get_template("builtin/style.css")
        shared = style.render(brand=brand, light=LIGHT, dark=DARK)
        self._style = f"{shared}\n{(_FOLDER / 'login.css').read_text('utf-8')}"
        # All at once: no file is opened, or looked at, while the edge serves.
        self._pages = {
            path.name: self._environment.get_template(path.name) for path in _FOLDER.glob("*.html")
        }
        self._scripts = {path.name: path.read_text("utf-8") for path in _FOLDER.glob("*.js")}
        content = "\0".join([self._style, *(text for _, text in sorted(self._scripts.items()))])
        self._version = hashlib.sha256(content.encode()).hexdigest()[:16]

    def page(self, name: str, values: Mapping[str, object], *, status: int = 200) -> Response:
        """Return one page.

        Args:
            name: Of the template.
            values: For it; each is escaped.
            status: Of the response.
        """
        text = self._pages[name].render(
            **values, brand=self._brand, base=ACCESS_PATH, version=self._version
        )
        return HTMLResponse(text, status_code=status, headers=_FIELDS)

    def data(self, values: Mapping[str, object], *, status: int = 200) -> Response:
        """Return values for a script."""
        return JSONResponse(dict(values), status_code=status, headers=_FIELDS)

    def style(self, version: str) -> Response:
        """Return the style of all pages.

        Args:
            version: That the page asked for, in its query: browsers keep what has one.
        """
        return self._file(self._style, "text/css", version)

    def script(self, name: str, version: str) -> Response:
        """Return one of the scripts; ``version`` as for :meth:`style`."""
        return self._file(self._scripts[name], "text/javascript", version)

    def _file(self, text: str, kind: str, version: str) -> Response:
        fields = dict(_FIELDS)
        if version == self._version:
            fields["cache-control"] = "max-age=31536000, immutable"
        return Response(text, media_type=kind, headers=fields)


@functools.cache  # new settings make a new site, of the same templates
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([_FOLDER, _SHARED]),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
