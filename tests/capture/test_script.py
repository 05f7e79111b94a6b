"""`python -m tb_layerview SCRIPT.py`: real scripts in processes of their own, with and without it.

On the stack with Estimators only theirs are run: what starts a script is the same, and Keras 2 is in the case tf_keras.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from places import environment

from tb_layerview import LayerReader

# What a script can see of how it is run, and that nothing it may want to set up is imported before it.
SURROUNDINGS = """
import os, sys
print("main", __name__, __file__, __spec__, __builtins__, sys.modules["__main__"].__file__)
print("argv", sys.argv, "path", [os.path.basename(p) for p in sys.path[:1]], "cwd", os.getcwd())
print("imported", sorted({"numpy", "tensorflow", "keras", "tensorboard"} & set(sys.modules)))
import beside
"""

KERAS = (
    SURROUNDINGS
    + """
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(3)
x = np.random.default_rng(0).normal(size=(48, 6)).astype("float32")
y = (x.sum(axis=1) > 0).astype("float32")

def model(units):
    layers = tf.keras.layers
    net = tf.keras.Sequential([tf.keras.Input((6,)), layers.Dense(units, name="hidden"), layers.Dropout(0.5),
                               layers.Dense(1, name="logit")])
    net.compile("adam", tf.keras.losses.BinaryCrossentropy(from_logits=True))
    return net

