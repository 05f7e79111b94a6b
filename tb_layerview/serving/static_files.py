"""The tab's JavaScript and style sheet, as they were built into this package."""

from __future__ import annotations

import json
import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug import wrappers

from tb_layerview.serving.requests import error_of, respond

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


STATIC = Path(__file__).parent / "static"
ENTRY = "/index.js"
_NOT_BUILT = (
    "The Layers tab is not built: this copy of tb_layerview has no front end. "
    "Install it with `pip install .`, or build it with `make frontend`, and start TensorBoard again."
)
# What a build names by its content never changes under its name; the rest is asked for again each time.
_NAMED_BY_CONTENT = re.compile(r"-[A-Za-z0-9_-]{8}\.\w+$")
_DAY = 24 * 60 * 60
# Not left to `mimetypes`: what it says of .js depends on the machine, and browsers refuse scripts of a wrong type.
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".map": "application/json"}


def static_routes(folder: Path) -> dict[str, WSGIApplication]:
    """A route for each file below a folder, whatever its name: what is not listed here cannot be asked for."""
    if not (folder / ENTRY[1:]).is_file():
        return {ENTRY: _not_built}
    return {f"/{path.relative_to(folder).as_posix()}": _serving(path) for path in folder.rglob("*") if path.is_file()}


def _serving(path: Path) -> WSGIApplication:
    content_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    expires = _DAY if _NAMED_BY_CONTENT.search(path.name) else 0

    @wrappers.Request.application
    def serve(request: wrappers.Request) -> wrappers.Response:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return error_of(request, f"{path} is gone. Was the front end built anew? Start TensorBoard again.", 404)
        return respond(request, content, content_type, expires=expires)

    return serve


@wrappers.Request.application
def _not_built(request: wrappers.Request) -> wrappers.Response:
    """A script that says in the tab what to do."""
    script = f"export function render() {{ document.body.textContent = {json.dumps(_NOT_BUILT)}; }}\n"
    return respond(request, script, "text/javascript")
