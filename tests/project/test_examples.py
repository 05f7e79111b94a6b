"""The examples run as they are, and log what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT, environment

from tb_layerview import Check, Keep, LayerReader, LayerViewCallback, LayerViewHook, NotLoggedError
from tb_layerview.options import CORE, is_rung

EXAMPLES = ROOT / "examples"
tf = pytest.importorskip("tensorflow")
IS_MODERN = not tf.__version__.startswith("2.15.")


def run_example(name: str, folder: Path, *arguments: str) -> str:
    """What a script prints that is run in a process and a working folder of its own."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        env=environment(needs=["sklearn"], TF_CPP_MIN_LOG_LEVEL="3"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kinds_by_layer(run: Any) -> dict[str, set[str]]:
    """Which kinds are logged of each layer."""
    found: dict[str, set[str]] = {}
    for tensor in run.tensors:
        found.setdefault(tensor.layer, set()).add(tensor.kind)
    return found


@pytest.mark.once
def test_the_example_of_fit_logs_the_training_and_its_validations(tmp_path: Path) -> None:
    printed = run_example("keras_fit.py", tmp_path)
    run = LayerReader(tmp_path / "logs").run("keras_fit")
    logged = kinds_by_layer(run)
    assert all(
        logged[layer] == {"activation", "weight", "gradient", "update"} for layer in ("conv", "hidden", "logits")
    )
    assert "tb_layerview: look at them with" in printed
    steps = len(range(0, int(1797 * 0.8), 32))
    assert {step for step in range(2 * steps) if is_rung(step, per_octave=CORE)} | {2 * steps} <= {*run.steps}
    assert [*LayerReader(tmp_path / "logs").run("keras_fit/evaluate").steps] == [steps, 2 * steps]


@pytest.mark.once
def test_the_example_of_a_loop_of_ones_own_logs_its_losses(tmp_path: Path) -> None:
    printed = run_example("own_loop.py", tmp_path, str(tmp_path / "elsewhere"))
    run = LayerReader(tmp_path / "elsewhere").run()
    assert kinds_by_layer(run)["hidden"] == {"activation", "weight", "gradient", "update"}
    assert f"{run.steps[-1]} steps, loss {run.scalars['loss'][-1]:.3f}" in printed
    assert not (tmp_path / "logs").exists()


@pytest.mark.estimator
def test_the_example_of_an_estimator_logs_training_and_evaluation(tmp_path: Path) -> None:
    printed = run_example("estimator_train.py", tmp_path)
    run = LayerReader(tmp_path / "logs").run("estimator_train")
    logged = kinds_by_layer(run)
    assert all(logged[layer] == {"activation", "weight", "gradient", "update"} for layer in ("hidden", "logits"))
    assert {step for step in range(1, 61) if is_rung(step, per_octave=CORE)} <= {*run.steps}
    assert "60 steps, loss " in printed
    assert [*LayerReader(tmp_path / "logs").run("estimator_train/evaluate").steps] == [60]


