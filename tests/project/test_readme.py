"""What the README and the manual say is so: their Python runs, their commands are there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT, environment

import tb_layerview as lv
from tb_layerview.options import CORE, is_rung

README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "docs" / "logging.md").read_text(encoding="utf-8")


def blocks(document: str, language: str = "python") -> list[str]:
    """The code of a language that stands in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


def block_with(document: str, words: str) -> str:
    """The document's Python that holds `words`."""
    (block,) = [block for block in blocks(document) if words in block]
    return block


def keras_names() -> dict[str, Any]:
    """A model and what to train it on, as the documents take for granted."""
    import tensorflow as tf

    x = np.random.default_rng(0).random((8, 8, 8, 1), dtype=np.float32)
    y = np.arange(8) % 2
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="conv1"),
            layers.Flatten(),
            layers.Dense(2, name="logits"),
        ]
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    data = [(x[:4], y[:4]), (x[4:], y[4:])]
    return {"lv": lv, "tf": tf, "model": model, "x": x, "y": y, "data": data, "batches": data, "loss_of": loss}


def estimator_names(folder: Path) -> dict[str, Any]:
    """An estimator and its input, as the documents take for granted."""
    import tensorflow as tf

    def input_fn() -> Any:
        examples = np.ones((4, 3), np.float32), np.zeros(4, np.int64)
        return tf.data.Dataset.from_tensors(examples).repeat()

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        logits = tf.compat.v1.layers.dense(features, 2, name="logits")
        loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, logits)
        optimizer = tf.compat.v1.train.AdamOptimizer()
        train_op = optimizer.minimize(loss, tf.compat.v1.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return {"lv": lv, "estimator": tf.estimator.Estimator(model_fn, str(folder / "model")), "input_fn": input_fn}


def steps_of(run: str) -> list[int]:
    """The steps that a run below `logs` holds."""
    return [*map(int, lv.LayerReader("logs").run(run).steps)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", [README, MANUAL], ids=["README", "manual"])
@pytest.mark.once
def test_the_line_for_keras_logs(document: str, folder: Path) -> None:
    exec(block_with(document, "model.fit("), keras_names())
    (run,) = lv.LayerReader("logs").runs()
    assert (run.name, {layer.path for layer in run.model.layers} >= {"conv1", "logits"}) == ("run1", True)
    assert len(run.steps)


@pytest.mark.estimator
@pytest.mark.parametrize("document", [README, MANUAL], ids=["README", "manual"])
def test_the_line_for_estimators_logs(document: str, folder: Path) -> None:
    exec(block_with(document, "estimator.train("), estimator_names(folder))
    runs = {run.name: run for run in lv.LayerReader("model").runs()}
    assert {step for step in range(1, 101) if is_rung(step, per_octave=CORE)} <= {*runs["."].steps}
    assert ("evaluate" in runs) == ("estimator.evaluate(" in block_with(document, "estimator.train("))


@pytest.mark.once
def test_the_lines_for_a_loop_of_ones_own_log(folder: Path) -> None:
    names = keras_names()
    names["train"] = lambda batch, labels: names["model"].train_on_batch(batch, labels)
    exec(block_with(README, "train(*batch)"), names)
    assert steps_of("run1") == [1, 2]
    assert len(lv.LayerReader("logs").run("run1").scalars["loss"]) == 2


@pytest.mark.once
def test_a_whole_loop_with_a_gradient_tape_logs(folder: Path) -> None:
    names = keras_names()
    names["optimizer"] = names["tf"].keras.optimizers.SGD(0.1)
    exec(block_with(MANUAL, "GradientTape()"), names)
    assert steps_of("run1") == [0, 1, 2]


@pytest.mark.once
def test_a_loop_around_train_on_batch_logs(folder: Path) -> None:
    exec(block_with(MANUAL, "train_on_batch("), keras_names())
    assert steps_of("run1") == [0, 1, 2]


def test_the_cell_for_a_notebook_is_that_of_the_example_which_is_run() -> None:
    (cell,) = blocks(README, "ipython")
    notebook = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
    assert set(cell.splitlines()) <= {"".join(cell["source"]) for cell in notebook["cells"]}


def test_tensors_of_a_graph_are_logged_by_name_by_expression_and_from_a_collection(folder: Path) -> None:
    tf = pytest.importorskip("tensorflow").compat.v1
    select = eval(block_with(MANUAL, "collections="), {"lv": lv, "re": re})
    with tf.Graph().as_default():
        kernel = tf.get_variable("hidden/kernel", (3, 2), use_resource=True)
        hidden = tf.nn.relu(tf.matmul(tf.ones((4, 3)), kernel), name="hidden/Relu")
        chosen = tf.nn.softmax(hidden, name="attention_1/Softmax")
        tf.add_to_collection("monitored", tf.reduce_sum(chosen, axis=1, name="sums"))
        step = tf.train.get_or_create_global_step()
        train = tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(chosen**2), step)
        hook = lv.LayerViewHook("logs/run1", select)
        with tf.train.MonitoredTrainingSession(hooks=[hook]) as session:
            session.run(train)
    run = lv.LayerReader("logs").run("run1")
    logged = {layer.path for layer in run.model.layers if layer.class_name == "Tensor"}
    assert logged == {"hidden/Relu", "attention_1/Softmax", "sums"}


@pytest.mark.once
def test_the_options_are_options(folder: Path) -> None:
    names = keras_names()
    callback = eval(block_with(MANUAL, "select="), {"lv": lv})
    names["model"].fit(names["x"], names["y"], epochs=21, batch_size=8, callbacks=[callback], verbose=0)
    (run,) = lv.LayerReader("logs").runs()
    assert {*run.steps} >= {0, 10, 20}
    assert {tensor.kind for tensor in run.tensors} == {"activation", "gradient"}


@pytest.mark.once
def test_the_fifth_kind_is_logged_where_it_is_named(folder: Path) -> None:
    names = keras_names()
    callback = lv.LayerViewCallback("logs/run2", select=eval(block_with(MANUAL, '"update", "optimizer"'), {"lv": lv}))
    names["model"].fit(names["x"], names["y"], batch_size=8, callbacks=[callback], verbose=0)
    (run,) = lv.LayerReader("logs").runs()
    kept = {tensor.name for tensor in run.tensors if tensor.kind == "optimizer"}
    assert kept >= {"kernel/momentum", "kernel/velocity"}


def test_what_is_kept_by_default_is_what_the_table_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", MANUAL[MANUAL.index("## How much to keep") :], re.MULTILINE)
    said = {name: eval(text.strip("` ").replace(",", "")) for name, text in rows}
    assert said == vars(lv.Keep())


@pytest.mark.once
def test_the_option_that_acts_on_findings_acts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = keras_names()
    callback = eval(block_with(MANUAL, "stop_on="), {"lv": lv})
    x = names["x"] * np.nan
    names["model"].fit(x, names["y"], epochs=200, batch_size=8, callbacks=[callback], verbose=0)
    run = lv.LayerReader("logs").run("run2")
    assert run.steps[-1] < 200
    assert "NaN" in capsys.readouterr().out


@pytest.mark.once
def test_evaluation_and_prediction_are_runs_of_their_own(folder: Path) -> None:
    exec(block_with(MANUAL, "model.evaluate("), keras_names())
    assert {run.name: run.model.probe is not None for run in lv.LayerReader("logs").runs()} == {
        "run1/evaluate": True,
        "run1/predict": True,
    }


def test_arrays_are_written_and_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block_with(MANUAL, '"encoder/attention": attention'), {"lv": lv, "numpy": np})
    exec(block_with(MANUAL, "LayerReader("), {"lv": lv})
    assert "encoder/attention" in capsys.readouterr().out


