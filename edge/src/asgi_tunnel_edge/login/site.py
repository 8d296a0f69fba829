"""How the login's pages look: templates, style and policy, in the operator's colours.

Styles and scripts are files of this hostname, so that the policy (CSP) needs no exception. Nothing
else may run on these pages, frame them, or take their forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, JSONResponse, Response

from ..access.doors import ACCESS_PATH
from ..pages.brand import DARK, LIGHT, Brand

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Site"]

_FOLDER: Final = Path(__file__).parent
_SHARED: Final = _FOLDER.parent / "pages"

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
        style = _environment().get_template("builtin/style.css")
        shared = style.render(brand=brand, light=LIGHT, dark=DARK)
        self._style = f"{shared}\n{(_FOLDER / 'templates' / 'login.css').read_text('utf-8')}"

    def page(self, name: str, values: Mapping[str, object], *, status: int = 200) -> Response:
        """Return one page.

        Args:
            name: Of the template.
            values: For it; each is escaped.
            status: Of the response.
        """
        template = _environment().get_template(name)
        text = template.render(**values, brand=self._brand, base=ACCESS_PATH)
        return HTMLResponse(text, status_code=status, headers=_FIELDS)

    def data(self, values: Mapping[str, object], *, status: int = 200) -> Response:
        """Return values for a script."""
        return JSONResponse(dict(values), status_code=status, headers=_FIELDS)

    def style(self) -> Response:
        """Return the style of all pages."""
        fields = {**_FIELDS, "cache-control": "no-cache"}
        return Response(self._style, media_type="text/css", headers=fields)

    def script(self, name: str) -> Response:
        """Return one of the scripts."""
        text = (_FOLDER / "templates" / name).read_text("utf-8")
        fields = {**_FIELDS, "cache-control": "no-cache"}
        return Response(text, media_type="text/javascript", headers=fields)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([_FOLDER / "templates", _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