class Note(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print("epoch", epoch, float(logs["loss"]).hex())

first, second = model(4), model(5)
first.fit(x, y, 8, 2, 0, Note())
second.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[[Note()]])
first.fit(x, y, batch_size=8, epochs=1, verbose=0)
print("weights", [float(w.sum()).hex() for w in first.get_weights() + second.get_weights()])
print("random", float(tf.random.uniform(())).hex(), np.random.rand().hex())
"""
)


def python(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(TF_CPP_MIN_LOG_LEVEL="3", **variables),
        capture_output=True,
        text=True,
        timeout=900,
    )


def ours(text: str) -> list[str]:
    """The lines of an output that are not this package's."""
    return [line for line in text.splitlines() if not line.startswith("tb_layerview: ")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a folder `scripts` in it, and a module beside the scripts."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "beside.py").write_text("")
    return tmp_path


def write(folder: Path, text: str, name: str = "train.py") -> str:
    """Writes a script; returns its path as a person would type it."""
    (folder / "scripts" / name).write_text(textwrap.dedent(text))
    return os.path.join("scripts", name)


@pytest.mark.covers("What and when: python -m tb_layerview SCRIPT.py, Keras")
@pytest.mark.parametrize("keras", ["tf.keras", "tf_keras"] if importlib.util.find_spec("tensorflow") else ["keras"])
@pytest.mark.core("tf.keras", "keras")
@pytest.mark.once
def test_a_keras_script_runs_as_without_it_and_is_logged(folder: Path, keras: str) -> None:
    if keras == "tf_keras" and importlib.util.find_spec(keras) is None:
        pytest.skip("tf_keras is not installed")
    source = KERAS.replace("tf.keras", keras)
    if keras == "keras":  # where there is no TensorFlow
        source = source.replace("import tensorflow as tf", "import keras").replace("tf.random", "keras.random")
        source = source.replace("[[Note()]]", "[Note()]")  # lists of lists Keras takes with TensorFlow only
    script = write(
        folder, source.replace("import numpy", f"import {keras}; import numpy") if keras == "tf_keras" else source
    )
    plain = python(folder, script, "--epochs", "3")
    added = python(folder, "-m", "tb_layerview", "--schedule", "2", script, "--epochs", "3")
    assert plain.returncode == added.returncode == 0, plain.stderr + added.stderr
    assert ours(added.stdout) == plain.stdout.splitlines()
    assert plain.stdout.count("epoch ") == 3 and "argv ['scripts/train.py', '--epochs', '3']" in plain.stdout
    assert "imported []" in plain.stdout

    reader = LayerReader(folder / "logs")
    assert reader.names() == ["train", "train/fit-2"]
    # 6 steps an epoch; the second fit of the same model goes on where the first one ended.
    first, second = reader.runs()
    assert list(first.steps) == [*range(0, 19, 2)]
    assert list(second.steps) == [0, 2, 4, 6]
    for run, units in ((first, 4), (second, 5)):
        kernel = run.tensor("hidden", kind="weight", name="kernel")
        assert run.tensors[int(kernel.index)].shape == (6, units)
    # The weights at the end are those that the script itself prints.
    sums = [float.fromhex(text) for text in re.findall(r"'(-?0x[^']+)'", plain.stdout)]
    kernel = first.tensor("hidden", kind="weight", name="kernel")
    digest = first.digest(kernel, 18)
    assert digest.mean * digest.size == pytest.approx(sums[0], rel=1e-5)


@pytest.mark.once
def test_a_callback_that_is_there_already_is_not_doubled(folder: Path) -> None:
    own = "import tb_layerview\n" + KERAS.replace(
        "verbose=0)", "verbose=0, callbacks=[[tb_layerview.LayerViewCallback('own')]])"
    )
    added = python(folder, "-m", "tb_layerview", "--logdir", "run", write(folder, own))
    assert added.returncode == 0, added.stderr
    assert LayerReader(folder).names() == ["own", "run", "run/fit-2"]
    # The first model's first fit was logged to the run that was asked for, its second by the script's own callback.
    assert LayerReader(folder).run("run").steps[-1] == 12
    assert len(LayerReader(folder).run("own").steps)


FAILS = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

tf.keras.utils.disable_interactive_logging()

class Fails(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise ValueError("the disk is full")

net = tf.keras.Sequential([tf.keras.Input((6,)), tf.keras.layers.Dense(1)])
net.compile("sgd", "mse")

def train():
    net.fit(np.ones((8, 6)), np.ones(8), verbose=0, callbacks=[Fails()])

train()
"""


def traceback_of(process: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of the traceback that a process ended with."""
    lines = process.stderr.splitlines()
    return lines[lines.index("Traceback (most recent call last):") + 1 :]


@pytest.mark.parametrize("unfiltered", [False, True])
@pytest.mark.core("False")
@pytest.mark.once
def test_an_error_in_a_training_has_the_traceback_and_exit_status_that_it_has_without(
    folder: Path, unfiltered: bool
) -> None:
    switch = "tf.debugging.disable_traceback_filtering()\n" if unfiltered else ""
    script = write(folder, FAILS.replace("net = ", f"{switch}net = ", 1))
    plain = python(folder, script)
    added = python(folder, "-m", "tb_layerview", script)
    assert plain.returncode == added.returncode == 1
    expected, found = traceback_of(plain), traceback_of(added)
    assert expected[-1] == "ValueError: the disk is full"
    assert found[-len(expected) :] == expected
    above = found[: -len(expected)]
    assert all("tb_layerview" in line or "runpy" in line for line in above if line.startswith("  File"))


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit('no data')", 1),
        ("import os; os._exit(5)", 5),
        ("print('unfinished'", 1),
        ("1 / 0", 1),
        ("import atexit; atexit.register(lambda: print(len(value))); value = 'abc'", 0),
        ("import pickle\nclass A: pass\nassert type(pickle.loads(pickle.dumps(A()))) is A", 0),
    ],
)
@pytest.mark.once
def test_a_script_ends_as_it_does_without(folder: Path, source: str, status: int) -> None:
    script = write(folder, source)
    plain, added = python(folder, script), python(folder, "-m", "tb_layerview", script)
    assert (added.returncode, added.stdout) == (plain.returncode, plain.stdout)
    assert plain.returncode == status
    said = [line for line in added.stderr.splitlines() if not line.startswith("tb_layerview: ")]
    expected = plain.stderr.splitlines()
    assert said[len(said) - len(expected) + 1 :] == expected[1:]


@pytest.mark.once
def test_processes_that_a_script_starts_find_their_main_module(folder: Path) -> None:
    script = write(
        folder,
        """
        import multiprocessing

        def square(x):
            return x * x

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(square, [2, 3]))
        """,
    )
    assert python(folder, "-m", "tb_layerview", script).stdout == "[4, 9]\n"


@pytest.mark.once
def test_a_script_that_trains_nothing_is_told_so(folder: Path) -> None:
    added = python(folder, "-m", "tb_layerview", write(folder, "print('done')"))
    assert added.stdout == "done\n"
    assert "nothing is logged: scripts/train.py trained nothing with Keras' Model.fit" in added.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--schedule", "often", "train.py"], "'often' is no schedule .* Give 'ladder', a number of steps, or steps"),
        (["--schedule", "0", "train.py"], "the step interval must be a whole number of at least 1, not 0"),
        (["train.py"], "cannot read 'train.py': No such file or directory. Give a script."),
        ([], "the following arguments are required: SCRIPT.py"),
    ],
)
@pytest.mark.once
def test_what_is_wrong_is_said_before_anything_runs(folder: Path, arguments: list[str], sentence: str) -> None:
    process = python(folder, "-m", "tb_layerview", *arguments)
    assert process.returncode == 2
    assert re.search(sentence, " ".join(process.stderr.split()))


