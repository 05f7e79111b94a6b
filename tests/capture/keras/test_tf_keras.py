"""Keras 2, as tf_keras, beside Keras 3: models of each, whichever of them `tf.keras` is."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import program_with_tf_keras as program
import pytest
from places import ROOT, TESTS, environment
from two_layers import assert_true, logged

from tb_layerview import LayerReader

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tf_keras") is None, reason="tf_keras is not installed"),
    pytest.mark.covers("Keras: tf_keras beside Keras 3"),
]


def python(*arguments: str, legacy: bool) -> subprocess.CompletedProcess[str]:
    """Runs Python with TF_USE_LEGACY_KERAS=1, or without the variable."""
    variables = {name: value for name, value in environment().items() if name != "TF_USE_LEGACY_KERAS"}
    if legacy:
        variables["TF_USE_LEGACY_KERAS"] = "1"
    return subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True, timeout=1800)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("tf_keras", True), id="tf_keras, TF_USE_LEGACY_KERAS=1"),
        pytest.param(("tf_keras", False), id="tf_keras beside Keras 3"),
        pytest.param(("keras", True), id="Keras 3, TF_USE_LEGACY_KERAS=1", marks=pytest.mark.long),
    ],
)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the program left what it trained, and the package that its models are of."""
    folder, (package, legacy) = tmp_path_factory.mktemp("trained"), request.param
    ended = python(program.__file__, str(folder), package, legacy=legacy)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, package


def test_whichever_keras_a_model_is_of_its_training_is_bit_identical(trained: tuple[Path, str]) -> None:
    folder, package = trained
    bare, with_callback = (np.load(folder / f"{name}.npz") for name in ("bare", "logged"))
    assert sorted(bare.files) == sorted(with_callback.files) and {"loss", "mae", "random"} <= set(bare.files)
    for name in bare.files:
        np.testing.assert_array_equal(bare[name], with_callback[name], err_msg=name)
    run = LayerReader(folder).run("noisy")
    assert list(run.steps) == list(range(program.STEPS + 1))
    assert f"Keras {importlib.metadata.version(package)}," in run.model.software
    assert set(LayerReader(folder).run("noisy/evaluate").modes) == {"evaluate"}


def test_whichever_keras_a_model_is_of_what_is_logged_is_what_is_worked_out_by_hand(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    run = LayerReader(folder).run("plain")
    for step, kernel in enumerate(np.load(folder / "kernels.npy")):
        np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), step), kernel)
        assert_true(run, step, program.X[: program.PROBE], program.Y[: program.PROBE])
    assert step == program.STEPS


@pytest.mark.parametrize(
    ("arguments", "at_least"),
    [
        (["test_keras_layers.py", "test_keras_paths.py", "test_keras_names.py", "test_blocks.py"], 80),
        (["test_callback.py", "-k", "not bit_identical or arrays-every"], 20),
        # It brings tf.compat.v1.layers and rnn_cell back too.
        pytest.param(
            ["test_graph_models.py", "test_graph_search.py", "-m", "tf_layers"],
            20,
            marks=pytest.mark.covers(
                "Graph: tf.layers, dense",
                "Graph: tf.layers, convolution",
                "Graph: tf.layers, pooling",
                "Graph: tf.layers, batch normalisation",
                "Graph: tf.layers, dropout",
                "Graph: tf.layers, flatten",
                "Graph: tf.layers, separable convolution",
                "Graph: tf.layers, transposed convolution",
                "Graph: Keras layers in a model_fn",
                "Graph: dynamic_rnn",
            ),
        ),
    ],
    ids=["layers", "callback", "graphs"],
)
@pytest.mark.long
def test_what_is_tested_with_keras_3_holds_for_tf_keras_too(arguments: list[str], at_least: int) -> None:
    """The same tests in another process, in which `tf.keras` is tf_keras."""
    found = [str(next(TESTS.rglob(argument))) if argument.endswith(".py") else argument for argument in arguments]
    ended = python("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *found, legacy=True)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    (passed,) = re.findall(r"(\d+) passed", ended.stdout)
    assert int(passed) >= at_least
