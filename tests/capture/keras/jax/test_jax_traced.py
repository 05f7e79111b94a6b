"""A pass of a Keras model that JAX computes: what it gives is what the layers and `jax.grad` give."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from keras import layers, ops
from models_jax import Case, make

from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.jax.engine import JaxEngine
from tb_layerview.capture.keras.jax.traced import JaxTraced
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.nodes import Node


def traced(case: Case, training: bool = True) -> JaxTraced:
    """The pass of all of a case's data."""
    batch = Batch.of((case.x, case.y)).mapped(jnp.array)
    return JaxEngine().trace(case.model, batch, training, gradients=training)


def run(found: JaxTraced, nodes: list[Node]) -> list[np.ndarray]:
    """What these tensors hold."""
    found.choose(nodes, [])
    return [np.asarray(array) for array in found.run()[0]]


def call(found: JaxTraced, path: str, index: int = 0) -> Call:
    (one,) = [call for call in found.calls if (call.path, call.index) == (path, index)]
    return one


def keras_gradients(case: Case) -> list[np.ndarray]:
    """The gradients of Keras' own loss, by `jax.grad` of Keras' own function."""
    model, optimizer = case.model, case.model.optimizer
    groups = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables, optimizer.variables)
    *state, of_optimizer = ([variable.value for variable in group] for group in groups)

    def loss(*state: Any) -> Any:
        of_model = (*state, case.x, case.y, None)
        return model.compute_loss_and_updates(*of_model, training=True, optimizer_variables=of_optimizer)

    return [np.asarray(one) for one in jax.jit(jax.grad(loss, has_aux=True))(*state)[0]]


# Elsewhere XLA fuses what is returned beside them in another way, and rounds in another order.
EXACT = ("nested", "own", "spectral", "remat")


@pytest.mark.parametrize("name", ["cnn", "transformer", "lstm", "nested", "spectral", "own", "bfloat16", "remat"])
def test_gradients_are_those_of_keras_own_loss(name: str) -> None:
    case = make(name)
    expected = keras_gradients(case)
    found = traced(case)
    assert found.gradients is not None
    assert not found.notes
    nodes = [found.gradients[id(variable)] for variable in case.model.trainable_variables]
    assert all(nodes)
    largest = max(np.abs(one.astype(np.float64)).max() for one in expected)
    for one, other in zip(run(found, nodes), expected, strict=True):  # type: ignore[arg-type]
        assert one.dtype == other.dtype
        if name in EXACT:
            np.testing.assert_array_equal(one, other)
        else:
            wide, tolerance = (array.astype(np.float64) for array in (one, other)), 2e-2 if name == "bfloat16" else 2e-6
            np.testing.assert_allclose(*wide, rtol=tolerance, atol=tolerance * largest)


def test_under_a_loss_scale_the_gradients_are_those_of_the_loss_itself() -> None:
    case = make("float16")
    plain = make("cnn")
    plain.model.set_weights(case.model.get_weights())
    optimizer = case.model.optimizer
    optimizer.build(case.model.trainable_variables)
    optimizer.dynamic_scale.assign(2.0**40)  # with which everything overflows
    found = traced(case)
    expected = traced(plain)
    assert found.gradients is not None
    assert expected.gradients is not None
    ours = run(found, [found.gradients[id(v)] for v in case.model.trainable_variables])  # type: ignore[misc]
    theirs = run(expected, [expected.gradients[id(v)] for v in plain.model.trainable_variables])  # type: ignore[misc]
    largest = max(np.abs(one).max() for one in theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, atol=0.02 * largest)
    assert float(optimizer.dynamic_scale) == 2.0**40


@pytest.mark.parametrize("name", ["cnn", "own", "nested", "lstm"])
def test_outputs_are_those_of_the_layers_called_by_hand(name: str) -> None:
    case = make(name)
    found = traced(case)
    calls = [one for one in found.calls if one.inputs and len(one.outputs) == 1 and "lstm" not in one.path]
    given = run(found, [node for one in calls for node in (one.inputs[0], one.outputs[0])])
    looked_at = 0
    for one, x, y in zip(calls, given[::2], given[1::2], strict=True):
        if type(one.layer).__name__ not in ("Conv2D", "Dense", "ReLU", "Flatten", "Embedding", "Scale"):
            continue
        looked_at += 1
        with keras.StatelessScope():
            expected = np.asarray(one.layer(x))
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert looked_at > 1


