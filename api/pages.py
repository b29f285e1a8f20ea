"""Pages: templates that escape what they are given, and the headers that keep a page to itself."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from api.standing import moment
from api.values import readable
from contracts.plain import plain

_FOLDER = Path(__file__).parent / "templates"
_STYLE = (_FOLDER / "style.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    # Elsewhere nothing is said of where one came from. With no-referrer a browser would send `Origin: null` with the
    # form, which could then not be told from another site's (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_templates = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_templates.globals |= {"style": Markup(_STYLE)}  # noqa: S704 - our own file, whose hash the policy names
_templates.filters |= {"plain": plain, "readable": readable, "moment": moment}


def page(template: str, status: int = 200, headers: Mapping[str, str] = HEADERS, **values: object) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(template).render(values), status, headers)


def message(
    status: int, title: str, words: str, *, again: bool = False, retry_after: int | None = None
) -> HTMLResponse:
    """A page that only says something. `again`: whether to offer another look at the same address."""
    headers = {**HEADERS, **({"Retry-After": str(retry_after)} if retry_after else {})}
    return page("message.html", status, headers, title=title, words=words, again=again)
