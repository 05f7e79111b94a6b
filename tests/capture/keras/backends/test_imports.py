"""Where one framework is installed nothing of the others is loaded, nor asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from keras_models import BACKEND
from places import environment

from tb_layerview import LayerReader

OTHERS = [name for name in ("tensorflow", "tf_keras", "jax", "torch") if name != BACKEND]
#: What must not be asked for, even where somebody catches that it is not there; Keras itself asks for some.
OURS = """
import builtins, sys
asked, import_, others = [], builtins.__import__, set(sys.argv[1:])
def watched(name, globals=None, *arguments, **more):
    if name.partition(".")[0] in others and str((globals or {}).get("__name__")).startswith("tb_layerview"):
        asked.append(name)
    return import_(name, globals, *arguments, **more)
builtins.__import__ = watched
"""
TRAINING = """
import keras, numpy, tb_layerview as lv
for name in others:
    sys.modules.setdefault(name, None)  # importing it raises an error
inputs = keras.Input((6,))
model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(5, activation="tanh")(inputs)))
model.compile("adam", "mse")
x, y = numpy.ones((24, 6), "float32"), numpy.ones((24, 3), "float32")
model.fit(x, y, batch_size=8, verbose=0, callbacks=[lv.LayerViewCallback("log", schedule=1)])
model.evaluate(x, y, verbose=0, callbacks=[lv.LayerViewCallback("log")])
with lv.LayerRecorder(model, "loop", (x, y)) as recorder:
    recorder.record(0)
"""
CHECK = """
found = [name for name in others if sys.modules.get(name) is not None]
assert not asked and not found, (asked, found)
"""


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *OTHERS]
    variables = environment(needs=[BACKEND], KERAS_BACKEND=BACKEND, PYTHONWARNINGS="ignore")
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def test_a_training_is_logged_in_a_process_that_has_no_other_framework(tmp_path: Path) -> None:
    ended = run(OURS + TRAINING + CHECK, tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert list(LayerReader(tmp_path / "log").run().steps) == [0, 1, 2, 3]
    assert list(LayerReader(tmp_path / "loop").run().steps) == [0]


def test_importing_the_package_loads_no_framework(tmp_path: Path) -> None:
    words = f"import sys, tb_layerview as lv; print([n for n in ('keras', {BACKEND!r}) if n in sys.modules])"
    ended = run(words, tmp_path)
    assert (ended.returncode, ended.stdout.strip()) == (0, "[]"), ended.stderr


@pytest.mark.parametrize("kind", ["a load", "a question"])
def test_the_check_of_what_is_loaded_can_fail(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tf_keras.py").write_text("")
    wrong = {
        "a load": "import tf_keras",
        "a question": "exec('try: import tensorflow\\nexcept ImportError: pass', {'__name__': 'tb_layerview.x'})",
    }
    ended = run(f"{OURS}\nsys.path.insert(0, '.')\n{wrong[kind]}\n{CHECK}", tmp_path)
    assert ended.returncode == 1 and "AssertionError" in ended.stderr
