"""Models of a backend that cannot be logged are refused before anything runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from places import environment

tf = pytest.importorskip("tensorflow")

KERAS_3 = hasattr(tf.keras, "version") and tf.keras.version() >= "3"
# Keras' numpy backend is made of parts of that of JAX.
BACKENDS = {"numpy": "jax"}
CALLS = {
    "fit": "model.fit(x, y, verbose=0, callbacks=[lv.LayerViewCallback(folder)])",
    "evaluate": "model.evaluate(x, y, verbose=0, callbacks=[lv.LayerViewCallback(folder)])",
    "predict": "model.predict(x, verbose=0, callbacks=[lv.LayerViewCallback(folder)])",
    "record": "lv.LayerRecorder(model, folder, (x, y))",
}
PROGRAM = """
import sys
import numpy as np
import keras
import tb_layerview as lv

folder = sys.argv[1]
x, y = np.ones((16, 6), np.float32), np.ones((16, 3), np.float32)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
model.compile("sgd", "mse")
before = model.get_weights()
for call in sys.argv[2:]:
    functions = model.train_function, model.test_function, model.predict_function
    try:
        exec(call)
    except ValueError as error:
        print(error)
    else:
        raise SystemExit(f"{call} went through")
    assert functions == (model.train_function, model.test_function, model.predict_function)
assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights())), "a step was trained"
with lv.LayerWriter(folder) as writer:  # the way out
    writer.write(0, {"dense": model.layers[0].kernel.value}, kind="weight")
assert np.array_equal(lv.LayerReader(folder).run().values(lv.LayerReader(folder).run().tensor("dense"), 0).array,
                      model.get_weights()[0].astype(np.float16))
"""


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 has no backend but TensorFlow")
@pytest.mark.parametrize("backend", BACKENDS)
def test_another_backend_of_keras_is_refused_with_the_way_out_before_anything_runs(
    backend: str, tmp_path: Path
) -> None:
    if importlib.util.find_spec(BACKENDS[backend]) is None:
        pytest.skip(f"{BACKENDS[backend]} is not installed")
    calls = [call for name, call in CALLS.items() if not (backend == "numpy" and name == "fit")]  # it cannot train
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *calls],
        env=environment(needs=[BACKENDS[backend]], KERAS_BACKEND=backend),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines() == len(calls) * [
        f"Keras computes this model with {backend}, and only what tensorflow, jax, torch compute can be logged from "
        "within. Set KERAS_BACKEND before Keras is imported, or log arrays with LayerWriter."
    ]
