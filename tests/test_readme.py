"""What the README says is so: its Python runs, its commands and pictures are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tb_layerview as lv

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def keras_names() -> dict[str, Any]:
    """A model and what to train it on, as the README takes for granted."""
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
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return {"model": model, "x": x, "y": y}


def estimator_names(folder: Path) -> dict[str, Any]:
    """An estimator and its input, as the README takes for granted."""
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

    return {"estimator": tf.estimator.Estimator(model_fn, str(folder / "model")), "input_fn": input_fn}


def block_with(words: str) -> str:
    """The README's Python that holds `words`."""
    (block,) = [block for block in BLOCKS if words in block]
    return block


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_line_for_keras_logs(folder: Path) -> None:
    exec(block_with("model.fit("), keras_names())
    (run,) = lv.LayerReader("logs").runs()
    assert (run.name, {layer.path for layer in run.model.layers} >= {"conv1", "logits"}) == ("run1", True)
    assert len(run.steps)


@pytest.mark.estimator
def test_the_line_for_estimators_logs(folder: Path) -> None:
    exec(block_with("estimator.train("), {"lv": lv, **estimator_names(folder)})
    (run,) = lv.LayerReader("model").runs()
    assert {*range(1, 32)} <= {*run.steps}


def test_the_options_are_options(folder: Path) -> None:
    names = keras_names()
    callback = eval(block_with("select="), {"lv": lv})
    names["model"].fit(names["x"], names["y"], epochs=21, batch_size=8, callbacks=[callback], verbose=0)
    (run,) = lv.LayerReader("logs").runs()
    assert {*run.steps} >= {0, 10, 20}
    assert {tensor.kind for tensor in run.tensors} == {"activation", "gradient"}


def test_the_option_that_acts_on_findings_acts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = keras_names()
    callback = eval(block_with("stop_on="), {"lv": lv})
    x = names["x"] * np.nan
    names["model"].fit(x, names["y"], epochs=200, batch_size=8, callbacks=[callback], verbose=0)
    run = lv.LayerReader("logs").run("run2")
    assert run.steps[-1] < 200
    assert "NaN" in capsys.readouterr().out


def test_arrays_are_written_and_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block_with("LayerWriter("), {"lv": lv, "numpy": np})
    exec(block_with("LayerReader("), {"lv": lv})
    assert "encoder/attention" in capsys.readouterr().out


def test_each_block_of_python_is_run_by_a_test_above() -> None:
    shown = ("model.fit(", "estimator.train(", "select=", "stop_on=", "LayerWriter(", "LayerReader(")
    run = {block_with(words) for words in shown}
    assert set(BLOCKS) == run


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert links


def test_the_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"make ([a-z-]+)", README)
    assert set(named) - {"help"} <= set(targets)
    assert "demo" in named
