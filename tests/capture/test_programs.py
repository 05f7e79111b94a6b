"""Programs as people write them: what they get at by their own ways is what the hook logs."""

from __future__ import annotations

import functools
import importlib
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import HELPERS

tf = pytest.importorskip("tensorflow")

from tb_layerview import Keep, LayerReader, LayerViewHook, Select  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

tf1 = tf.compat.v1
keras = tf.keras
STEPS = 6
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)

# What a person sees in each program's model_fn, in order. Dropout does nothing outside of training, so the layer
# before it is the same tensor.
ESTIMATORS = {
    "dense_layers": {"dense": "Dense", "dense_1": "Dense"},
    "convolutions": {
        "conv2d": "Conv2D",
        "max_pooling2d": "MaxPooling2D",
        "conv2d_1": "Conv2D",
        "max_pooling2d_1": "MaxPooling2D",
        "dense": "Dense",
        "dense_1": "Dense",
        "probabilities": "Softmax",
    },
    "feature_columns": {"dense": "Dense", "dense_1": "Dense", "dense_2": "Dense", "Softmax": "Softmax"},
    "predict_convolution": {"conv2d": "Conv2D", "dense": "Dense"},
    "predict_two_outputs": {"dense": "Dense", "dense_1": "Dense", "dense_2": "Dense"},
    "predict_lstm": {"lstm": "LSTM", "dense": "Dense"},
    "attribute_of_estimator": {"dense": "Dense", "dense_1": "Dense"},
    "layer_in_predictions": {"dense": "Dense", "dense_1": "Dense"},
    "training_and_evaluation": {"dense": "Dense", "dense_1": "Dense"},
    "feature_from_collection": {"hidden": "Dense", "output": "Dense"},
    "prediction_from_collection": {"hidden": "Dense", "my_predictions": "Dense"},
    "weight_from_collection": {"my_dense_layer": "Dense", "output": "Dense"},
}
KERAS = ("keras_subclassed", "keras_nested", "keras_weights_by_hand")
# Keras 3 says that it could not build the subclassed models as their program asks it to; `fit` then does.
not_built = pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer:UserWarning")


@pytest.fixture(autouse=True)
def quiet(quiet_tensorflow: None) -> None:
    """TensorFlow tells of errors only."""


def program(name: str) -> Any:
    return importlib.import_module(f"programs.{name}")


def train(name: str, folder: Path, *hooks: Any) -> Any:
    """The program's estimator after some steps, every random number from one seed."""
    keras.utils.set_random_seed(3)
    estimator = program(name).make_estimator(str(folder))
    estimator.train(program(name).training_data, hooks=list(hooks), steps=STEPS)
    return estimator


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Run]]:
    """A program's estimator that was trained with a hook, and what that logged; each is trained once."""

    @functools.cache
    def trained(name: str) -> tuple[Any, Run]:
        folder = tmp_path_factory.mktemp(name)
        estimator = train(name, folder, hook(folder))
        return estimator, read(folder)

    return trained


def hook(folder: Path) -> LayerViewHook:
    return LayerViewHook(folder, schedule=1, keep=EXACT)


def first_batch(estimator: Any, data: Any, folder: Path) -> tuple[dict[str, np.ndarray], Run]:
    """What `predict` returns for the first batch, put together from its examples, and what a hook logs meanwhile."""
    evaluating_hook = LayerViewHook(folder, keep=EXACT)
    examples = list(estimator.predict(data, hooks=[evaluating_hook]))
    run = read(folder)
    (batch,) = {len(logged(run, t.layer, int(run.steps[0]))) for t in run.tensors if t.kind == "activation"}
    return {key: np.stack([e[key] for e in examples[:batch]]) for key in examples[0]}, run


def read(folder: Path) -> Run:
    return LayerReader(folder).run()


def logged(run: Run, layer: str, step: int, kind: str = "activation", name: str = "output") -> np.ndarray:
    return run.values(run.tensor(layer, kind=kind, name=name), step).array


def dense(x: np.ndarray, estimator: Any, layer: str) -> np.ndarray:
    """A dense layer without its activation function, by hand, with the estimator's weights."""
    kernel, bias = (estimator.get_variable_value(f"{layer}/{name}").astype(float) for name in ("kernel", "bias"))
    return x.astype(float) @ kernel + bias


