"""What is lost when a process that logs to a store is killed, when requests fail and when the store is gone.

`python store_faults.py kills|kills_in_full|failing|gone|training` prints what it found as JSON; `training` needs
TensorFlow, the others moto.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from places import HELPERS, ROOT, environment
from s3_server import BUCKET, S3, served, variables

from tb_layerview import Keep, LayerReader
from tb_layerview.format import remote_storage
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.reading.run import Run
from tb_layerview.writing.objects import OLDEST

#: Seconds that a processor may not have had for a process, or for the clock of another one.
_SLACK = 5.0
_DELAY = 0.03
_SHAPE = (40, 30)

#: Logs until a step, if it is not killed before, and prints each step, when it was written, and how long that took.
_LOGS = """
import sys, time
import numpy as np
from tb_layerview import Keep, LayerWriter
from tb_layerview.format import remote_storage
from tb_layerview.writing import objects, outbox
address, steps, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
objects.CLOSING = 600.0  # a busy machine takes its time
if sys.argv[4:]:
    oldest, limit = map(float, sys.argv[4:])
    objects._FIRST = objects.OLDEST = oldest
    remote_storage.WRITING = outbox.WRITING = limit
    outbox._SOON, outbox._LATE = 0.1, 0.4
with LayerWriter(address, keep=Keep(precision="float32")) as writer:
    for step in range(steps):
        began = time.monotonic()
        writer.write(step, {"a": np.full((40, 30), step, np.float32)}, "weight")
        print(step, time.time(), time.monotonic() - began, flush=True)
        time.sleep(pause)
