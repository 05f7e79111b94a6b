"""The plugin: TensorBoard's Layers tab, and the routes that it reads (`docs/http_api.md`)."""

from __future__ import annotations

import contextlib
import json
import mimetypes
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from tb_layerview.format import units
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.format.model import KINDS
from tb_layerview.format.names import PLUGIN_NAME, replay_name
from tb_layerview.format.statistics import SECTIONS, UPDATE_RATIO
from tb_layerview.health.rules.catalogue import Rule, with_thresholds
from tb_layerview.reading.payload_file import PayloadError
from tb_layerview.reading.run import Run
from tb_layerview.serving import answers
from tb_layerview.serving.columns import COLUMNS
from tb_layerview.serving.source import RunSource

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

STATIC = Path(__file__).parent / "static"

_ENTRY = "/index.js"
_NOT_BUILT = (
    "The Layers tab is not built: this copy of tb_layerview has no front end. "
    "Install it with `pip install .`, or build it with `make frontend`, and start TensorBoard again."
)
# What a build names by its content never changes under its name; the rest is asked for again each time.
_NAMED_BY_CONTENT = re.compile(r"-[A-Za-z0-9_-]{8}\.\w+$")
_DAY = 24 * 60 * 60
# Not left to `mimetypes`: what it says of .js depends on the machine, and browsers refuse scripts of a wrong type.
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".map": "application/json"}

_Route = Callable[[wrappers.Request], wrappers.Response]


class _RequestError(Exception):
    """The request is wrong; the message says what is."""


class LayerViewPlugin(base_plugin.TBPlugin):
    """The Layers tab."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        """Keeps TensorBoard's data provider; reads nothing yet."""
        self._source = RunSource(context)

    def is_active(self) -> bool:
        """Whether there is anything to show. TensorBoard asks only while its provider does not name this plugin."""
        return self._source.has_runs()

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """The tab's name and script."""
        return base_plugin.FrontendMetadata(es_module_path=_ENTRY, tab_name="Layers")

    def get_plugin_apps(self) -> dict[str, WSGIApplication]:
        """All routes: those of the API, and one for each file of the front end that is there now."""
        return {
            "/runs": _answering(self._serve_runs),
            "/run": _answering(self._serve_run),
            "/steps": _answering(self._serve_steps),
            "/statistics": _answering(self._serve_statistics),
            "/findings": _answering(self._serve_findings),
            "/course": _answering(self._serve_course),
            "/tensor": _answering(self._serve_tensor),
            "/payload": _answering(self._serve_payload),
            "/histograms": _answering(self._serve_histograms),
            "/units": _answering(self._serve_units),
            **static_routes(STATIC),
        }

    def _serve_runs(self, request: wrappers.Request) -> wrappers.Response:
        context, experiment_id = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        return _json(request, answers.runs(*self._source.runs(context, experiment_id)))

    def _serve_run(self, request: wrappers.Request) -> wrappers.Response:
        return _json(request, answers.run(self._run(request)))

    def _serve_steps(self, request: wrappers.Request) -> wrappers.Response:
        return _json(request, answers.steps(self._run(request)))

    def _serve_statistics(self, request: wrappers.Request) -> wrappers.Response:
        kind = _one_of(request, "kind", KINDS)
        names = request.args.getlist("statistic")
        if not names:
            raise _RequestError(f"statistic is missing; it is one or more of {', '.join(COLUMNS)}.")
        for name in names:
            _check("statistic", name, COLUMNS)
        if len(set(names)) < len(names):
            raise _RequestError("a statistic is asked for more than once; its columns are the same each time.")
        if UPDATE_RATIO in names and kind != "update":
            raise _RequestError(f"statistic={UPDATE_RATIO!r} is of updates alone: ask for it with kind=update.")
        since = _number(request, "since", default=0)
        in_groups = _one_of(request, "groups", ("0", "1"), default="0") == "1"
        tensor = _number(request, "tensor") if "tensor" in request.args else None
        if in_groups and tensor is not None:
            raise _RequestError("tensor and groups=1 do not go together: groups are of all tensors of a kind.")
        run = self._run(request)
        if not in_groups:
            return _bytes(request, answers.statistics(run, kind, names, since, tensor), run)
        data, groups = answers.grouped_statistics(run, kind, names, since)
        return _bytes(request, data, run, Groups=groups)

    def _serve_findings(self, request: wrappers.Request) -> wrappers.Response:
        run = self._run(request)
        return _json(request, answers.findings(run, self._replays(request, run.name), _rules(request)))

    def _serve_course(self, request: wrappers.Request) -> wrappers.Response:
        rules = {rule.name: rule for rule in _rules(request)}
        rule, index = rules[_one_of(request, "rule", rules)], _number(request, "tensor")
        return _json(request, answers.course(self._run(request), rule, index))

    def _serve_tensor(self, request: wrappers.Request) -> wrappers.Response:
        index, step = _number(request, "tensor"), _number(request, "step", least=None)
        return _json(request, self._of_step(request, lambda run: answers.tensor(run, index, step)))

    def _serve_payload(self, request: wrappers.Request) -> wrappers.Response:
        index, step = _number(request, "tensor"), _number(request, "step", least=None)
        section = _one_of(request, "section", SECTIONS)
        data = self._of_step(request, lambda run: answers.payload(run, index, step, section))
        return _respond(request, data, "application/octet-stream")

    def _serve_histograms(self, request: wrappers.Request) -> wrappers.Response:
        index, since = _number(request, "tensor"), _number(request, "since", default=0)
        run = self._run(request)
        data, failed = answers.histograms(run, index, since)
        return _bytes(request, data, run, Unreadable=failed)

    def _serve_units(self, request: wrappers.Request) -> wrappers.Response:
        index, since = _number(request, "tensor"), _number(request, "since", default=0)
        statistic = _one_of(request, "statistic", units.STATISTICS)
        run = self._run(request)
        data, failed = answers.units(run, index, statistic, since)
        return _bytes(request, data, run, Unreadable=failed)

    def _run(self, request: wrappers.Request) -> Run:
        context, experiment_id = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        return self._source.run(context, experiment_id, _text(request, "run"))

    def _replays(self, request: wrappers.Request, name: str) -> Run | None:
        context, experiment_id = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        with contextlib.suppress(NotLoggedError):
            return self._source.run(context, experiment_id, replay_name(name))
        return None

    def _of_step(self, request: wrappers.Request, answer: Callable[[Run], Any]) -> Any:
        """Answers from the run as it is known, which spares asking TensorBoard while somebody drags the slider."""
        known = self._source.known(plugin_util.experiment_id(request.environ), _text(request, "run"))
        if known is not None:
            try:
                return answer(known)
            except (NotLoggedError, PayloadError):
                pass  # Perhaps it is new, or the run was logged anew.
        return answer(self._run(request))