def test_a_pass_in_training_mode_normalizes_by_the_batch() -> None:
    case = make("cnn")
    for training in (True, False):
        found = traced(case, training)
        norm = call(found, "norm")
        x, y = run(found, [norm.inputs[0], norm.outputs[0]])
        layer = case.model.get_layer("norm")
        mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else (0.0, 1.0)
        np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + layer.epsilon), atol=1e-5)


def test_dropout_drops_in_training_mode_alone() -> None:
    case = make("cnn")
    found = traced(case)
    x, y = run(found, [call(found, "dropout").inputs[0], call(found, "dropout").outputs[0]])
    dropped = (y == 0) & (x != 0)
    assert 0.2 < dropped.mean() / (x != 0).mean() < 0.4
    np.testing.assert_allclose(y[~dropped], x[~dropped] / np.float32(0.7), rtol=1e-6)
    inference = traced(case, training=False)
    one = call(inference, "dropout")
    assert one.outputs[0] is one.inputs[0]


def softmax(x: np.ndarray) -> np.ndarray:
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


@pytest.mark.parametrize("path", ["block/attention", "causal/attention"])
def test_scores_are_the_softmax_of_query_times_key(path: str) -> None:
    case = make("transformer")
    found = traced(case, training=False)
    (scores,) = call(found, path).scores
    assert scores.axes == ("example", "head", "query", "key")
    query, key = (call(found, f"{path}/{name}").outputs[0] for name in ("query", "key"))
    ours, q, k = run(found, [scores.tensor, query, key])
    logits = np.einsum("bqhd,bkhd->bhqk", q.astype(np.float64), k) / np.sqrt(4)
    if "causal" in path:
        logits = np.where(np.tril(np.ones((6, 6), bool)), logits, -np.inf)
    np.testing.assert_allclose(ours, softmax(logits), atol=1e-6)


def test_a_query_that_may_look_nowhere_looks_nowhere() -> None:
    x, mask = keras.Input((3, 4)), keras.Input((3, 3), dtype="bool")
    model = keras.Model([x, mask], layers.MultiHeadAttention(1, 4, name="attention")(x, x, attention_mask=mask))
    allowed = np.array([[[1, 1, 0], [0, 0, 0], [1, 1, 1]]], bool)
    data = np.random.default_rng(0).normal(size=(1, 3, 4)).astype("float32")
    found = JaxEngine().trace(model, Batch.of(([data, allowed],)).mapped(jnp.array), False, False)
    (scores,) = call(found, "attention").scores
    (values,) = run(found, [scores.tensor])
    np.testing.assert_array_equal(values[0, 0] > 0, allowed[0])
    np.testing.assert_allclose(values[0, 0].sum(-1), [1, 0, 1], atol=1e-6)


