"""The hook with Estimators as people have them; what is logged is what `get_variable_value` and `predict` return."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, dense, flat

from tb_layerview import Keep, LayerViewHook, Select
from tb_layerview.format.model import KINDS
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

pytestmark = [
    pytest.mark.estimator,
    # What is tested here is what TensorFlow has long called deprecated.
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning"),
]

EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")
WORDS = np.array(["a", "b", "c", "d"])[graphs.LABELS % 4]


@pytest.fixture(autouse=True)
def quiet(quiet_tensorflow: None) -> None:
    """TensorFlow tells of errors only."""


def rows() -> Any:
    """Features as a dictionary of columns, numbers and words, and three classes."""
    features = {"numbers": graphs.IMAGES[:, 0, 0, :], "word": WORDS}
    return tf.data.Dataset.from_tensor_slices((features, graphs.LABELS % 3)).repeat().batch(BATCH)


def rows_once() -> Any:
    return rows().take(4)


def columns() -> tuple[Any, Any, Any]:
    column = tf.feature_column
    words = column.categorical_column_with_vocabulary_list("word", ["a", "b", "c"], num_oov_buckets=1)
    return column.numeric_column("numbers", [3]), words, column.embedding_column(words, 2)


def deep(folder: str) -> Any:
    numbers, _, embedded = columns()
    return tf.estimator.DNNClassifier([8, 5], [numbers, embedded], folder, n_classes=3, config=config())


def wide(folder: str) -> Any:
    numbers, words, _ = columns()
    return tf.estimator.LinearClassifier([numbers, words], folder, n_classes=3, config=config())


def wide_and_deep(folder: str) -> Any:
    numbers, words, _ = columns()
    return tf.estimator.DNNLinearCombinedClassifier(
        folder,
        linear_feature_columns=[words],
        dnn_feature_columns=[numbers],
        dnn_hidden_units=[8, 5],
        n_classes=3,
        config=config(),
    )


def config() -> Any:
    return tf.estimator.RunConfig(tf_random_seed=2)


def read(logdir: Path, name: str = ".") -> Run:
    return LayerReader(logdir).run(name)


def value(run: Run, step: int, layer: str, kind: str, name: str = "output") -> np.ndarray:
    return run.values(run.tensor(layer, kind=kind, name=name), step).array


def train(make: Callable[[str], Any], folder: Path, hooks: list[Any], steps: int = 6) -> Any:
    tf.keras.utils.set_random_seed(1)
    estimator = make(str(folder))
    estimator.train(rows, hooks=hooks, steps=steps)
    return estimator


CANNED = {
    "deep": (
        deep,
        {
            "dnn/input_from_feature_columns/input_layer/word_embedding": "Embedding",
            "dnn/hiddenlayer_0": "Dense",
            "dnn/hiddenlayer_1": "Dense",
            "dnn/logits": "Dense",
        },
    ),
    "wide": (
        wide,
        {"linear/linear_model/word": "Embedding", "linear/linear_model/numbers": "Dense", "linear/linear_model": ""},
    ),
    "wide and deep": (
        wide_and_deep,
        {
            "dnn/hiddenlayer_0": "Dense",
            "dnn/hiddenlayer_1": "Dense",
            "dnn/logits": "Dense",
            "linear/linear_model/word": "Embedding",
            "linear/linear_model": "",
        },
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("deep", marks=pytest.mark.covers("Graph: DNNClassifier")),
        pytest.param("wide", marks=pytest.mark.covers("Graph: LinearClassifier")),
        pytest.param("wide and deep", marks=pytest.mark.covers("Graph: DNNLinearCombinedClassifier")),
    ],
)
def test_a_canned_estimator_trains_to_the_same_bits_and_its_layers_are_logged(name: str, tmp_path: Path) -> None:
    make, layers = CANNED[name]
    plain = train(make, tmp_path / "plain", [])
    hooked = train(make, tmp_path / "hooked", [LayerViewHook(tmp_path / "hooked", schedule=1, keep=EXACT)])
    names = plain.get_variable_names()
    for variable in names:
        np.testing.assert_array_equal(
            plain.get_variable_value(variable), hooked.get_variable_value(variable), err_msg=variable
        )
    run = read(tmp_path / "hooked")
    assert list(run.steps) == [1, 2, 3, 4, 5, 6]
    found = {layer.path: layer.class_name for layer in run.layers if not layer.path.startswith("head/")}
    assert found == layers
    weights = {f"{t.layer}/{t.name}": t for t in run.tensors if t.kind == "weight"}
    assert set(weights) == {v for v in names if not v.startswith("training/") and v != "global_step"}
    for variable, tensor in weights.items():
        np.testing.assert_array_equal(run.values(tensor, 6).array, hooked.get_variable_value(variable))
    sizes = run.statistics("size")
    assert {t.layer for t in run.tensors if t.kind == "gradient" and np.isfinite(sizes[t.index]).all()} == set(layers)
    assert run.model.notes == ()


def test_a_canned_estimators_predictions_are_its_logged_logits(tmp_path: Path) -> None:
    estimator = train(deep, tmp_path, [])
    hook = LayerViewHook(tmp_path / "predict", keep=EXACT)
    predicted = list(estimator.predict(rows_once, hooks=[hook]))
    run = read(tmp_path, "predict")
    logits = np.stack([prediction["logits"] for prediction in predicted])
    np.testing.assert_array_equal(value(run, 6, "dnn/logits", "activation"), logits[:BATCH])
    digest = run.digest(run.tensor("dnn/logits", kind="activation"), 6)
    assert (digest.size, digest.max) == (logits.size, logits.max())


@pytest.mark.covers("Graph: model_to_estimator")
def test_a_keras_model_that_was_made_an_estimator_is_logged(tmp_path: Path) -> None:
    def make(folder: str) -> Any:
        layers = tf.keras.layers
        inputs = tf.keras.Input((3,), name="numbers")
        outputs = layers.Dense(3, name="out")(layers.Dense(8, activation="relu", name="hidden")(inputs))
        model = tf.keras.Model(inputs, outputs)
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf.keras.optimizers.legacy.Adam(0.01), loss)
        return tf.keras.estimator.model_to_estimator(model, model_dir=folder, config=config())

    plain = train(make, tmp_path / "plain", [])
    everything = Select(kinds=KINDS)
    hooked = train(make, tmp_path / "hooked", [LayerViewHook(tmp_path / "hooked", everything, schedule=1, keep=EXACT)])
    run = read(tmp_path / "hooked")
    assert {layer.path: layer.class_name for layer in run.layers} == {"hidden": "Dense", "out": "Dense"}
    for number, layer in enumerate(("hidden", "out")):
        for leaf in ("kernel", "bias"):
            variable = f"layer_with_weights-{number}/{leaf}/.ATTRIBUTES/VARIABLE_VALUE"
            expected = hooked.get_variable_value(variable)
            np.testing.assert_array_equal(expected, plain.get_variable_value(variable))
            np.testing.assert_array_equal(value(run, 6, layer, "weight", leaf), expected)
            for name, slot in (("momentum", "m"), ("velocity", "v")):
                kept = f"layer_with_weights-{number}/{leaf}/.OPTIMIZER_SLOT/optimizer/{slot}"
                expected = hooked.get_variable_value(f"{kept}/.ATTRIBUTES/VARIABLE_VALUE")
                np.testing.assert_array_equal(value(run, 6, layer, "optimizer", f"{leaf}/{name}"), expected)
    hook = LayerViewHook(tmp_path / "predict", keep=EXACT)
    first = next(hooked.predict(rows_once, hooks=[hook], yield_single_examples=False))
    np.testing.assert_array_equal(value(read(tmp_path, "predict"), 6, "out", "activation"), first["out"])


@pytest.mark.covers("Graph: train_and_evaluate", "What and when: modes told apart")
def test_train_and_evaluate_logs_the_training_and_each_evaluation_apart(tmp_path: Path) -> None:
    tf.keras.utils.set_random_seed(1)
    estimator = tf.estimator.DNNClassifier(
        [8], [columns()[0]], str(tmp_path), n_classes=3, config=config().replace(save_checkpoints_steps=4)
    )
    training = LayerViewHook(tmp_path, schedule=1)
    evaluation = LayerViewHook(estimator.eval_dir(), keep=EXACT)
    tf.estimator.train_and_evaluate(
        estimator,
        tf.estimator.TrainSpec(rows, max_steps=12, hooks=[training]),
        tf.estimator.EvalSpec(rows_once, hooks=[evaluation], throttle_secs=0, start_delay_secs=0),
    )
    run = read(tmp_path)
    assert (list(run.steps), set(run.modes)) == (list(range(1, 13)), {"train"})
    evaluated = read(tmp_path, "eval")
    assert set(evaluated.modes) == {"evaluate"}
    assert evaluated.steps[-1] == 12
    assert set(evaluated.steps) <= {4, 8, 12}
    first = next(estimator.predict(rows_once, yield_single_examples=False))
    np.testing.assert_allclose(value(evaluated, 12, "dnn/logits", "activation"), first["logits"], rtol=1e-5, atol=1e-6)


# ---- a model_fn of one's own ----


def network(x: Any) -> Any:
    return dense(tf.nn.relu(dense(flat(x), 12, "hidden")), 10, "logits")


def images() -> Any:
    return tf.data.Dataset.from_tensor_slices((graphs.IMAGES, graphs.LABELS)).repeat().batch(BATCH)


def own(folder: Path, train_op: Callable[[Any, Any], Any] | None = None, **options: Any) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        logits = network(features)
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        optimizer = tf1.train.AdamOptimizer(0.01)
        made = (train_op or optimizer.minimize)(loss, tf1.train.get_global_step()) if mode == "train" else None
        more = {"scaffold": options["scaffold"]()} if "scaffold" in options else {}
        return tf.estimator.EstimatorSpec(mode, logits, loss, made, **more)

    return tf.estimator.Estimator(model_fn, str(folder), config(), warm_start_from=options.get("warm_start_from"))


@pytest.mark.covers("Graph: restore, step numbers go on")
def test_a_restored_training_goes_on_with_its_step_numbers(tmp_path: Path) -> None:
    for steps in (5, 4):
        own(tmp_path).train(images, hooks=[LayerViewHook(tmp_path, schedule=1, keep=EXACT)], steps=steps)
    run = read(tmp_path)
    assert list(run.steps) == list(range(1, 10))
    assert len(set(run.writers)) == 2
    assert run.hidden == ""
    kernel = own(tmp_path).get_variable_value("hidden/kernel")
    np.testing.assert_array_equal(value(run, 9, "hidden", "weight", "kernel"), kernel)


@pytest.mark.covers("Graph: warm start")
def test_a_warm_start_begins_at_step_one_with_the_other_runs_weights(tmp_path: Path) -> None:
    before = own(tmp_path / "before")
    before.train(images, steps=7)

    def still(loss: Any, step: Any) -> Any:
        """Trains by nothing, so that what is logged is what the training began from."""
        return tf1.train.GradientDescentOptimizer(0.0).minimize(loss, step)

    after = own(tmp_path / "after", still, warm_start_from=str(tmp_path / "before"))
    after.train(images, hooks=[LayerViewHook(tmp_path / "after", schedule=1, keep=EXACT)], steps=2)
    run = read(tmp_path / "after")
    assert list(run.steps) == [1, 2]
    expected = before.get_variable_value("hidden/kernel")
    np.testing.assert_array_equal(value(run, 1, "hidden", "weight", "kernel"), expected)


@pytest.mark.covers("Graph: a scaffold of the user's own")
def test_a_scaffold_of_ones_own_is_left_as_it_is(tmp_path: Path) -> None:
    begun: list[bool] = []

    def scaffold() -> Any:
        (kernel,) = (v for v in tf1.trainable_variables() if v.op.name == "hidden/kernel")
        assigned = tf1.assign(kernel, np.full(kernel.shape.as_list(), 5, np.float32))
        return tf1.train.Scaffold(
            init_fn=lambda _, session: (begun.append(True), session.run(assigned)),
            saver=tf1.train.Saver(max_to_keep=1),
        )

    def still(loss: Any, step: Any) -> Any:
        return tf1.train.GradientDescentOptimizer(0.0).minimize(loss, step)

    estimator = own(tmp_path, still, scaffold=scaffold)
    estimator.train(images, hooks=[LayerViewHook(tmp_path, schedule=1, keep=EXACT)], steps=2)
    assert begun == [True]
    run = read(tmp_path)
    np.testing.assert_array_equal(value(run, 1, "hidden", "weight", "kernel"), 5)
    assert estimator.get_variable_value("hidden/kernel").min() == 5
