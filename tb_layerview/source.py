"""Runs as TensorBoard has them: read through its data provider, again only where they grew."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tensorboard.context import RequestContext
from tensorboard.data import provider
from tensorboard.plugins import base_plugin

from tb_layerview import event_file
from tb_layerview.folder_log import FolderLog
from tb_layerview.logged import NotLoggedError, nearest
from tb_layerview.record import FOLDER, PLUGIN_NAME
from tb_layerview.run import Run
from tb_layerview.shard import Message

# How many steps of a shard to ask for: all. Both of TensorBoard's loaders take this as a limit only.
_ALL_STEPS = 1 << 24
# The local providers serve the same data under any experiment id, so a few are enough to remember.
_MOST_EXPERIMENTS = 4

# When a tag last changed, as TensorBoard knows it: its newest step and wall time.
_Stamp = tuple[int, float]


@dataclasses.dataclass
class _State:
    """What was read of one run, guarded by `lock`."""

    log: FolderLog
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    stamps: dict[str, _Stamp] = dataclasses.field(default_factory=dict)
    problems: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # by tag
    run: Run | None = None
    check: event_file.Check | None = None  # of the files, where they are on this machine
    checking: Future[bool] | None = None
    is_damaged: bool = False


class RunSource:
    """Gives the runs that a TensorBoard serves. May be used from many threads."""

    def __init__(self, context: base_plugin.TBContext) -> None:
        """Keeps what it needs of TensorBoard's context; its `data_provider` must not be None."""
        self._provider: provider.DataProvider = context.data_provider
        self._logdir: str | None = context.logdir
        self._multiplexer: Any = context.multiplexer
        self._foreign = bool(getattr(context.flags, "grpc_data_provider", ""))
        self._experiments: OrderedDict[str, dict[str, _State]] = OrderedDict()
        self._lock = threading.Lock()
        self._checks = ThreadPoolExecutor(1, "layerview-checks")

    def has_runs(self) -> bool:
        """Whether there is anything of ours to show."""
        listed = self._provider.list_tensors(RequestContext(), experiment_id="", plugin_name=PLUGIN_NAME)
        return bool(listed)

    def runs(self, context: RequestContext, experiment_id: str) -> list[Run]:
        """All runs as they are now, in the order of their names."""
        listed = self._list(context, experiment_id)
        names = _names(listed)
        found = (self._update(context, experiment_id, names[name], name, listed[names[name]]) for name in sorted(names))
        return [run for run in found if run is not None]

    def run(self, context: RequestContext, experiment_id: str, name: str) -> Run:
        """One run as it is now.

        Raises:
          NotLoggedError: There is no run of that name.
        """
        listed = self._list(context, experiment_id)
        names = _names(listed)
        run = None
        if name in names:
            run = self._update(context, experiment_id, names[name], name, listed[names[name]])
        if run is None:
            raise NotLoggedError(f"there is no run {name!r} that holds layers; {nearest(name, sorted(names))}.")
        return run

    def known(self, experiment_id: str, name: str) -> Run | None:
        """A run as it was when it was last read, or None if it was not: enough for what does not change any more."""
        with self._lock:
            state = self._experiments.get(experiment_id, {}).get(name)
        return state.run if state else None

    def _list(self, context: RequestContext, experiment_id: str) -> dict[str, dict[str, _Stamp]]:
        """By TensorBoard's name of the run and by tag, when it last changed."""
        listed = self._provider.list_tensors(context, experiment_id=experiment_id, plugin_name=PLUGIN_NAME) or {}
        return {
            run: {tag: (series.max_step, series.max_wall_time) for tag, series in tags.items()}
            for run, tags in listed.items()
        }

    def _update(
        self, context: RequestContext, experiment_id: str, run: str, name: str, stamps: dict[str, _Stamp]
    ) -> Run | None:
        state = self._state(experiment_id, run, name)
        with state.lock:
            if state.is_damaged and state.log.payload_folder is not None:
                # TensorBoard may have stopped reading there, so its stamps stay as they are.
                sizes = event_file.sizes(state.log.payload_folder)
                stamps = {**stamps, **{name: (size, 0.0) for name, size in sizes.items()}}
            if stamps != state.stamps or self._found_damage(state):
                # One tag at a time: all at once can pass the 256 MB that gRPC takes. Models last: they must know all
                # tensors of the steps that were read, and only grow.
                changed = [tag for tag, stamp in stamps.items() if state.stamps.get(tag) != stamp]
                changed.sort(key=lambda tag: tag.endswith("/model"))
                if state.is_damaged and state.log.payload_folder is not None:
                    messages, problems = event_file.read_folder(state.log.payload_folder)
                    state.run = state.log.update(messages, messages.keys(), problems)
                else:
                    messages = {}
                    for tag in changed:
                        messages[tag], state.problems[tag] = self._read(context, experiment_id, run, tag)
                    problems = [problem for tag in stamps for problem in state.problems.get(tag, ())]
                    state.run = state.log.update(messages, stamps.keys(), problems)
                if state.check is not None and state.checking is None:
                    state.checking = self._checks.submit(state.check.finds_damage)
                state.stamps = {tag: stamp for tag, stamp in stamps.items() if tag not in state.log.waiting}
            return state.run

    @staticmethod
    def _found_damage(state: _State) -> bool:
        """Whether the files turned out to be damaged just now; they are then read here, and not by TensorBoard."""
        if state.checking is None or not state.checking.done():
            return False
        found, state.checking = state.checking.result(), None
        is_new = found and not state.is_damaged
        state.is_damaged |= found
        return is_new

    def _read(self, context: RequestContext, experiment_id: str, run: str, tag: str) -> tuple[list[Message], list[str]]:
        """The messages of a tag, and a sentence about each that cannot be read."""
        try:
            read = self._provider.read_tensors(
                context,
                experiment_id=experiment_id,
                plugin_name=PLUGIN_NAME,
                downsample=_ALL_STEPS,
                run_tag_filter=provider.RunTagFilter(runs=[run], tags=[tag]),
            )
        except (TypeError, ValueError) as error:  # it makes numpy arrays of what lies in the files
            return [], [f"TensorBoard cannot read the tag {tag!r}: {error}"]
        messages: list[Message] = []
        problems: list[str] = []
        for datum in read.get(run, {}).get(tag, ()):
            data = datum.numpy.item() if datum.numpy.size == 1 else None
            if isinstance(data, bytes):
                messages.append(Message(datum.step, datum.wall_time, data))
            else:
                problems.append(f"the tag {tag!r} has something else than a message at step {datum.step}")
        return messages, problems

    def _state(self, experiment_id: str, run: str, name: str) -> _State:
        with self._lock:
            states = self._experiments.setdefault(experiment_id, {})
            self._experiments.move_to_end(experiment_id)
            if len(self._experiments) > _MOST_EXPERIMENTS:
                self._experiments.popitem(last=False)
            if name not in states:
                payload_folder = self._folder(run)
                folder = payload_folder.parent if payload_folder and payload_folder.name == FOLDER else payload_folder
                check = event_file.Check(payload_folder) if payload_folder else None
                states[name] = _State(FolderLog(name, folder=folder, payload_folder=payload_folder), check=check)
            return states[name]

    def _folder(self, run: str) -> Path | None:
        """The folder of a run's event file, or None if it is not on this machine.

        TensorBoard's Python loader knows its runs' folders, which is right for `--logdir_spec` too. The Rust loader
        names a run by its folder below the log folder. Any other data provider has its files elsewhere.
        """
        if self._multiplexer is not None:
            path = self._multiplexer.RunPaths().get(run)
        elif self._logdir and not self._foreign:
            path = os.path.join(os.path.expanduser(self._logdir), run)
        else:
            path = None
        return None if path is None or "://" in path else Path(os.path.abspath(path))


def _names(runs: dict[str, Any]) -> dict[str, str]:
    """TensorBoard's names of runs by ours: without the folder `layers`, unless two runs would get the same name."""
    below = f"/{FOLDER}"
    short = {run: "." if run == FOLDER else run[: -len(below)] if run.endswith(below) else run for run in runs}
    counts: dict[str, int] = {}
    for name in short.values():
        counts[name] = counts.get(name, 0) + 1
    return {name if counts[name] == 1 else run: run for run, name in short.items()}