"""


@dataclasses.dataclass(frozen=True)
class Found:
    """A row of the report.

    Attributes:
      what: What was done.
      against: To what.
      found: What became of it.
      goal: What should have.
      is_reached: Whether it has.
    """

    what: str
    against: str
    found: str
    goal: str
    is_reached: bool


@contextlib.contextmanager
def store(delay: float = _DELAY) -> Iterator[S3]:
    """A store with an empty bucket, and an empty cache."""
    import fsspec

    with served() as s3, tempfile.TemporaryDirectory() as cache:
        os.environ.update(variables(s3.url), XDG_CACHE_HOME=cache)
        remote_storage._store.cache_clear()
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
        s3.requests.clear()
        s3.delay = delay
        yield s3


def unsent() -> list[Path]:
    """The objects that are kept on this machine."""
    cache = Path(os.environ["XDG_CACHE_HOME"])
    return [path for path in cache.rglob("0*") if path.is_file()]


class Logging:
    """A process that logs, and what it has said."""

    def __init__(self, address: str, steps: int, pause: float, *ages: float) -> None:
        command = [sys.executable, "-c", _LOGS, address, *map(str, (steps, pause, *ages))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        assert self.process.stdout
        self._first = self.process.stdout.readline()

    def ended(self) -> list[tuple[int, float, float]]:
        """Each step, when it was written, and how long that took, once the process has ended."""
        lines = (self._first + self.process.communicate()[0]).splitlines()
        found = [line.split() for line in lines]
        return [(int(each[0]), float(each[1]), float(each[2])) for each in found if len(each) == 3]


def check_whole(run: Run, every: int = 1) -> int:
    """Whether a run holds what was written: all steps from 0 on up to some step; returns how many."""
    steps = run.steps.tolist()
    assert not run.problems, run.problems
    assert steps == list(range(len(steps))), steps
    for step in steps[::every]:
        values = run.values(run.tensors[0], step).array
        assert values.shape == _SHAPE and (values == step).all(), step
        assert run.histogram(run.tensors[0], step).counts.sum() == math.prod(_SHAPE), step
    return len(steps)


def steps_of(address: str, every: int = 7) -> int:
    """How many steps a log holds, all of them whole."""
    remote_storage._store.cache_clear()
    try:
        return check_whole(LayerReader(address).run(), every)
    except NotLoggedError as error:  # it was killed before
        if "holds no" in str(error) or "has not said yet what it logs" in str(error):
            return 0
        raise


def lost(said: Sequence[tuple[int, float, float]], steps: int, killed: float) -> float:
    """How old the oldest step was that is lost, in seconds; 0 if none is."""
    return max((killed - at for step, at, _ in said if step >= steps), default=0.0)


def kills(count: int = 50, seed: int = 0, oldest: float = 0.3, limit: float = 1.0) -> Found:
    """Kills writers, one after the other, a third of them while the store takes nothing."""
    chance = random.Random(seed)
    worst, all_said, kept = 0.0, [], 0
    with store() as s3:
        for i in range(count):
            logging = Logging(f"{s3.address}/{i:02d}", 10**6, 0.004, oldest, limit)
            time.sleep(chance.uniform(0.0, 4 * oldest))
            if i % 3 == 0:
                s3.refuse = lambda method: 503 if method == "PUT" else None
                time.sleep(chance.uniform(0.0, 3 * (oldest + limit)))
            killed = time.time()
            logging.process.kill()
            said = logging.ended()
            s3.accepts()
            all_said.append((said, killed))
            kept += bool(unsent())
            steps_of(f"{s3.address}/{i:02d}", 50)  # whole, also before what is kept was sent
        end = time.monotonic() + 120
        last = Logging(f"{s3.address}/last", 10**6, 0.05, oldest, limit)
        while unsent():
            assert time.monotonic() < end, unsent()
            time.sleep(0.2)
        last.process.kill()
        last.ended()
        total = 0
        for i, (said, killed) in enumerate(all_said):
            steps = steps_of(f"{s3.address}/{i:02d}")
            total += steps
            worst = max(worst, lost(said, steps, killed))
    most = oldest + limit
    return Found(
        f"{count} writers killed at random, a third of them while the store takes nothing",
        f"parts of {oldest:g} s, requests of {limit:g} s at most",
        f"the oldest step that is lost was {worst:.2f} s old; {total:,} steps are there, all whole; what {kept} times "
        "lay here afterwards was sent by the next",
        f"at most {most:g} s, and {_SLACK:g} s for the machine",
        kept > count // 10 and worst <= most + _SLACK,
    )


def kills_in_full(seconds: Sequence[float] = (1.0, 11.0, 34.0, 58.0, 85.0)) -> Found:
    """Kills writers whose parts are as old as they are by themselves."""
    ages, total = [], 0
    with store() as s3:
        began = time.monotonic()
        writers = [Logging(f"{s3.address}/{i}", 10**6, 0.05) for i in range(len(seconds))]
        for i, (writer, until) in enumerate(zip(writers, seconds)):
            time.sleep(max(0.0, began + until - time.monotonic()))
            killed = time.time()
            writer.process.kill()
            said = writer.ended()
            steps = steps_of(f"{s3.address}/{i}")
            total += steps
            ages.append(lost(said, steps, killed))
    return Found(
        f"{len(seconds)} writers killed, {', '.join(f'{each:g}' for each in seconds)} s after they began",
        f"parts of 2, 4, 8, 16 and then {OLDEST:g} s",
        f"the oldest step that is lost was {', '.join(f'{age:.1f}' for age in ages)} s old; "
        f"{total:,} steps are there, all whole",
        f"at most {OLDEST:g} s, and the time of a request",
        max(ages) <= OLDEST + _SLACK,
    )


def failing(of: int = 1000, failed: int = 200, seed: int = 0) -> Found:
    """Fails some of so many requests at random: half of them alone, which s3fs tries again, half ten in a row."""
    chance = random.Random(seed)
    rows: list[list[int | None]] = [[503] * 10] * (failed // 20) + [[500]] * (failed - failed // 20 * 10)
    rows += [[None]] * (of - failed)
    chance.shuffle(rows)
    fates = [fate for row in rows for fate in row]
    with store(0.0) as s3:
        coming = iter(fates)
        lock = threading.Lock()

        def refuse(method: str) -> int | None:
            with lock:
                return next(coming, None) if method == "PUT" else None

        s3.refuse = refuse
        steps = 1500
        said = Logging(f"{s3.address}/run", steps, 0.02, 0.02, 10.0).ended()
        puts = sum(method == "PUT" for method, _, _ in s3.requests)
        there = steps_of(f"{s3.address}/run")
        slowest = max(each for _, _, each in said)
        run = LayerReader(f"{s3.address}/run").run()
        return Found(
            f"{sum(fate is not None for fate in fates)} of {of} requests failed at random, half of them ten in a row",
            f"{steps:,} steps, in parts of 20 ms, {puts:,} requests to put",
            f"{steps - there} steps lost, {len(unsent())} objects left here; slowest `write` {1e3 * slowest:.0f} ms",
            "nothing lost",
            there == steps and run.ended and not unsent() and puts >= of and len(said) == steps,
        )


def gone(seconds: float = 60.0) -> Found:
    """The store refuses connections for so long."""
    with store() as s3:
        steps = int(20 * (seconds + 20))
        logging = Logging(f"{s3.address}/run", steps, 0.05)
        time.sleep(10)
        s3.stop()
        time.sleep(seconds)
        kept = len(unsent())
        s3.start()
        said = logging.ended()
        there = steps_of(f"{s3.address}/run")
        slowest = max(each for _, _, each in said)
        return Found(
            f"a store that refuses connections for {seconds:g} s",
            f"{steps:,} steps, 20 a second",
            f"{steps - there} steps lost, {kept} objects were kept meanwhile, {len(unsent())} are left; "
            f"slowest `write` {1e3 * slowest:.0f} ms",
            "nothing lost",
            there == steps and kept > 0 and not unsent() and LayerReader(f"{s3.address}/run").run().ended,
        )


def fitted(logdir: str | None, pause: float = 0.0) -> tuple[list[float], float]:
    """The losses of each step of a training, and seconds of the slowest of them."""
    import tensorflow as tf

    from tb_layerview import LayerViewCallback

    keras = tf.keras
    losses: list[float] = []
    times: list[float] = []

    class Each(keras.callbacks.Callback):  # type: ignore[misc,name-defined,unused-ignore]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            times.append(time.monotonic())

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch
            losses.append(float(logs["loss"]))
            time.sleep(pause)

    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(8000, 8)).astype(np.float32)
    layers = [keras.layers.Dense(16, "relu", name="a"), keras.layers.Dense(1, "sigmoid", name="b")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    logging = [LayerViewCallback(logdir, schedule=5, keep=Keep(precision="float32"))] if logdir else []
    model.fit(x, (x[:, :1] > 0) * 1.0, batch_size=8, shuffle=False, verbose=0, callbacks=[*logging, Each()])
    return losses, float(np.diff(times[20:]).max())


def training(seconds: float = 60.0) -> Found:
    """A Keras training of 1,000 steps whose store is gone for so long."""
    pause = (seconds + 20) / 1000
    command = [str(ROOT / ".venv-stores" / "bin" / "python"), str(HELPERS / "s3_server.py"), str(_DELAY)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    into, out = process.stdin, process.stdout
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(variables(out.readline().strip()), XDG_CACHE_HOME=f"{folder}/cache")
        remote_storage._store.cache_clear()

        def tell(what: str) -> None:
            print(what, file=into, flush=True)
            out.readline()

        try:
            bare, _ = fitted(None)
            local, slowest = fitted(f"{folder}/run", pause)
            timers = [threading.Timer(10.0, tell, ["stop"]), threading.Timer(10.0 + seconds, tell, ["start"])]
            for timer in timers:
                timer.start()
            there, slowest_there = fitted(f"s3://{BUCKET}/run", pause)
            for timer in timers:
                timer.join()
            one, other = LayerReader(f"{folder}/run").run(), LayerReader(f"s3://{BUCKET}/run").run()
            is_same = np.array_equal(one.statistics("rms"), other.statistics("rms"), equal_nan=True)
        finally:
            into.close()
            process.wait(30)
        is_same = is_same and one.steps.tolist() == other.steps.tolist() and other.ended and not other.problems
        return Found(
            f"the same with a Keras training of {len(bare):,} steps, every fifth logged",
            "the training without logging, and its log in a folder",
            f"losses {'the same to the last bit' if bare == local == there else 'DIFFER'}, "
            f"logs {'the same' if is_same else 'DIFFER'}; slowest step {1e3 * slowest_there:.0f} ms, to the folder "
            f"{1e3 * slowest:.0f} ms, of which {1e3 * pause:.0f} ms asleep",
            "the same losses",
            bare == local == there and bool(is_same),
        )


FAULTS: dict[str, Callable[[], Found]] = {
    "kills": kills,
    "kills_in_full": kills_in_full,
    "failing": failing,
    "gone": gone,
    "training": training,
}

if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(FAULTS[sys.argv[1]]())))
