"""The plugin: TensorBoard's Layers tab, and the routes that it reads (`docs/http_api.md`)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tensorboard import plugin_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from tb_layerview.format import units
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.format.model import KINDS, Kind
from tb_layerview.format.names import PLUGIN_NAME, replay_name
from tb_layerview.format.statistics import SECTIONS, UPDATE_RATIO
from tb_layerview.health.of_run import diagnose_run
from tb_layerview.reading.payload_file import PayloadError
from tb_layerview.reading.run import Run
from tb_layerview.serving import answers, ranks, ridges
from tb_layerview.serving.columns import COLUMNS
from tb_layerview.serving.past import Past
from tb_layerview.serving.requests import (
    RequestError,
    answering,
    as_bytes,
    as_framed,
    as_json,
    check_names,
    number_of,
    numbers_of,
    one_of,
    respond,
    rules_of,
    text_of,
)
from tb_layerview.serving.source import RunSource
from tb_layerview.serving.static_files import ENTRY, STATIC, static_routes
from tb_layerview.serving.thumbnails import MOST_TENSORS, Thumbnails, needs_newer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class LayerViewPlugin(base_plugin.TBPlugin):
    """The Layers tab."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        """Keeps TensorBoard's data provider; reads nothing yet."""
        self._source = RunSource(context)
        past = Past()
        self._thumbnails, self._ridges = Thumbnails(past), ridges.Ridges(past)

    def is_active(self) -> bool:
        """Whether there is anything to show. TensorBoard asks only while its provider does not name this plugin."""
        return self._source.has_runs()

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """The tab's name and script."""
        return base_plugin.FrontendMetadata(es_module_path=ENTRY, tab_name="Layers")

    def get_plugin_apps(self) -> dict[str, WSGIApplication]:
        """All routes: those of the API, and one for each file of the front end that is there now."""
        return {
            "/runs": answering(self._serve_runs),
            "/run": answering(self._serve_run),
            "/steps": answering(self._serve_steps),
            "/statistics": answering(self._serve_statistics),
            "/findings": answering(self._serve_findings),
            "/course": answering(self._serve_course),
            "/tensor": answering(self._serve_tensor),
            "/payload": answering(self._serve_payload),
            "/histograms": answering(self._serve_histograms),
            "/units": answering(self._serve_units),
            "/thumbnails": answering(self._serve_thumbnails),
            "/ridges": answering(self._serve_ridges),
            "/ranks": answering(self._serve_ranks),
            "/rank_statistics": answering(self._serve_rank_statistics),
            **static_routes(STATIC),
        }

    def _serve_runs(self, request: wrappers.Request) -> wrappers.Response:
        context, experiment_id = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        return as_json(request, answers.runs(*self._source.runs(context, experiment_id)))

    def _serve_run(self, request: wrappers.Request) -> wrappers.Response:
        return as_json(request, answers.run(self._run(request)))

    def _serve_steps(self, request: wrappers.Request) -> wrappers.Response:
        return as_json(request, answers.steps(self._run(request)))

    def _serve_statistics(self, request: wrappers.Request) -> wrappers.Response:
        kind, names = _statistics_of(request)
        since = number_of(request, "since", default=0)
        in_groups = one_of(request, "groups", ("0", "1"), default="0") == "1"
        tensor = number_of(request, "tensor") if "tensor" in request.args else None
        if in_groups and tensor is not None:
            raise RequestError("tensor and groups=1 do not go together: groups are of all tensors of a kind.")
        run = self._run(request)
        if not in_groups:
            return as_bytes(request, answers.statistics(run, kind, names, since, tensor), run)
        data, groups = answers.grouped_statistics(run, kind, names, since)
        return as_bytes(request, data, run, Groups=groups)

    def _serve_findings(self, request: wrappers.Request) -> wrappers.Response:
        run = self._run(request)
        return as_json(request, answers.findings(run, self._replays(request, run.name), rules_of(request)))

    def _serve_course(self, request: wrappers.Request) -> wrappers.Response:
        rules = {rule.name: rule for rule in rules_of(request)}
        rule, index = rules[one_of(request, "rule", rules)], number_of(request, "tensor")
        return as_json(request, answers.course(self._run(request), rule, index))

    def _serve_tensor(self, request: wrappers.Request) -> wrappers.Response:
        index, step = number_of(request, "tensor"), number_of(request, "step", least=None)
        return as_json(request, self._of_step(request, lambda run: answers.tensor(run, index, step)))

    def _serve_payload(self, request: wrappers.Request) -> wrappers.Response:
        index, step = number_of(request, "tensor"), number_of(request, "step", least=None)
        section = one_of(request, "section", SECTIONS)
        data = self._of_step(request, lambda run: answers.payload(run, index, step, section))
        return respond(request, data, "application/octet-stream")

    def _serve_histograms(self, request: wrappers.Request) -> wrappers.Response:
        index, since = number_of(request, "tensor"), number_of(request, "since", default=0)
        run = self._run(request)
        data, failed = answers.histograms(run, index, since)
        return as_bytes(request, data, run, Unreadable=failed)

    def _serve_units(self, request: wrappers.Request) -> wrappers.Response:
        index, since = number_of(request, "tensor"), number_of(request, "since", default=0)
        statistic = one_of(request, "statistic", units.UNIT_STATISTICS)
        run = self._run(request)
        data, failed = answers.units(run, index, statistic, since)
        return as_bytes(request, data, run, Unreadable=failed)

    def _serve_thumbnails(self, request: wrappers.Request) -> wrappers.Response:
        step = number_of(request, "step", least=None)
        example = None if text_of(request, "example") == "all" else number_of(request, "example")
        tensors = numbers_of(request, "tensors", most=MOST_TENSORS)
        # As it is known, as in `_of_step`.
        run = self._source.known(plugin_util.experiment_id(request.environ), text_of(request, "run"))
        if run is None or needs_newer(run, step, tensors):
            run = self._run(request)
        answer = self._thumbnails.answer(run, step, example, tensors)
        if answer.is_damaged and (newer := self._run(request)).generation != run.generation:
            answer = self._thumbnails.answer(newer, step, example, tensors)
        return as_framed(request, answer.head, answer.levels)

    def _serve_ridges(self, request: wrappers.Request) -> wrappers.Response:
        tensors = numbers_of(request, "tensors", most=MOST_TENSORS)
        most = number_of(request, "ridges", default=ridges.USUAL, least=1)
        if most > ridges.MOST:
            raise RequestError(f"ridges={most} is more than {ridges.MOST}, which are the most of one tensor.")
        return as_framed(request, *self._ridges.answer(self._run(request), tensors, most))

    def _serve_ranks(self, request: wrappers.Request) -> wrappers.Response:
        chosen = rules_of(request)

        def described(rank: ranks.Rank) -> dict[str, Any]:
            run = self._named(request, rank.run)
            return ranks.described(rank, run, diagnose_run(run, self._replays(request, rank.run), chosen))

        return as_json(request, {"ranks": [described(rank) for rank in self._ranks(request)]})

    def _serve_rank_statistics(self, request: wrappers.Request) -> wrappers.Response:
        kind, names = _statistics_of(request)
        step = number_of(request, "step", least=None)
        experiment_id = plugin_util.experiment_id(request.environ)
        # As they are known, as in `_of_step`.
        found = [
            (rank, self._source.known(experiment_id, rank.run) or self._named(request, rank.run))
            for rank in self._ranks(request)
        ]
        of = next(run for rank, run in found if rank.run == text_of(request, "run"))
        return as_json(request, ranks.statistics(of, found, kind, names, step))

    def _ranks(self, request: wrappers.Request) -> list[ranks.Rank]:
        context, experiment_id = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        name = text_of(request, "run")
        names = self._source.names(context, experiment_id)
        if name not in names:
            self._named(request, name)  # says it
        return ranks.ranks_of(name, names)

    def _run(self, request: wrappers.Request) -> Run:
        return self._named(request, text_of(request, "run"))

    def _named(self, request: wrappers.Request, name: str) -> Run:
        context, experiment_id = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        return self._source.run(context, experiment_id, name)

    def _replays(self, request: wrappers.Request, name: str) -> Run | None:
        with contextlib.suppress(NotLoggedError):
            return self._named(request, replay_name(name))
        return None

    def _of_step(self, request: wrappers.Request, answer: Callable[[Run], Any]) -> Any:
        """Answers from the run as it is known, which spares asking TensorBoard while somebody drags the slider."""
        known = self._source.known(plugin_util.experiment_id(request.environ), text_of(request, "run"))
        if known is not None:
            try:
                return answer(known)
            except (NotLoggedError, PayloadError):
                pass  # Perhaps it is new, or the run was logged anew.
        return answer(self._run(request))


def _statistics_of(request: wrappers.Request) -> tuple[Kind, list[str]]:
    """Of which kind which statistics are asked for.

    Raises:
      RequestError: There are no such.
    """
    kind: Kind = one_of(request, "kind", KINDS)
    names = request.args.getlist("statistic")
    if not names:
        raise RequestError(f"statistic is missing; it is one or more of {', '.join(COLUMNS)}.")
    for name in names:
        check_names("statistic", name, COLUMNS)
    if len(set(names)) < len(names):
        raise RequestError("a statistic is asked for more than once; its columns are the same each time.")
    if UPDATE_RATIO in names and kind != "update":
        raise RequestError(f"statistic={UPDATE_RATIO!r} is of updates alone: ask for it with kind=update.")
    return kind, names
