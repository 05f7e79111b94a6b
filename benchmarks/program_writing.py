"""Steps without values through a log's own thread, of the tb_layerview that is on the path, which may be an older one.

Reads `units` or `no units` from its input, line by line, and answers with the processor seconds of `STEPS` steps of
`TENSORS` tensors: summaries, byte plan, payloads, messages, files, rules. What is written is measured before.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

# An editable install answers for every module below the package's name that the one on the path lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]

from tb_layerview import Keep, Schedule  # noqa: E402

LAYERS, STEPS = 25, 50
UNITS, ROWS = 242, (4, 32, 256, 2048)
NAMES = {"activation": "output", "weight": "kernel", "gradient": "kernel", "update": "kernel"}
SCALES = {"activation": 1.0, "weight": 0.05, "gradient": 1e-3, "update": 1e-4}
TENSORS = LAYERS * len(NAMES)


def of_either(*places: str) -> Any:
    """What stands at the first of these places that there is, each as `module:name`."""
    for place in places:
        module, name = place.split(":")
        try:
            return getattr(importlib.import_module(f"tb_layerview.{module}"), name)
        except ImportError:
            continue
    raise ImportError(f"there is none of {', '.join(places)}")


def described() -> Any:
    """Dense layers, each with its activation, weight, gradient and update."""
    layer, tensor, model = (of_either(f"format.model:{name}", f"model:{name}") for name in ("Layer", "Tensor", "Model"))
    return model(
        tuple(layer(f"dense_{i}", "Dense", (i - 1,) if i else ()) for i in range(LAYERS)),
        tuple(
            tensor(i, kind, name, (ROWS[i % len(ROWS)], UNITS), "float32", 0, ("example", "unit"))
            for i in range(LAYERS)
            for kind, name in NAMES.items()
        ),
    )


def measured(units: bool) -> dict[int, Any]:
    """One measurement of each tensor: of activations that a ReLU has passed, and of what is normally distributed."""
    measure, random = of_either("measure.host:measure", "digest:measure"), np.random.default_rng(0)
    found = {}
    for index, tensor in enumerate(described().tensors):
        array = SCALES[tensor.kind] * random.normal(size=tensor.shape)
        array = np.maximum(array, 0) if tensor.kind == "activation" else array
        found[index] = measure(array.astype(np.float32), units=units)
    return found


def writer(folder: str, units: bool) -> Callable[[int], None]:
    """Writes so many more steps to a log, and returns when they are written."""
    log = of_either("writing.training_log:TrainingLog", "session:Session")(
        folder, Schedule(every=1), Keep(units=units, max_bytes=10**10)
    )
    log.describe(described())
    log.begin(0)
    of_step, number, scalars = measured(units), itertools.count(), {"loss": 1.0}
    try:
        step, ready = of_either("writing.step:Step"), of_either("writing.step:Measured")(of_step)
    except ImportError:
        return lambda count: [log.write(next(number), lambda: of_step, scalars) for _ in range(count)] and log.flush()
    return lambda count: [log.write(step(next(number), (ready,), scalars)) for _ in range(count)] and log.flush()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        writers = {what: writer(os.path.join(folder, what), what == "units") for what in ("units", "no units")}
        for line in sys.stdin:
            began = time.process_time()
            writers[line.strip()](STEPS)
            print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    main()