ESTIMATOR = (
    SURROUNDINGS
    + """
import numpy as np
import tensorflow as tf

def input_fn():
    x = np.random.RandomState(0).rand(32, 5).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(8).repeat(3)

def model_fn(features, labels, mode):
    hidden = tf.compat.v1.layers.dense(features, 7, tf.nn.relu, name="hidden")
    loss = tf.compat.v1.losses.mean_squared_error(labels, tf.compat.v1.layers.dense(hidden, 1, name="out"))
    train_op = tf.compat.v1.train.AdamOptimizer().minimize(loss, tf.compat.v1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

def estimator(folder):
    return tf.estimator.Estimator(model_fn, folder)

tf.keras.utils.set_random_seed(4)  # from which tf.layers draws its initializers' seeds
first = estimator(sys.argv[1] + "/a")
first.train(input_fn, steps=5)
print("loss", float(first.evaluate(input_fn, name="held_out")["loss"]).hex())
second = estimator(sys.argv[1] + "/b")
result, _ = tf.estimator.train_and_evaluate(
    second, tf.estimator.TrainSpec(input_fn, max_steps=8), tf.estimator.EvalSpec(input_fn, steps=2))
print("result", float(result["loss"]).hex(), int(result["global_step"]))
print("weight", second.get_variable_value("hidden/kernel").tobytes().hex())
"""
)


@pytest.mark.estimator
@pytest.mark.covers("What and when: python -m tb_layerview SCRIPT.py, Estimator")
def test_an_estimator_script_runs_as_without_it_and_is_logged(folder: Path) -> None:
    script = write(folder, ESTIMATOR)
    plain = python(folder, script, "models")
    plain_lines = plain.stdout.splitlines()
    assert plain.returncode == 0, plain.stderr
    (folder / "models").rename(folder / "plain")
    added = python(folder, "-m", "tb_layerview", script, "models")
    assert added.returncode == 0, added.stderr
    assert ours(added.stdout) == plain_lines

    runs = {run.name: run for run in LayerReader(folder / "models").runs()}
    assert sorted(runs) == ["a", "a/eval_held_out", "b", "b/eval"]
    assert list(runs["a"].steps) == [1, 2, 3, 4, 5]
    assert list(runs["b"].steps) == [*range(1, 9)]
    assert {*runs["b"].modes} == {"train"} and {*runs["b/eval"].modes} == {"evaluate"}
    assert list(runs["b/eval"].steps)[-1] == 8
    truth = np.frombuffer(bytes.fromhex(plain_lines[-1].split()[1]), np.float32)
    kernel = runs["b"].tensor("hidden", kind="weight", name="kernel")
    assert runs["b"].digest(kernel, 8).mean == pytest.approx(float(truth.astype(np.float64).mean()), rel=1e-6)


@pytest.mark.estimator
@pytest.mark.long
def test_the_logdir_holds_the_runs_of_several_estimators(folder: Path) -> None:
    script = write(folder, ESTIMATOR)
    added = python(folder, "-m", "tb_layerview", "--logdir", "log", "--schedule", "2,4", script, "models")
    assert added.returncode == 0, added.stderr
    runs = {run.name: list(run.steps) for run in LayerReader(folder / "log").runs()}
    # Evaluations have one record, whatever steps of the training are logged.
    assert runs == {".": [2, 4], "eval_held_out": [5], "train-2": [2, 4], "train-2/eval": [8]}
    assert LayerReader(folder / "models").names() == []


@pytest.mark.estimator
@pytest.mark.long
def test_a_hook_that_is_there_already_is_not_doubled(folder: Path) -> None:
    own = ESTIMATOR.replace("steps=5)", "steps=5, hooks=[tb_layerview.LayerViewHook('own')])")
    added = python(
        folder, "-m", "tb_layerview", "--logdir", "log", write(folder, "import tb_layerview" + own), "models"
    )
    assert added.returncode == 0, added.stderr
    assert LayerReader(folder / "own").names() == ["."]
    # The first to be added to is the evaluation of the first estimator.
    assert LayerReader(folder / "log").names() == ["eval_held_out", "train-2", "train-2/eval"]
