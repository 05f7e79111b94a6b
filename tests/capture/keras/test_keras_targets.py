"""The log has the targets of those examples of the probe that it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_keras import keras

import tb_layerview as lv
from tb_layerview import Keep, LayerReader
from tb_layerview.reading.run import Run

L = keras.layers
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(96, 4)).astype(np.float32)
LABELS = RANDOM.integers(0, 3, (96, 1)).astype(np.int32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS[:, 0]]


def classifier(loss: str = "sparse_categorical_crossentropy") -> Any:
    model = keras.Sequential([keras.Input((4,)), L.Dense(8, name="hidden"), L.Dense(3, "softmax", name="scores")])
    model.compile("sgd", loss)
    return model


def fitted(model: Any, y: Any, folder: Path, **given: Any) -> Run:
    callback = lv.LayerViewCallback(folder, schedule=1, **given)
    model.fit(X, y, batch_size=48, epochs=1, shuffle=False, verbose=0, callbacks=[callback])
    return LayerReader(folder).run()


def of_recorder(model: Any, probe: Any, folder: Path, **given: Any) -> Run:
    with lv.LayerRecorder(model, folder, probe=probe, **given) as recorder:
        recorder.record(0)
    return LayerReader(folder).run()


def test_the_first_batchs_labels_are_those_of_the_examples_that_are_kept(tmp_path: Path) -> None:
    run = fitted(classifier(), LABELS, tmp_path)
    found = run.targets()
    assert list(found) == [""] and found[""].dtype == np.int32 and not found[""].flags.writeable
    np.testing.assert_array_equal(found[""], LABELS[:32])
    kept = run.values(run.tensor("input"), 0).array
    np.testing.assert_array_equal(kept, X[: len(found[""])].astype(np.float16))
    # Of a given probe, and one-hot.
    run = fitted(classifier("categorical_crossentropy"), ONE_HOT, tmp_path / "given", probe=(X[50:57], ONE_HOT[50:57]))
    np.testing.assert_array_equal(run.targets()[""], ONE_HOT[50:57])


@pytest.mark.parametrize("examples", [2, 5])
def test_there_are_as_many_targets_as_examples_of_the_activation_of_which_most_are_kept(
    examples: int, tmp_path: Path
) -> None:
    run = fitted(classifier(), LABELS, tmp_path, keep=Keep(activations=20, examples=examples))
    counts = [run.values(t, 0).axes[0].count for t in run.tensors if t.kind == "activation"]
    assert min(counts) == examples > 1 and len(set(counts)) > 1
    np.testing.assert_array_equal(run.targets()[""], LABELS[: max(counts)])


@pytest.mark.parametrize("keep", [Keep(targets=False), Keep(activations=0)], ids=["no targets", "no activations"])
def test_targets_are_kept_unless_somebody_says_otherwise(keep: Keep, tmp_path: Path) -> None:
    run = of_recorder(classifier(), (X[:6], LABELS[:6]), tmp_path, keep=keep)
    assert run.targets() == {} and not any("target" in note for note in run.model.notes)
    assert run.model.probe is not None and run.model.probe.examples == 6


def test_each_output_has_its_targets_by_its_name(tmp_path: Path) -> None:
    x = keras.Input((4,))
    model = keras.Model(x, [L.Dense(1, name="size")(x), L.Dense(3, "softmax", name="kind")(x)])
    losses = ["mse", "sparse_categorical_crossentropy"]
    model.compile("sgd", losses)
    sizes = RANDOM.normal(size=(8, 1)).astype(np.float16)
    sizes[0, 0], sizes[1, 0] = np.nan, np.inf
    run = of_recorder(model, (X[:8], [sizes, LABELS[:8]]), tmp_path)
    assert list(run.targets()) == ["size", "kind"]
    np.testing.assert_array_equal(run.targets()["size"], sizes)
    np.testing.assert_array_equal(run.targets()["kind"], LABELS[:8])
    assert run.targets()["size"].dtype == np.float16
    model = keras.Model(x, {"b": L.Dense(1)(x), "a": L.Dense(1)(x)})
    model.compile("sgd", {"a": "mse", "b": "mse"})
    run = of_recorder(model, (X[:8], {"b": X[:8, :1], "a": X[:8, 1:2]}), tmp_path / "dict")
    np.testing.assert_array_equal(run.targets()["a"], X[:8, 1:2])
    np.testing.assert_array_equal(run.targets()["b"], X[:8, :1])


def test_targets_that_are_too_large_are_left_out_in_words(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((32, 32, 1)), L.Conv2D(1, 1)])
    model.compile("sgd", "mse")
    masks = RANDOM.normal(size=(17, 32, 32, 1)).astype(np.float32)
    run = of_recorder(model, (masks, masks), tmp_path / "large")
    assert run.targets() == {}
    said = (
        "the probe's target is left out: of 17 examples it takes 69,632 bytes, and all targets together have room for"
    )
    assert any(note.startswith(said) for note in run.model.notes)
    run = of_recorder(model, (masks[:16], masks[:16]), tmp_path / "just")
    np.testing.assert_array_equal(run.targets()[""], masks[:16])
    assert not any("target" in note for note in run.model.notes)


def test_targets_that_are_no_array_of_rows_are_left_out_in_words(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    model.compile("sgd", "mse")
    run = of_recorder(model, (X[:8], LABELS[:5]), tmp_path)
    assert run.targets() == {}
    assert "the probe's target is left out: it has 5 rows, and the probe 8 examples" in run.model.notes


def test_a_replay_has_the_targets_of_the_batch_that_broke_the_training(tmp_path: Path) -> None:
    y = X[:, :1].copy()
    y[60] = np.nan
    model = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    model.compile("sgd", "mse")
    fitted(model, y, tmp_path, check=lv.Check(replay=True))
    (replay,) = [run for run in LayerReader(tmp_path).runs() if run.name == "replay"]
    np.testing.assert_array_equal(replay.targets()[""], y[48:])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow alone has such tensors")
def test_strings_and_sparse_targets_are_left_out_in_words(tmp_path: Path) -> None:
    import tensorflow as tf

    for name, y, said in (
        ("strings", np.array(["a"] * 8), "it is of dtype string"),
        ("sparse", tf.sparse.from_dense(ONE_HOT[:8]), "it is a SparseTensor, no array of numbers"),
    ):
        model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
        model.compile("sgd", "mse")
        run = of_recorder(model, (X[:8], y), tmp_path / name)
        assert run.targets() == {}
        assert f"the probe's target is left out: {said}" in run.model.notes
