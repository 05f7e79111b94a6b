"""A training of a module of Flax NNX is the same to the last bit when it is logged, in all that it leaves behind."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnx_networks import STEPS, TRAININGS, Training, cross_entropy, trained
from places import environment

import tb_layerview as lv
from tb_layerview.format.model import KINDS

EVERYTHING: dict[str, Any] = {"schedule": 1, "select": lv.Select(kinds=KINDS), "check": lv.Check(replay=True)}


def logged(training: Training, folder: Path) -> list[Any]:
    """Trains, logs each step, and keeps its batch for a replay."""
    recorders = []

    def log(model: Any, optimizers: list[Any]) -> Any:
        probe = training.x[0], np.zeros(len(training.x[0]), int)
        recorder = lv.LayerRecorder(model, folder, probe, loss=cross_entropy, optimizer=optimizers, **EVERYTHING)
        recorders.append(recorder)
        recorder.record(0)
        return lambda step, loss, batch: recorder.record(step, {"loss": loss}, batch=batch)

    found = trained(training, log)
    recorders[0].close()
    return found


@pytest.mark.core("cnn", "transformer", "shared", "two optimizers, eager", "stacked", "donated")
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_is_the_same_to_the_last_bit_when_it_is_logged(name: str, tmp_path: Path) -> None:
    bare = trained(TRAININGS[name])
    of_python, of_numpy = random.getstate(), np.random.get_state()[1].tobytes()
    found = logged(TRAININGS[name], tmp_path)
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == (of_python, of_numpy)
    assert len(bare) == len(found)
    for one, other in zip(bare, found):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    run = lv.LayerReader(tmp_path).run()
    assert run.steps.tolist() == list(range(STEPS + 1))
    assert {tensor.kind for tensor in run.model.tensors} == set(KINDS)
    assert not any("pass fails" in note for note in run.model.notes), run.model.notes


IMPORTS = """
import sys
import numpy as np
import tb_layerview as lv
with lv.LayerWriter("run") as writer:
    writer.write_tree(0, {"a": {"b": np.ones(2)}})
try:
    lv.LayerRecorder(object(), "other", probe=np.ones((2, 2)))
except TypeError as error:
    print(str(error).partition(" <")[0])
print(sorted({"flax", "jax", "optax"} & {*sys.modules}))
from flax import nnx
print(sorted({"flax", "jax", "optax"} & {*sys.modules}))  # that can be seen
"""


def test_nothing_of_flax_or_jax_is_imported_for_others(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    said = "model must be a Keras model, a torch.nn.Module or a flax.nnx.Module, not"
    assert done.stdout.splitlines() == [said, "[]", "['flax', 'jax', 'optax']"], done.stderr
