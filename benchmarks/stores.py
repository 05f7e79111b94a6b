"""Measures logs in a store against logs in a folder. Writes docs/reports/object_stores.md.

The store is moto's server in a process of its own, which waits 30 ms before each answer. `make bench-stores`, or
`python -m benchmarks.stores`; `--only GROUP` measures a group anew, what was found of the others is kept in
build/stores.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from benchmarks.measuring import Row, duration_row, in_words, line, seconds
from tb_layerview import __version__
from tb_layerview.format.names import payload_start

ROOT = Path(__file__).resolve().parent.parent
HELPERS = ROOT / "tests" / "helpers"
sys.path.insert(0, str(HELPERS))  # the real TensorBoard, Chromium and store of the tests

from s3_server import BUCKET, variables  # noqa: E402
from serving import TensorBoardServer, run_tensorboard  # noqa: E402

TABLE, FOUND = ROOT / "docs" / "reports" / "object_stores.md", ROOT / "build" / "stores"
PYTHON = str(ROOT / ".venv-stores" / "bin" / "python")
DELAY = 0.03
_TENSORS, _STEPS = 100, 1000
_TENSORBOARD = "TensorBoard's own histograms in the same bucket"


class Store:
    """A store in a process of its own; to be closed."""

    def __init__(self) -> None:
        command = [PYTHON, str(HELPERS / "s3_server.py"), str(DELAY)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin and self._process.stdout
        self._into, self._out = self._process.stdin, self._process.stdout
        self.url = self._out.readline().strip()

    def said(self, what: str = "") -> dict[str, int]:
        """Tells it something; returns what it has counted so far."""
        print(what, file=self._into, flush=True)
        counted: dict[str, int] = json.loads(self._out.readline())
        return counted

    @contextlib.contextmanager
    def counted(self) -> Iterator[dict[str, int]]:
        """What comes within the block, once it has ended."""
        before, found = self.said(), dict[str, int]()
        yield found
        found.update({name: count - before[name] for name, count in self.said().items()})

    def close(self) -> None:
        self._into.close()
        self._process.wait(30)


@dataclasses.dataclass(frozen=True)
class Given:
    """What each group is given.

    Attributes:
      store: The store.
      name: What its logs are called, as nobody else's are.
      seconds: How long trainings last.
    """

    store: Store
    name: str
    seconds: float

    @property
    def address(self) -> str:
        return f"s3://{BUCKET}/{self.name}"


def trainings(given: Given) -> list[Row]:
    """What logging costs a training of Keras on the default schedule."""
    from benchmarks.in_turn import in_turn, turns_row
    from tb_layerview import LayerReader

    command = [sys.executable, "-m", "benchmarks.callback_training"]
    bare = [*command, "bare"]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for where, place in (("a folder", f"{folder}/run"), ("S3", given.address)):
            with given.store.counted() as counted:
                pairs = in_turn([*command, place], bare, given.seconds)
            what = f"a step of a Keras training of {given.seconds:.0f} s on the default schedule, logged to {where}"
            found.append(turns_row(what, "bare training, in turns of 5 s", pairs, 1.02))
            run = LayerReader(place).run()
            if (cost := run.cost) is not None:
                found.append(
                    Row(
                        "of that, what its log says that logging has taken, with what sending took beside it",
                        "the training's own time",
                        f"{100 * cost.share:.2f} %",
                        "at most 2 %",
                        cost.share <= 0.02,
                    )
                )
            if counted["requests"]:
                words = f"{counted['requests']}, {counted['put'] / 1e6:.1f} MB"
                found.append(Row("requests of two such trainings, one after the other, their ends included", "", words))
        pairs = in_turn([*command, f"{given.address}-again"], [*command, f"{folder}/again"], given.seconds)
        what = f"a step of a Keras training of {given.seconds:.0f} s on the default schedule, logged to S3"
        found.append(turns_row(what, "the same, logged to a folder, in turns of 5 s", pairs))
    return found


def written(place: str, how: str, seconds: float, pause: float) -> subprocess.Popen[str]:
    """A process that logs; see tests/helpers/program_store_writer.py."""
    command = [PYTHON, str(HELPERS / "program_store_writer.py"), how, place, str(seconds), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def requests(given: Given) -> list[Row]:
    """What a logged step takes of requests, bytes and time: ours, and TensorBoard's histograms of the same arrays."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, how, place in (
            ("`LayerWriter`, to a folder", "ours", f"{folder}/run"),
            ("`LayerWriter`, to S3", "ours", f"{given.address}/ours"),
            (f"{_TENSORBOARD}, sent every 30 s", "histograms", f"{given.address}/histograms"),
        ):
            with given.store.counted() as counted:
                said = json.loads(written(place, how, given.seconds, 0.25).communicate()[0].splitlines()[-1])
            steps = said["steps"]
            nbytes = counted["put"] or sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())
            words = f"{counted['requests'] / steps:.3f} requests, {nbytes / steps / 1e3:,.1f} KB; "
            words += (
                f"{1e3 * said['processor'] / steps:.1f} ms of a processor, {1e3 * said['waited'] / steps:.1f} ms waited"
            )
            found.append(Row(name, f"each of {steps} steps of {_TENSORS} arrays, 4 a second", words))
    return found