class Activations(layers.Layer):
    """Whatever function is asked for."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (ops.relu, "Relu"),
        (lambda x: jnp.maximum(x, 0), "Relu"),
        (ops.relu6, "Relu6"),
        (ops.leaky_relu, "LeakyRelu"),
        (ops.elu, "Elu"),
        (ops.selu, "Selu"),
        (ops.sigmoid, "Sigmoid"),
        (ops.tanh, "Tanh"),
        (ops.softplus, "Softplus"),
        (ops.softsign, "Softsign"),
        (ops.softmax, "Softmax"),
        (jax.nn.softmax, "Softmax"),
        (lambda x: jnp.exp(x) / jnp.exp(x).sum(-1, keepdims=True), "RealDiv"),  # of another exponential
        (lambda x: (e := jnp.exp(x)) / e.sum(-1, keepdims=True), "Softmax"),
        (jax.jit(lambda x: jax.nn.softmax(x)), "Softmax"),
        (lambda x: x + 1, "AddV2"),
        (lambda x: jnp.expand_dims(x, 1), "Reshape"),
        (lambda x: x @ x.T, "BatchMatMulV2"),
        (jax.lax.stop_gradient, "StopGradient"),
        (lambda x: x.astype("bfloat16"), "Cast"),
    ],
)
def test_operations_have_the_names_that_tensorflow_has_for_them(function: Any, expected: str) -> None:
    model = keras.Sequential([keras.Input((4,)), Activations(function)])
    found = JaxEngine().trace(model, Batch.of(np.ones((3, 4), "float32")).mapped(jnp.array), False, False)
    output = found.calls[-1].outputs[0]
    assert output.op.type == expected
    assert output in output.op.outputs
    assert output.op in output.graph.get_operations()


def test_a_model_gives_what_its_last_layer_gives() -> None:
    found = traced(make("cnn"))
    assert found.calls[0].path == ""
    assert found.calls[0].outputs[0] is call(found, "classes").outputs[0]
    assert found.x is found.calls[0].inputs[0]


def test_every_call_of_a_shared_layer_is_seen() -> None:
    found = traced(make("nested"))
    inner = ["inner", "inner/deep", "inner/scale"]
    expected = [("", 0), *((path, index) for index in (0, 1) for path in inner), ("both", 0), ("classes", 0)]
    assert [(one.path, one.index) for one in found.calls] == expected
    assert sorted(found.x) == ["a", "b"]


def test_what_runs_in_a_loop_is_one_call() -> None:
    found = traced(make("lstm"))
    assert [one.path for one in found.calls] == ["", "embed", "lstm", "classes"]


def test_what_keras_would_compute_twice_is_seen() -> None:
    found = traced(make("remat"))
    assert [one.path for one in found.calls] == ["", "conv", "flatten", "classes"]


def test_random_numbers_are_seen_between_what_a_dropout_takes_and_gives() -> None:
    found = traced(make("cnn"))
    one = call(found, "dropout")
    pending, types = list(one.outputs), set[str]()
    while pending:
        node = pending.pop()
        if node is not one.inputs[0]:
            types.add(node.op.type)
            pending += node.op.inputs
    assert any("Random" in name for name in types)


def test_a_weight_that_the_loss_does_not_depend_on_has_no_gradient() -> None:
    class Unused(layers.Layer):
        def build(self, shape: Any) -> None:
            self.used = self.add_weight(shape=(), initializer="ones", name="used")
            self.unused = self.add_weight(shape=(), initializer="ones", name="unused")

        def call(self, x: Any) -> Any:
            return self.used * x + ops.stop_gradient(self.unused * x)

    layer = Unused()
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("sgd", "mse")
    batch = Batch.of((np.ones((2, 4), "float32"), np.zeros((2, 4), "float32"))).mapped(jnp.array)
    found = JaxEngine().trace(model, batch, True, True)
    assert found.gradients is not None
    used = found.gradients[id(layer.used)]
    assert found.gradients[id(layer.unused)] is None
    assert used is not None
    assert found.loss is not None
    gradient, loss = run(found, [used, found.loss])
    assert gradient == 4.0  # of the mean of (2 x)^2, by the weight, at x = 1
    assert loss == 4.0


def test_without_a_loss_there_are_no_gradients_and_a_note_says_so() -> None:
    for is_compiled in (False, True):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
        if is_compiled:
            model.compile("sgd")
        found = JaxEngine().trace(model, Batch.of(np.ones((2, 4), "float32")).mapped(jnp.array), True, True)
        assert found.loss is None
        assert found.gradients is None
        assert found.notes == ("the model is not compiled with a loss: gradients are left out",)
        assert found.loss_error == ""


def test_a_loss_that_raises_leaves_the_activations_and_the_model() -> None:
    def loss(y: Any, prediction: Any) -> Any:
        raise ValueError("not today")

    layer = layers.Dense(2, kernel_regularizer="l2")
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("sgd", loss)
    found = JaxEngine().trace(
        model, Batch.of((np.ones((2, 4), "float32"), np.ones((2, 2)))).mapped(jnp.array), True, True
    )
    assert found.gradients is None
    assert found.loss_error == "ValueError: not today"
    assert "not today" in found.notes[0]
    assert len(found.calls) == 2
    assert len(model.losses) == 1
    assert float(model.losses[0]) > 0  # and no tracer of ours


def test_a_model_that_raises_says_so() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="incompatible"):
        JaxEngine().trace(model, Batch.of(np.ones((2, 5), "float32")).mapped(jnp.array), False, False)


def test_shares_are_the_largest_of_each_group() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Activation("linear"), layers.Rescaling(2.0)])
    x = np.array([[1, np.nan, np.inf, 2], [1, 2, 3, 4]], "float32")
    found = JaxEngine().trace(model, Batch.of(x).mapped(jnp.array), False, False)
    one = found.calls[-1]
    found.choose([one.outputs[0]], [[one.inputs[0], one.outputs[0]], [one.outputs[0]]])
    (output,), shares = found.run()
    np.testing.assert_array_equal(output, x * 2)
    assert [float(share) for share in shares] == [0.25, 0.25]


def test_a_pass_sees_the_weights_as_they_are() -> None:
    case = make("own")
    found = traced(case, training=False)
    output = call(found, "hidden").outputs[0]
    found.choose([output], [])
    before = np.asarray(found.run()[0][0])
    case.model.hidden.kernel.assign(case.model.hidden.kernel * 0)
    after = np.asarray(found.run()[0][0])
    assert np.abs(before).max() > 0
    np.testing.assert_array_equal(after, 0)


def test_tracing_draws_no_random_numbers_and_names_no_layers() -> None:
    class Draws(layers.Layer):
        def call(self, x: Any) -> Any:
            layers.Dense(1)  # which is named
            return x + float(np.random.rand()) + random.random()

    model = keras.Sequential([keras.Input((5,)), Draws()])
    case = Case(model, np.ones((2, 5), "float32"), np.ones(2))
    np.random.seed(3)
    random.seed(3)
    expected = np.random.rand(), random.random(), int(layers.Dense(1).name.rpartition("_")[2])
    np.random.seed(3)
    random.seed(3)
    traced(case, training=False)
    assert (np.random.rand(), random.random()) == expected[:2]
    assert int(layers.Dense(1).name.rpartition("_")[2]) == expected[2] + 1


@pytest.fixture
def compiling() -> Iterator[None]:
    """JAX takes nothing from what it has kept on the disk."""
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


@pytest.mark.usefixtures("compiling")
def test_a_pass_that_was_compiled_before_is_not_compiled_again() -> None:
    def compiled(factor: float) -> tuple[float, int]:
        layer = layers.Lambda(lambda x: x * np.full((1, 4), factor, "float32"))
        model = keras.Sequential([keras.Input((4,)), layer])
        found = JaxEngine().trace(model, Batch.of(np.ones((2, 4), "float32")).mapped(jnp.array), False, False)
        count: list[str] = []
        jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: count.append(name))
        try:
            (output,) = run(found, [found.calls[-1].outputs[0]])
        finally:
            jax.monitoring.clear_event_listeners()
        return float(output[0, 0]), sum("backend_compile" in name for name in count)

    assert compiled(3.5) == (3.5, 1)
    assert compiled(3.5) == (3.5, 0)
    assert compiled(4.5) == (4.5, 1)  # another constant


class Line(keras.Model):
    """One layer."""

    def __init__(self) -> None:
        super().__init__()
        self.line = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.line(x)


class OwnStep(Line):
    """Trains in a way of its own."""

    def train_step(self, state: Any, data: Any) -> Any:
        return super().train_step(state, data)


class OwnLoss(Line):
    """Has a loss of its own, as Keras' own step takes it."""

    def compute_loss_and_updates(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any,
        y: Any,
        sample_weight: Any,
        training: bool = False,
        optimizer_variables: Any = None,
    ) -> Any:
        given = (trainable_variables, non_trainable_variables)
        predicted, others = self.stateless_call(*given, x)
        loss = 3.0 * predicted.sum()
        return loss, (loss, predicted, others, metrics_variables)


def mean(y: Any, predicted: Any) -> Any:
    return ops.mean(predicted + 0 * y)


@pytest.mark.parametrize(("cls", "expected"), [(OwnStep, 1.0), (OwnLoss, 6.0)])
def test_gradients_are_those_of_a_loss_of_the_models_own(cls: Any, expected: float) -> None:
    model = cls()
    model.line.build((None, 1))
    model.built = True
    model.compile("sgd", mean)
    batch = Batch.of((np.ones((2, 1), "float32"), np.zeros((2, 1), "float32"))).mapped(jnp.array)
    found = JaxEngine().trace(model, batch, True, True)
    assert found.gradients is not None
    node = found.gradients[id(model.line.kernel)]
    assert node is not None
    said = [note.partition(":")[0] for note in found.notes]
    assert said == (["gradients of the compiled loss, not of this model's train_step"] if cls is OwnStep else [])
    (gradient,) = run(found, [node])
    assert gradient.item() == expected