@pytest.mark.skipif(not IS_MODERN, reason="Jupyter is installed beside TensorFlow 2.21 alone")
def test_the_notebook_trains_shows_the_tab_and_reads_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbclient
    import nbformat
    from notebooks import PATIENCE

    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", environment(needs=["sklearn"])["PYTHONPATH"])
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where a TensorBoard that a notebook started says so
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept in the repository"

    client = nbclient.NotebookClient(notebook, **PATIENCE, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        (server,) = [json.loads(file.read_text()) for file in (tmp_path / ".tensorboard-info").glob("pid-*.info")]
        try:
            runs = runs_served(server["port"])
        finally:
            os.kill(server["pid"], signal.SIGTERM)

    outputs = {cell.source.partition("\n")[0]: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    (frame,) = [output for output in outputs['lv.show("logs")'] if output.output_type == "display_data"]
    assert "<iframe" in frame.data["text/html"] and str(server["port"]) in frame.data["text/html"]
    assert 'url.hash = "layerview"' in frame.data["text/html"]
    assert runs == ["notebook"]
    run = LayerReader(tmp_path / "logs").run("notebook")
    printed = "".join(output.get("text", "") for output in outputs['run = lv.LayerReader("logs").run("notebook")'])
    conv = run.tensor("conv", kind="activation")
    assert f"layer 'conv': {run.statistics('rms')[conv][0]:.3f} at step 0" in printed
    (last,) = outputs['maps = run.values(run.tensor("conv", kind="activation"), step=run.steps[-1]).array']
    assert last.data["text/plain"].startswith("((32, 6, 6, 16), dtype(")


def runs_served(port: int) -> list[str]:
    """The runs that a TensorBoard's Layers tab lists, once it has read the logs that it was started on."""
    until = time.monotonic() + 120
    while True:
        with urllib.request.urlopen(f"http://localhost:{port}/data/plugin/layerview/runs") as answer:
            runs = [run["run"] for run in json.load(answer)["runs"]]
        if runs or time.monotonic() > until:
            return runs
        time.sleep(0.2)


def kept_values(folder: Path) -> dict[str, list[Any]]:
    """Values of activations, by run: all that are kept at any step."""
    found: dict[str, list[Any]] = {}
    for run in LayerReader(folder).runs():
        found[run.name] = []
        for tensor in (tensor for tensor in run.tensors if tensor.kind == "activation"):
            for step in run.steps:
                try:
                    found[run.name].append(run.values(tensor, step=step).array)
                except NotLoggedError:
                    continue
    return found


@pytest.mark.once
def test_the_values_of_a_training_stay_out_of_the_log_where_none_are_kept(tmp_path: Path) -> None:
    """What README.md says of your data: by default examples are in the log, with Keep(activations=0) none are."""
    data, labels = np.random.default_rng(0).random((64, 8), dtype=np.float32), np.arange(64) % 2
    x = data.copy()
    x[40, 3] = np.nan
    for name, keep in ("kept", Keep()), ("none", Keep(activations=0)):
        model = tf.keras.Sequential([tf.keras.Input((8,)), tf.keras.layers.Dense(4), tf.keras.layers.Dense(2)])
        model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        callback = LayerViewCallback(tmp_path / name, keep=keep, check=Check(replay=True))
        validation = x[:8], labels[:8]
        model.fit(x, labels, batch_size=8, shuffle=False, verbose=0, callbacks=[callback], validation_data=validation)

    by_default = kept_values(tmp_path / "kept")
    assert set(by_default) == {".", "evaluate", "replay"}
    assert any(np.allclose(array, data[:8], atol=1e-3) for array in by_default["."] if array.shape == (8, 8))
    whole_batch = [array for array in by_default["replay"] if array.shape == (8, 8)]
    assert any(np.isnan(array[0, 3]) and np.allclose(array[1:], data[41:48], atol=1e-3) for array in whole_batch)
    assert kept_values(tmp_path / "none") == {".": [], "evaluate": [], "replay": []}


def test_so_it_is_with_the_hook(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    x = np.random.default_rng(0).random((64, 8), dtype=np.float32)
    x[40, 3] = np.nan
    for name, keep in (("kept", Keep()), ("none", Keep(activations=0))):
        with tf.Graph().as_default():
            batch = v1.placeholder(tf.float32, (8, 8))
            hidden = tf.nn.relu(tf.matmul(batch, v1.get_variable("hidden/kernel", (8, 4))), name="hidden/Relu")
            output = tf.matmul(hidden, v1.get_variable("output/kernel", (4, 2)), name="output/MatMul")
            loss = tf.reduce_mean(output**2)
            train = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_or_create_global_step())
            hook = LayerViewHook(tmp_path / name, keep=keep, check=Check(replay=True))
            with v1.train.MonitoredTrainingSession(hooks=[hook]) as session:
                for start in range(0, 64, 8):
                    session.run([train, loss], {batch: x[start : start + 8]})
    by_default = kept_values(tmp_path / "kept")
    assert set(by_default) == {".", "replay"} and all(by_default.values())
    assert kept_values(tmp_path / "none") == {".": [], "replay": []}