def _listed(server: TensorBoardServer, how: str, run: str) -> set[int]:
    """The steps of a run that TensorBoard shows."""
    if how == "ours":
        runs = {one["run"] for one in json.loads(server.get("/data/plugin/layerview/runs").body)["runs"]}
        if run not in runs:
            return set()
        return set(json.loads(server.get(f"/data/plugin/layerview/steps?{urlencode({'run': run})}").body)["steps"])
    asked = urlencode({"run": run, "tag": "block_0/layer_0"})
    reply = server.get(f"/data/plugin/histograms/histograms?{asked}")
    if reply.status != 200:
        return set()
    return set(range(1 + max(step for _, step, _ in json.loads(reply.body))))  # it answers with 51 of them at most


def screen(given: Given) -> list[Row]:
    """Seconds from `write` returning until TensorBoard lists the step."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, how, logdir in (
            ("a step of `LayerWriter`, to a folder", "ours", folder),
            ("a step of `LayerWriter`, to S3", "ours", f"{given.address}/screen"),
            (f"{_TENSORBOARD}, sent every 30 s", "histograms", f"{given.address}/histograms-screen"),
        ):
            with run_tensorboard(
                logdir, "--reload_interval=5", "--samples_per_plugin=histograms=10000", python=PYTHON
            ) as server:
                lags = _lags(server, how, logdir, max(150.0, given.seconds))
            for part, those in (("first minute", lags[:60]), ("later", lags[60:])):
                came = [lag for lag in those if lag is not None]
                words = f"{statistics.median(came):.1f} s, {max(came):.1f} s at most" if came else "none came"
                if len(came) < len(those):
                    words += f"; {len(those) - len(came)} of {len(those)} were not within a minute of the end"
                found.append(
                    Row(f"{name}: until it is listed, {part}", "`--reload_interval=5`, a step a second", words)
                )
    return found


def _lags(server: TensorBoardServer, how: str, logdir: str, seconds: float) -> list[float | None]:
    """For each step, in order, how long after it was written it was listed; None if it was not."""
    process = written(f"{logdir}/run", how, seconds, 1.0)
    at: dict[int, float] = {}

    def read() -> None:
        assert process.stdout
        for said in process.stdout:
            if not said.startswith("{"):
                step, when = said.split()
                at[int(step)] = float(when)

    reading = threading.Thread(target=read)
    reading.start()
    came: dict[int, float] = {}
    end = time.monotonic() + seconds + 60
    while time.monotonic() < end and (reading.is_alive() or set(at) - set(came)):
        listed, now = _listed(server, how, "run"), time.time()
        for step in listed & set(at):
            came.setdefault(step, now)
        time.sleep(0.2)
    process.wait()
    return [max(0.0, came[step] - at[step]) if step in came else None for step in sorted(at)]


def one_tensor(given: Given) -> list[Row]:
    """One tensor at one step, and the bare request."""
    import fsspec

    from tb_layerview import Keep, LayerReader, LayerWriter

    rng, found = np.random.default_rng(1), []
    filesystem = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    for what, shape, pause in (
        ("4 KB", (32, 32), 0.0),
        ("1 MB", (512, 512), 0.0),
        ("6 s after the last one, 4 KB", (32, 32), 6.0),
    ):
        place, steps = f"{given.address}/tensor-{shape[0]}-{pause:.0f}", 10 if pause else 42
        with LayerWriter(place, keep=Keep(weights=2 << 20, precision="float32")) as writer:
            for step in range(steps):
                writer.write(step, {"a": rng.normal(size=shape).astype(np.float32)}, "weight")
        run = LayerReader(place).run()
        listed = filesystem.ls(f"{place}/layers", detail=True)
        begins = {payload_start(one["name"].rpartition("/")[2], run.writers[-1]): one["name"] for one in listed}
        ours, bare, asked = [], [], 0
        for step in range(steps):
            piece = run.piece("values", run.tensors[0], step)
            assert piece is not None
            time.sleep(pause)
            with given.store.counted() as counted:
                ours.append(seconds(functools.partial(run.payload, "values", run.tensors[0], step)))
            asked += counted["requests"]
            begin = max(each for each in begins if each is not None and each <= piece.offset)
            start = piece.offset - begin
            end = start + piece.length
            bare.append(seconds(functools.partial(filesystem.cat_file, begins[begin], start=start, end=end)))
        ratio = statistics.median(ours[2:]) / statistics.median(bare[2:])
        words = in_words(ratio, [one / other for one, other in zip(ours[2:], bare[2:])])
        words += f"; {1e3 * statistics.median(ours[2:]):.1f} ms to {1e3 * statistics.median(bare[2:]):.1f} ms; "
        words += f"{asked} requests for {steps}"
        against = "one request of the same bytes by s3fs"
        found.append(Row(f"one tensor at one step, {what} of values", against, words, "at most 1.3", ratio <= 1.3))
    return found


def first_map(given: Given) -> list[Row]:
    """What a map of a long run takes: read anew, and on the screen."""
    from playwright.sync_api import sync_playwright

    from benchmarks import ui
    from tb_layerview import LayerReader
    from tb_layerview.format import remote_storage

    with tempfile.TemporaryDirectory() as folder:
        places = (folder, f"{given.address}/map")
        for place in places:
            ui.steps_times_tensors(f"{place}/run", _STEPS, _TENSORS)
        objects = [path for path in _all_files(places[1]) if path.endswith((".payload", ".layerview"))]

        def read(place: str) -> None:
            remote_storage._store.cache_clear()
            run = LayerReader(place).run("run")
            assert run.statistics("rms").shape == (_TENSORS, _STEPS)

        with given.store.counted() as counted:
            read(places[1])
        here, there = ([seconds(functools.partial(read, place)) for _ in range(7)] for place in places)
        most = 3 * statistics.median(here) + 20 * DELAY
        size = f"{_STEPS:,} steps × {_TENSORS} tensors"
        row = duration_row(
            f"the statistics of {size} by `LayerReader`, as `LayerWriter` has put them, in {len(objects)} objects",
            f"from a folder: {1e3 * statistics.median(here):.0f} ms",
            there,
            most,
        )
        goal = "at most 3 × the folder + 20 × 30 ms = {:.0f} ms"
        measured = f"{row.measured}; {counted['requests']} requests"
        found = [dataclasses.replace(row, measured=measured, goal=goal.format(1e3 * most))]
        times = []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=ui.find_chromium(), args=["--no-sandbox", "--disable-gpu"]
            )
            for place in places:
                with run_tensorboard(place, "--reload_interval=5", python=PYTHON) as server:
                    while len(_listed(server, "ours", "run")) < _STEPS:
                        time.sleep(1)
                    ui.first_paint(browser, server, "map")
                    times.append([ui.first_paint(browser, server, "map") / 1e3 for _ in range(7)])
            browser.close()
        most = 3 * statistics.median(times[0]) + 20 * DELAY
        row = duration_row(
            f"first map on the screen after opening the tab, {size}",
            f"from a folder: {1e3 * statistics.median(times[0]):.0f} ms",
            times[1],
            most,
        )
        return [*found, dataclasses.replace(row, goal=goal.format(1e3 * most))]


def _all_files(address: str) -> list[str]:
    import fsspec

    filesystem = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    found: list[str] = filesystem.find(address)
    return found


def faults(given: Given) -> list[Row]:
    """What is lost when a process is killed, requests fail or the store is gone: see tests/helpers/store_faults.py."""
    del given
    found = []
    for name in ("kills", "kills_in_full", "failing", "gone"):
        command = [PYTHON, str(HELPERS / "store_faults.py"), name]
        said = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        )
        found.append(Row(said["what"], said["against"], said["found"], said["goal"], said["is_reached"]))
    command = [sys.executable, str(HELPERS / "store_faults.py"), "training"]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    return [*found, Row(said["what"], said["against"], said["found"], said["goal"], said["is_reached"])]


GROUPS: dict[str, tuple[Callable[[Given], list[Row]], str]] = {
    "trainings": (trainings, "Share of the training's time"),
    "requests": (requests, "Requests and bytes a logged step"),
    "screen": (screen, "Seconds until a step is on the screen"),
    "tensor": (one_tensor, "One tensor at one step"),
    "map": (first_map, "First map"),
    "faults": (faults, "Faults"),
}


def main() -> None:
    """Measures, prints the rows, and writes docs/reports/object_stores.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stores", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="measure this group; may be repeated")
    parser.add_argument("--seconds", type=float, default=75.0, help="how long trainings last, 60 at least")
    arguments = parser.parse_args()
    FOUND.mkdir(parents=True, exist_ok=True)
    store = Store()
    os.environ.update(variables(store.url))
    with contextlib.closing(store), tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # where what a store does not take is kept
        for group in arguments.only or GROUPS:
            rows = GROUPS[group][0](Given(store, f"{group}-{os.getpid()}", arguments.seconds))
            (FOUND / f"{group}.json").write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
            print("\n".join(map(line, rows)), flush=True)
    TABLE.write_text(_document(), encoding="utf-8")
    print(f"written: {TABLE.relative_to(ROOT)}")


def _document() -> str:
    lines = [
        "# Logs in object stores",
        "",
        f"Written by `make bench-stores`: a log in S3 against one in a folder. {os.cpu_count()} cores, tb_layerview",
        f"{__version__}; the store is moto's server on the same cores, {1e3 * DELAY:.0f} ms before each answer. In",
        "brackets the spread without the outermost.",
    ]
    for group, (_, title) in GROUPS.items():
        path = FOUND / f"{group}.json"
        if path.exists():
            lines += ["", f"## {title}", "| what | against | measured | to reach |", "| --- | --- | --- | --- |"]
            lines += [line(Row(**row)) for row in json.loads(path.read_text())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
