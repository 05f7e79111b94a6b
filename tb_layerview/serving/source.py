"""Runs as TensorBoard has them: read through its data provider, again only where they grew."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tensorboard.context import RequestContext
from tensorboard.data import provider
from tensorboard.plugins import base_plugin

from tb_layerview.format.addresses import checked, scheme_of, without_password
from tb_layerview.format.logged import NotLoggedError, nearest
from tb_layerview.format.names import EVENT_SUFFIX, FOLDER, PLUGIN_NAME
from tb_layerview.format.places import Place, place_of
from tb_layerview.reading import event_file
from tb_layerview.reading.folder_log import FolderLog, why_unreadable
from tb_layerview.reading.run import Run
from tb_layerview.reading.step_record import Message

# How many steps of a shard to ask for: all. Both of TensorBoard's loaders take this as a limit only.
_ALL_STEPS = 1 << 24
# The local providers serve the same data under any experiment id, so a few are enough to remember.
_MOST_EXPERIMENTS = 4

# How many runs are read at a time: TensorBoard's Rust loader answers each request some 45 ms late.
_READERS = 16

# How many folders of stores are looked at, at a time, and seconds from one look to the next.
_LOOKS, _BETWEEN_LOOKS = 8, 5.0

# Seconds for which a run's files wait for their check once it is read: it would hold up what is shown first by a third.
_PATIENCE = 3.0

# When a tag last changed, as TensorBoard knows it: its newest step and wall time.
_Stamp = tuple[int, float]


# What was read of a folder: messages by tag, and problems.
_Read = tuple[dict[str, list[Message]], list[str]]


@dataclasses.dataclass
class _Look:
    """What event files lie in a folder of a store, as they were when it was last looked at.

    Attributes:
      sizes: How long they are, by their names, in order.
      is_late: Whether one came that is not the last by its name, as a part that could not be sent at first: TensorBoard
        goes from each to the next, and does not look back.
    """

    is_late: bool = False
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    began: float = -math.inf  # in seconds of the monotonic clock
    looking: Future[dict[str, int]] | None = None


@dataclasses.dataclass
class _State:
    """What was read of one run, guarded by `lock`."""

    log: FolderLog
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    stamps: dict[str, _Stamp] = dataclasses.field(default_factory=dict)
    problems: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # by tag
    check: event_file.DamageCheck | None = None  # of the files, where their folder is known
    checking: Future[bool] | None = None
    reading: Future[_Read] | None = None  # of damaged files in a store
    reading_of: dict[str, _Stamp] = dataclasses.field(default_factory=dict)  # what was known of them when it began
    read_at: float = math.inf  # when it was read first, in seconds of the monotonic clock
    checked: dict[str, int] = dataclasses.field(default_factory=dict)  # how long they were when the check began
    is_damaged: bool = False  # or TensorBoard lacks some of it: the files are read here


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
        self._readers = ThreadPoolExecutor(_READERS, "layerview-readers")
        # No request waits for these: a store may give no answer, and what TensorBoard knows is shown without it.
        self._stores = ThreadPoolExecutor(_LOOKS, "layerview-stores")
        self._looks: dict[Place, _Look] = {}

    def has_runs(self) -> bool:
        """Whether there is anything of ours to show."""
        return bool(self._list(RequestContext(), ""))

    def runs(self, context: RequestContext, experiment_id: str) -> tuple[list[Run], dict[str, tuple[str, ...]]]:
        """All runs as they are now, in the order of their names.

        Returns:
          Those that can be read; and by name why, in sentences, of those that cannot.
        """
        listed = self._list(context, experiment_id)
        names = _names(listed)
        found: list[Run] = []
        unreadable: dict[str, tuple[str, ...]] = {}
        ordered = sorted(names)
        logs = self._readers.map(
            lambda name: self._update(context, experiment_id, names[name], name, listed[names[name]]), ordered
        )
        for name, log in zip(ordered, logs):
            if (run := log.run) is not None:
                found.append(run)
            elif log.problems:
                unreadable[name] = log.problems
        return found, unreadable

    def names(self, context: RequestContext, experiment_id: str) -> set[str]:
        """The names of all runs, those included that cannot be read."""
        return set(_names(self._list(context, experiment_id)))

    def run(self, context: RequestContext, experiment_id: str, name: str) -> Run:
        """One run as it is now.

        Raises:
          NotLoggedError: There is no run of that name.
        """
        listed = self._list(context, experiment_id)
        names = _names(listed)
        if name not in names:
            raise NotLoggedError(f"there is no run {name!r} that holds layers; {nearest(name, sorted(names))}.")
        log = self._update(context, experiment_id, names[name], name, listed[names[name]])
        if (found := log.run) is None:
            raise NotLoggedError(why_unreadable(name, log.problems))
        return found

    def known(self, experiment_id: str, name: str) -> Run | None:
        """A run as it was when it was last read, or None if it was not: enough for what does not change any more."""
        with self._lock:
            state = self._experiments.get(experiment_id, {}).get(name)
        return state.log.run if state else None

    def _list(self, context: RequestContext, experiment_id: str) -> dict[str, dict[str, _Stamp]]:
        """By TensorBoard's name of the run and by tag, when it last changed.

        Of a run whose first message is damaged, TensorBoard may know no tag: such ones are there by their folder.
        """
        listed = self._provider.list_tensors(context, experiment_id=experiment_id, plugin_name=PLUGIN_NAME) or {}
        found: dict[str, dict[str, _Stamp]] = {
            run: {tag: (series.max_step, series.max_wall_time) for tag, series in tags.items()}
            for run, tags in listed.items()
        }
        for run in self._provider.list_runs(context, experiment_id=experiment_id):
            folder = None if run.run_name in found else self._folder(run.run_name)
            if folder is None or folder.name != FOLDER:
                continue
            if any(name.endswith(EVENT_SUFFIX) for name in self._sizes(folder)):
                found[run.run_name] = {}
        return found

    def _update(
        self, context: RequestContext, experiment_id: str, run: str, name: str, stamps: dict[str, _Stamp]
    ) -> FolderLog:
        state = self._state(experiment_id, run, name)
        with state.lock:
            self._end_check(state)
            # TensorBoard's stamps stay as they are where it stopped reading; the files' sizes do not.
            folder = state.log.payload_folder
            sizes = {} if folder is None else self._sizes(folder)
            state.is_damaged |= folder in self._looks and self._looks[folder].is_late
            if state.is_damaged:
                stamps = {**stamps, **{file: (size, 0.0) for file, size in sizes.items()}}
            if state.is_damaged and folder is not None and not isinstance(folder, Path):
                self._read_damaged(state, stamps, folder)
            elif stamps != state.stamps:
                if state.is_damaged and folder is not None:
                    messages, problems = event_file.read_folder(folder)
                    state.log.update(messages, messages.keys(), problems)
                else:
                    changed = [tag for tag, stamp in stamps.items() if state.stamps.get(tag) != stamp]
                    problems = [p for tag in stamps if tag not in changed for p in state.problems.get(tag, ())]

                    def read(tag: str) -> list[Message]:
                        found, state.problems[tag] = self._read(context, experiment_id, run, tag)
                        problems.extend(state.problems[tag])
                        return found

                    state.log.update(_AsAsked(changed, read), stamps.keys(), problems)
                state.stamps = {tag: stamp for tag, stamp in stamps.items() if tag not in state.log.waiting}
            if state.log.run is not None:
                state.read_at = min(state.read_at, time.monotonic())
            if self._is_check_due(state, sizes):
                assert state.check is not None
                state.checked = sizes
                checks = self._checks if isinstance(folder, Path) else self._stores
                state.checking = checks.submit(state.check.finds_damage)
            return state.log

    def _sizes(self, folder: Place) -> dict[str, int]:
        """How long the event files in a folder are, by their names; in a store, as they were a moment ago."""
        if isinstance(folder, Path):
            return event_file.sizes(folder)
        with self._lock:
            look = self._looks.setdefault(folder, _Look())
            if look.looking is not None and look.looking.done():
                known, look.sizes = look.sizes, look.looking.result() or look.sizes
                look.is_late |= bool(known) and any(name < max(known) for name in look.sizes.keys() - known.keys())
                look.looking = None
            if look.looking is None and time.monotonic() - look.began >= _BETWEEN_LOOKS:
                look.began = time.monotonic()
                look.looking = self._stores.submit(event_file.sizes, folder)
            return look.sizes

    def _read_damaged(self, state: _State, stamps: dict[str, _Stamp], folder: Place) -> None:
        """Has damaged files in a store be read, and takes what was read of them."""
        if state.reading is not None and state.reading.done():
            with contextlib.suppress(OSError):  # it is asked for again
                messages, problems = state.reading.result()
                state.log.update(messages, messages.keys(), problems)
                state.stamps = {tag: of for tag, of in state.reading_of.items() if tag not in state.log.waiting}
            state.reading = None
        if state.reading is None and stamps != state.stamps:
            state.reading, state.reading_of = self._stores.submit(event_file.read_folder, folder, True), stamps

    @staticmethod
    def _is_check_due(state: _State, sizes: dict[str, int]) -> bool:
        """Whether the files should be looked at now: there is nothing to show yet, or it has been shown."""
        if state.check is None or state.checking is not None or state.is_damaged or sizes == state.checked:
            return False
        return state.log.run is None or time.monotonic() >= state.read_at + _PATIENCE

    @staticmethod
    def _end_check(state: _State) -> None:
        """Learns what the files' check has found, if it is done; damaged ones are read here, and not by TensorBoard."""
        if state.checking is not None and state.checking.done():
            try:
                state.is_damaged |= state.checking.result()
            except OSError:  # a store gives no answer: it is looked at again
                state.checked = {}
            state.checking = None

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
                check = event_file.DamageCheck(payload_folder) if payload_folder else None
                states[name] = _State(FolderLog(name, folder=folder, payload_folder=payload_folder), check=check)
            return states[name]

    def _folder(self, run: str) -> Place | None:
        """The folder of a run's event file, or None if nobody knows it.

        TensorBoard's Python loader knows its runs' folders, which is right for `--logdir_spec` too. The Rust loader
        names a run by its folder below the log folder. Any other data provider has its files elsewhere.
        """
        if self._multiplexer is not None:
            path = self._multiplexer.RunPaths().get(run)
        elif self._logdir and not self._foreign:
            path = _within(self._logdir, run)
        else:
            path = None
        if path is None or not scheme_of(path):
            return None if path is None else Path(os.path.abspath(path))
        # That nothing installed opens it is said of what is asked for in it.
        try:
            path = checked(path)
        except ValueError:
            path = without_password(path)
        # An object may be called `../x`, and what asks for it may take that for a way.
        return None if ".." in path.split("/") else place_of(path)