def test_trees_are_written(folder: Path) -> None:
    params = {"params": {"Dense_0": {"kernel": np.ones((3, 2)), "bias": np.zeros(2)}}}
    names = {"lv": lv, "params": params, "opt_state": ({"mu": params},)}
    names["train_step"] = lambda params, opt_state: (params, opt_state, params, 0.5)
    exec(block_with(MANUAL, "write_tree("), names)
    run = lv.LayerReader("logs").run("run4")
    assert steps_of("run4") == [*range(11)]
    assert {layer.path for layer in run.model.layers} == {"params/Dense_0"}
    assert {(tensor.kind, tensor.name) for tensor in run.model.tensors} == {
        (kind, f"{name}{slot}")
        for kind, slot in (("weight", ""), ("gradient", ""), ("optimizer", "/mu"))
        for name in ("kernel", "bias")
    }


SCRIPT = """
import argparse
import numpy as np, tensorflow as tf
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
for _ in range(2):
    model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.full((4, 3), np.nan), np.ones((4, 2)), epochs=parser.parse_args().epochs, verbose=0)
"""


def run_line(line: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell line of a document as it stands, with this Python."""
    command, *arguments = shlex.split(line, comments=True)
    program = {"python": [sys.executable], "tb-layerview": [str(Path(sys.executable).with_name("tb-layerview"))]}
    env = environment(TF_CPP_MIN_LOG_LEVEL="3")
    return subprocess.run([*program[command], *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.mark.once
def test_the_command_for_a_script_logs_it_and_check_says_what_is_found(folder: Path) -> None:
    pytest.importorskip("tensorflow")
    (folder / "train.py").write_text(SCRIPT)
    script, check, _, export = blocks(MANUAL, "sh")  # `view`, which goes on, is tests/commands/test_view.py's
    done = run_line(script)
    assert done.returncode == 0, done.stderr
    assert [run.name for run in lv.LayerReader("logs").runs() if "replay" not in run.name] == ["run1", "run1/fit-2"]
    assert steps_of("run1") == [0, 1, 2, 3]
    found = [run_line(line) for line in check.splitlines()]
    assert [done.returncode for done in found] == [1, 1, 1], found
    assert "NaN" in found[0].stdout
    assert {"non_finite"} <= {finding["rule"] for finding in json.loads(found[1].stdout)}
    for line in export.splitlines():
        written = run_line(line)
        assert written.returncode == 0, written.stderr
    assert "non_finite" in (folder / "run1.html").read_text()


def test_each_block_of_python_is_run_by_a_test_above() -> None:
    # Those of PyTorch by tests/capture/torch/test_torch_documents.py, that of Flax by tests/capture/jax.
    shown = ("model.fit(", "estimator.train(", "lv.watch(")
    assert set(blocks(README)) == {block_with(README, words) for words in (*shown, "train(*batch)")}
    shown += (
        "GradientTape()",
        "loss=loss_of",
        "LightningCallback(",
        'ranks="all"',
        "nnx.Optimizer(",
        "collections=",
        "train_on_batch(",
        '"encoder/attention": attention',
        "write_tree(",
        "select=",
        '"update", "optimizer"',
        "stop_on=",
        "model.evaluate(",
        "LayerReader(",
    )
    assert set(blocks(MANUAL)) == {block_with(MANUAL, words) for words in shown}


def test_the_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"make ([a-z-]+)", README)
    assert set(named) <= set(targets)
    assert {"demo", "test"} <= set(named)


def test_figures_are_those_of_the_benchmarks() -> None:
    """What the README and the manual quote of a measurement stands in the table that `make bench` writes."""
    table = (ROOT / "docs" / "reports" / "benchmarks.md").read_text(encoding="utf-8").splitlines()
    readme, manual = " ".join(README.split()), " ".join(MANUAL.split())

    def measured(row: str) -> str:
        """What stands in the third column of the row that begins so."""
        (line,) = [line for line in table if line.startswith(f"| {row}")]
        return line.split(" | ")[2]

    def ratio(row: str) -> str:
        return measured(row).partition(" ")[0]

    default = "a step of a training of 3 minutes on the default schedule, callback"
    callback, minutes = ratio(default), re.findall(r"minute by minute ([\d., ]+)\)", measured(default))[0].split(", ")
    in_minutes = f"{minutes[0]} in its first minute, {minutes[-1]} in its third"
    assert f"takes {callback} times as long with the callback, {in_minutes}" in readme
    assert f"took {callback} times as long with the callback, {in_minutes}" in manual
    every = ratio("training the CNN of 3.3 million parameters for 100 steps, every step logged")
    assert f"{float(callback):.2f} times in the first 3 minutes of the default schedule, {every} with every" in readme

    step = measured("a logged step, weights, activations of 32 examples, gradients, no values: CNN")
    ours, kerass = re.findall(r"([\d.]+) ms", step)
    weights = ratio("a logged step, weights, no values: CNN")
    assert f"gradients takes {step.partition(' ')[0]} of what Keras'" in readme
    assert f"for the weights alone; one of weights {float(weights):.2g}" in readme
    assert f"{kerass} ms an epoch for the weights alone; a logged step" in readme
    assert f"gradients here: {ours} ms" in readme

    curt, full = (ratio(f"the same with TensorFlow's Debugger V2, `{mode}_HEALTH`") for mode in ("CURT", "FULL"))
    assert f"{float(curt):.1f} (`CURT_HEALTH`) to {full} times (`FULL_HEALTH`)" in readme
    assert measured("steps that can be looked at, of 1,000 logged") == "1,000"
    assert any("TensorBoard Histograms: 51 |" in line for line in table)
    rows = [line.split(" | ") for line in table if line.startswith("| set-up (tracing")]
    set_up = [float(row[2].partition(" ")[0]) for row in rows if row[1] == "the model's own first training step"]
    assert f"it took {min(set_up):.1f} to {max(set_up):.1f} of the model's own first step" in manual