def static_routes(folder: Path) -> dict[str, WSGIApplication]:
    """A route for each file below a folder, whatever its name: what is not listed here cannot be asked for."""
    if not (folder / _ENTRY[1:]).is_file():
        return {_ENTRY: _not_built}
    return {f"/{path.relative_to(folder).as_posix()}": _serving(path) for path in folder.rglob("*") if path.is_file()}


def _serving(path: Path) -> WSGIApplication:
    content_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    expires = _DAY if _NAMED_BY_CONTENT.search(path.name) else 0

    @wrappers.Request.application
    def serve(request: wrappers.Request) -> wrappers.Response:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return _error(request, f"{path} is gone. Was the front end built anew? Start TensorBoard again.", 404)
        return _respond(request, content, content_type, expires=expires)

    return serve


@wrappers.Request.application
def _not_built(request: wrappers.Request) -> wrappers.Response:
    """A script that says in the tab what to do."""
    script = f"export function render() {{ document.body.textContent = {json.dumps(_NOT_BUILT)}; }}\n"
    return _respond(request, script, "text/javascript")


def _answering(serve: _Route) -> WSGIApplication:
    """Makes what a route raises its answer: a sentence, under the status that `docs/http_api.md` names."""

    @wrappers.Request.application
    def answer(request: wrappers.Request) -> wrappers.Response:
        if request.method not in ("GET", "HEAD"):
            return _error(
                request, f"{request.method} is not answered here; use GET.", 405, headers=[("Allow", "GET, HEAD")]
            )
        try:
            return serve(request)
        except _RequestError as error:
            return _error(request, str(error), 400)
        except NotLoggedError as error:
            return _error(request, str(error), 404)
        except PayloadError as error:
            return _error(request, str(error), 410)
        except errors.PublicError as error:
            return _error(request, f"TensorBoard cannot read the log: {error}", error.http_code)

    return answer


def _json(request: wrappers.Request, data: dict[str, Any]) -> wrappers.Response:
    return _respond(request, data, "application/json")


def _bytes(request: wrappers.Request, data: bytes, run: Run, **headers: object) -> wrappers.Response:
    """Columns over steps, with how many steps there are and which history they belong to."""
    headers = {"Steps": len(run.steps), "Generation": run.generation, **headers}
    named = [(f"X-Layerview-{name}", str(value)) for name, value in headers.items()]
    return _respond(request, data, "application/octet-stream", headers=named)


def _error(request: wrappers.Request, sentence: str, code: int, **more: Any) -> wrappers.Response:
    return _respond(request, {"error": sentence}, "application/json", code=code, **more)


def _respond(
    request: wrappers.Request, content: bytes | str | dict[str, Any], content_type: str, **more: Any
) -> wrappers.Response:
    """TensorBoard's own way to answer: its security headers, and NaN and infinities as strings."""
    response: wrappers.Response = http_util.Respond(request, content, content_type, **more)
    return response


def _rules(request: wrappers.Request) -> tuple[Rule, ...]:
    """The rules with the thresholds that the request moves."""
    thresholds: dict[str, float] = {}
    for given in request.args.getlist("threshold"):
        name, _, value = given.rpartition(":")
        try:
            thresholds[name] = float(value)
        except ValueError:
            raise _RequestError(f"threshold={given!r} is not rule.threshold:number.") from None
    try:
        return with_thresholds(thresholds)
    except ValueError as error:
        raise _RequestError(f"{error}.") from error


def _text(request: wrappers.Request, name: str) -> str:
    given = request.args.getlist(name)
    if not given:
        raise _RequestError(f"{name} is missing: add {name}=... to the address.")
    if len(given) > 1:
        raise _RequestError(f"{name} is given {len(given)} times; which one is meant cannot be told.")
    return str(given[0])


def _number(request: wrappers.Request, name: str, *, default: int | None = None, least: int | None = 0) -> int:
    if default is not None and name not in request.args:
        return default
    given = _text(request, name)
    # int() takes more than digits; numbers longer than this are no int64.
    if not re.fullmatch(r"-?[0-9]{1,18}", given) or (least is not None and int(given) < least):
        raise _RequestError(f"{name}={given!r} is not a whole number{'' if least is None else f' from {least} on'}.")
    return int(given)


def _one_of(request: wrappers.Request, name: str, choices: Iterable[Any], *, default: str | None = None) -> Any:
    if default is not None and name not in request.args:
        return default
    return _check(name, _text(request, name), tuple(choices))


def _check(name: str, given: str, choices: tuple[Any, ...]) -> Any:
    if given not in choices:
        raise _RequestError(f"{name}={given!r} is none of {', '.join(choices)}.")
    return given