def convolution(x: np.ndarray, estimator: Any, layer: str) -> np.ndarray:
    """A convolution of stride 1 that keeps the size, by hand, with the estimator's weights; then ReLU."""
    kernel, bias = (estimator.get_variable_value(f"{layer}/{name}").astype(float) for name in ("kernel", "bias"))
    height, width = kernel.shape[:2]
    padded = np.pad(x.astype(float), [(0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    return np.maximum(np.einsum("nyxcij,ijco->nyxo", windows, kernel) + bias, 0)


def halved(x: np.ndarray) -> np.ndarray:
    """The largest of each two by two."""
    examples, height, width, channels = x.shape
    return x.reshape(examples, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def softmax(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def assert_close(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# ---- Every program ----


@pytest.mark.estimator
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.core("dense_layers", "training_and_evaluation")
def test_a_program_with_an_estimator_runs_by_itself(name: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    run_as_script(name, tmp_path, monkeypatch)
    assert capsys.readouterr().out and (tmp_path / f"model.ckpt-{STEPS}.index").exists()


@not_built
@pytest.mark.parametrize("name", KERAS)
@pytest.mark.core("keras_nested")
def test_a_program_with_keras_runs_by_itself(name: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    run_as_script(name, tmp_path, monkeypatch)
    assert capsys.readouterr().out


def run_as_script(name: str, folder: Path, monkeypatch: Any) -> None:
    path = HELPERS / "programs" / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path), str(folder)])
    runpy.run_path(str(path), run_name="__main__")


def test_each_program_is_among_those_that_are_tested() -> None:
    files = {path.stem for path in (HELPERS / "programs").glob("[a-z]*.py")}
    assert files == {*ESTIMATORS, *KERAS}
    assert len(files) == 15


@pytest.mark.estimator
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.core("convolutions", "dense_layers", "feature_columns", "training_and_evaluation")
def test_all_layers_of_an_unchanged_model_fn_are_logged_with_the_weights_of_the_checkpoint(
    name: str, hooked: Callable[[str], tuple[Any, Run]]
) -> None:
    estimator, run = hooked(name)
    assert {layer.path: layer.class_name for layer in run.layers} == ESTIMATORS[name]
    assert list(run.steps) == list(range(1, STEPS + 1))
    assert {t.layer for t in run.tensors if t.kind == "activation"} == set(ESTIMATORS[name])

    # An optimizer's own variables stand below the weights that they belong to.
    trained = {v for v in estimator.get_variable_names() if v != "global_step" and "Adam" not in v and "power" not in v}
    weights = [t for t in run.tensors if t.kind == "weight"]
    assert len(weights) == len(trained) == sum(t.kind == "gradient" for t in run.tensors)
    for tensor in weights:
        (variable,) = (v for v in trained if v.startswith(f"{tensor.layer}/") and v.endswith(f"/{tensor.name}"))
        np.testing.assert_array_equal(run.values(tensor, STEPS).array, estimator.get_variable_value(variable))


@pytest.mark.estimator
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.core("convolutions", "dense_layers", "feature_columns", "training_and_evaluation")
def test_a_program_trains_to_the_same_bits_with_the_hook(
    name: str, hooked: Callable[[str], tuple[Any, Run]], tmp_path: Path
) -> None:
    plain, (with_hook, _) = train(name, tmp_path), hooked(name)
    assert plain.get_variable_names() == with_hook.get_variable_names()
    for variable in plain.get_variable_names():
        one, other = plain.get_variable_value(variable), with_hook.get_variable_value(variable)
        np.testing.assert_array_equal(one, other, err_msg=variable)


# ---- Three model_fns whose layers cannot be reached ----


@pytest.mark.estimator
@pytest.mark.covers("Programs: model_fn of dense layers", "Graph: tf.layers, dense")
def test_dense_layers_that_cannot_be_reached(tmp_path: Path) -> None:
    estimator = train("dense_layers", tmp_path)
    seen, run = first_batch(estimator, program("dense_layers").test_data, tmp_path / "predict")
    hidden = np.maximum(dense(program("dense_layers").POINTS[:16], estimator, "dense"), 0)
    assert_close(logged(run, "dense", STEPS), hidden)
    scores = logged(run, "dense_1", STEPS)
    assert_close(scores, dense(hidden, estimator, "dense_1"))
    assert_close(softmax(scores), seen["probabilities"])
    np.testing.assert_array_equal(scores.argmax(axis=1), seen["sector"])


@pytest.mark.estimator
@pytest.mark.covers("Programs: model_fn of convolutions", "Graph: tf.layers, convolution", "Graph: tf.layers, pooling")
def test_convolutions_that_cannot_be_reached(tmp_path: Path) -> None:
    estimator = train("convolutions", tmp_path)
    seen, run = first_batch(estimator, program("convolutions").test_data, tmp_path / "predict")
    x = program("convolutions").IMAGES[:8].reshape(8, 16, 16, 1)
    for convolved, pooled in (("conv2d", "max_pooling2d"), ("conv2d_1", "max_pooling2d_1")):
        x = convolution(x, estimator, convolved)
        assert_close(logged(run, convolved, STEPS), x)
        x = halved(x)
        assert_close(logged(run, pooled, STEPS), x)
    x = np.maximum(dense(x.reshape(8, -1), estimator, "dense"), 0)
    assert_close(logged(run, "dense", STEPS), x)
    assert_close(logged(run, "dense_1", STEPS), dense(x, estimator, "dense_1"))
    np.testing.assert_array_equal(logged(run, "probabilities", STEPS), seen["probabilities"])


@pytest.mark.estimator
@pytest.mark.covers("Programs: model_fn of feature columns")
def test_layers_behind_feature_columns_that_cannot_be_reached(tmp_path: Path) -> None:
    estimator = train("feature_columns", tmp_path)
    source = program("feature_columns")
    seen, run = first_batch(estimator, source.test_data, tmp_path / "predict")
    # A word that the vocabulary does not have is all zeros.
    words = (source.TREE[:16] == np.array(source.VOCABULARY)).astype(float)
    assert set(words.sum(axis=1)) == {0, 1}
    of_numbers = np.maximum(dense(source.HEIGHT[:16], estimator, "dense"), 0)
    of_words = np.maximum(dense(words, estimator, "dense_1"), 0)
    assert_close(logged(run, "dense", STEPS), of_numbers)
    assert_close(logged(run, "dense_1", STEPS), of_words)
    scores = dense(np.hstack([of_numbers, of_words]), estimator, "dense_2")
    assert_close(logged(run, "dense_2", STEPS), scores)
    np.testing.assert_array_equal(logged(run, "Softmax", STEPS), seen["probabilities"])
    paths = [layer.path for layer in run.layers]
    (joined,) = (layer for layer in run.layers if layer.path == "dense_2")
    assert [paths[i] for i in joined.inputs] == ["dense", "dense_1"]


# ---- Activations through predict ----


@pytest.mark.estimator
@pytest.mark.parametrize(
    ("name", "layers", "shape"),
    [
        pytest.param(
            "predict_convolution",
            {"conv2d": "activations", "dense": "scores"},
            (8, 6, 6, 8),
            marks=pytest.mark.covers("Programs: activations through predict, convolution"),
        ),
        pytest.param(
            "predict_two_outputs",
            {"dense": "dense_activations", "dense_1": "quadrant", "dense_2": "distance"},
            (16, 16),
            marks=pytest.mark.covers("Programs: activations through predict, dense with two outputs"),
        ),
        pytest.param(
            "predict_lstm",
            {"lstm": "activations", "dense": "scores"},
            (8, 7, 10),
            marks=pytest.mark.covers("Programs: activations through predict, LSTM with return_sequences"),
        ),
    ],
)
def test_activations_are_those_that_predict_returns(
    name: str, layers: dict[str, str], shape: tuple[int, ...], tmp_path: Path
) -> None:
    estimator = train(name, tmp_path)
    seen, run = first_batch(estimator, program(name).prediction_data, tmp_path / "predict")
    assert logged(run, next(iter(layers)), STEPS).shape == shape
    for layer, key in layers.items():
        np.testing.assert_array_equal(logged(run, layer, STEPS), seen[key], err_msg=layer)


# ---- The wrong way and the right way to get at a layer; evaluation ----


@pytest.mark.estimator
@pytest.mark.covers("Programs: estimator, the wrong way to get at a layer")
def test_where_an_attribute_holds_no_values_the_hook_logs_what_the_right_way_returns(tmp_path: Path) -> None:
    wrong, right = program("attribute_of_estimator"), program("layer_in_predictions")
    with pytest.raises(ValueError, match="cannot override members of Estimator"):
        wrong.overriding_estimator(str(tmp_path))
    estimator = train("attribute_of_estimator", tmp_path, hook(tmp_path))
    with pytest.raises(NotImplementedError, match="numpy"):
        np.asarray(wrong.KEPT.dense_output)
    assert logged(read(tmp_path), "dense", STEPS).shape == (16, 10)

    _, run = first_batch(estimator, wrong.prediction_data, tmp_path / "predict")
    # The right way's model_fn has the same layers, so it takes the same checkpoint.
    by_right_way = list(right.make_estimator(str(tmp_path)).predict(wrong.prediction_data))
    truth = np.stack([prediction["dense_output"] for prediction in by_right_way[:16]])
    np.testing.assert_array_equal(logged(run, "dense", STEPS), truth)


@pytest.mark.estimator
@pytest.mark.covers("Programs: estimator, the right way to get at a layer")
def test_the_layer_among_the_predictions_is_the_layer_that_is_logged(tmp_path: Path) -> None:
    estimator = train("layer_in_predictions", tmp_path)
    seen, run = first_batch(estimator, program("layer_in_predictions").prediction_data, tmp_path / "predict")
    np.testing.assert_array_equal(logged(run, "dense", STEPS), seen["dense_output"])
    np.testing.assert_array_equal(logged(run, "dense_1", STEPS), seen["output"])


@pytest.mark.estimator
@pytest.mark.covers("Programs: estimator, training and evaluation")
def test_an_evaluation_returns_the_same_and_its_metric_follows_from_what_is_logged(tmp_path: Path) -> None:
    source = program("training_and_evaluation")
    estimator = train("training_and_evaluation", tmp_path)
    plain = estimator.evaluate(source.test_data)
    assert estimator.evaluate(source.test_data, hooks=[LayerViewHook(tmp_path / "eval", keep=EXACT)]) == plain
    run = read(tmp_path / "eval")
    assert (list(run.steps), run.modes) == ([STEPS], ("evaluate",))
    output = logged(run, "dense_1", STEPS)
    assert output.shape == source.Y.shape
    assert np.mean((output.astype(float) - source.Y) ** 2) == pytest.approx(plain["mse"], rel=1e-5)
    assert run.scalars["loss"].tolist() == [plain["loss"]]
    hidden = np.maximum(dense(source.X, estimator, "dense"), 0)
    assert_close(logged(run, "dense", STEPS), hidden)


# ---- Hooks that read graph collections ----


@pytest.mark.estimator
@pytest.mark.covers("Programs: a hook that reads a feature from a collection")
def test_what_a_layer_makes_of_a_feature_that_another_hook_reads_is_logged(tmp_path: Path) -> None:
    own = program("feature_from_collection").FeatureHook()
    train("feature_from_collection", tmp_path, own, hook(tmp_path))
    run = read(tmp_path)
    assert len(own.values) == STEPS
    for step in range(2, STEPS + 1):
        kernel, bias = (logged(run, "hidden", step - 1, "weight", name).astype(float) for name in ("kernel", "bias"))
        assert_close(logged(run, "hidden", step), np.tanh(own.values[step - 1] @ kernel + bias))


@pytest.mark.estimator
@pytest.mark.covers("Graph: Select takes graph collections")
@pytest.mark.parametrize(
    ("name", "own", "collection"),
    [
        pytest.param(
            "feature_from_collection",
            "FeatureHook",
            "my_features",
            marks=pytest.mark.covers("Programs: a hook that reads a feature from a collection"),
        ),
        pytest.param(
            "prediction_from_collection",
            "PredictionHook",
            "my_predictions",
            marks=pytest.mark.covers("Programs: a hook that reads a prediction from a collection"),
        ),
    ],
)
def test_a_tensor_of_a_collection_is_logged_as_the_programs_own_hook_reads_it(
    name: str, own: str, collection: str, tmp_path: Path
) -> None:
    read_by_program = getattr(program(name), own)()
    select = Select(collections=(collection,))
    train(name, tmp_path, read_by_program, LayerViewHook(tmp_path, select, schedule=1, keep=EXACT))
    run = read(tmp_path)
    for step, truth in enumerate(read_by_program.values, 1):
        values = [run.values(t, step).array for t in run.tensors if t.kind == "activation"]
        assert any(np.array_equal(value, truth) for value in values), step


@pytest.mark.estimator
@pytest.mark.covers("Programs: a hook that reads a prediction from a collection")
def test_predictions_are_those_that_another_hook_reads_from_a_collection(tmp_path: Path) -> None:
    own = program("prediction_from_collection").PredictionHook()
    train("prediction_from_collection", tmp_path, own, hook(tmp_path))
    run = read(tmp_path)
    assert len(own.values) == STEPS
    for step, truth in enumerate(own.values, 1):
        np.testing.assert_array_equal(logged(run, "my_predictions", step), truth)


@pytest.mark.estimator
@pytest.mark.covers("Programs: a hook that reads a weight from a collection")
def test_a_weight_is_what_another_hook_reads_from_a_collection(tmp_path: Path) -> None:
    source = program("weight_from_collection")
    own = source.WeightHook()
    estimator = train("weight_from_collection", tmp_path, own, hook(tmp_path))
    run = read(tmp_path)
    assert len(own.values) == STEPS
    for step in range(2, STEPS + 1):
        # Read within the run that trains, a weight is that before or after the step, as the threads have it.
        around = [logged(run, "my_dense_layer", s, "weight", "kernel") for s in (step - 1, step)]
        assert any(np.array_equal(own.values[step - 1], kernel) for kernel in around)
        assert not np.array_equal(*around)

    own = source.WeightHook()
    estimator.evaluate(source.test_data, hooks=[own, LayerViewHook(tmp_path / "eval", keep=EXACT)])
    kernel = logged(read(tmp_path / "eval"), "my_dense_layer", STEPS, "weight", "kernel")
    np.testing.assert_array_equal(kernel, own.values[0])