class _AsAsked(Mapping[str, Sequence[Message]]):
    """Messages by tag, read when they are asked for and not kept.

    A long run's are larger than what is made of them, and those of all tags can pass the 256 MB that gRPC takes. A
    model that grows between its reading and that of its steps hides these until they are read again, as they have
    changed.
    """

    def __init__(self, tags: Collection[str], read: Callable[[str], Sequence[Message]]) -> None:
        self._tags, self._read = tags, read

    def __getitem__(self, tag: str) -> Sequence[Message]:
        if tag not in self._tags:
            raise KeyError(tag)
        return self._read(tag)

    def __contains__(self, tag: object) -> bool:
        return tag in self._tags

    def __iter__(self) -> Iterator[str]:
        return iter(self._tags)

    def __len__(self) -> int:
        return len(self._tags)


def _within(logdir: str, run: str) -> str | None:
    """The folder of a run by its name, which is what leads to it from `logdir`; None where it leads out of it."""
    # In a store an object may have any name.
    if ".." in run.replace(os.sep, "/").split("/") or run.startswith("/") or os.path.isabs(run):
        return None
    if scheme_of(logdir):
        return logdir if run == "." else f"{logdir.rstrip('/')}/{run}"
    return os.path.join(os.path.expanduser(logdir), run)


def _names(runs: dict[str, Any]) -> dict[str, str]:
    """TensorBoard's names of runs by ours: without the folder `layers`, unless two runs would get the same name."""
    below = f"/{FOLDER}"
    short = {run: "." if run == FOLDER else run[: -len(below)] if run.endswith(below) else run for run in runs}
    counts: dict[str, int] = {}
    for name in short.values():
        counts[name] = counts.get(name, 0) + 1
    return {name if counts[name] == 1 else run: run for run, name in short.items()}
