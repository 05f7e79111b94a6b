"""What a pass of a Keras model on PyTorch gives is what layers give that are called by hand, and torch's gradients."""

from __future__ import annotations

import copy
import os
from typing import Any

import ml_dtypes
import numpy as np
import pytest

torch = pytest.importorskip("torch")
os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402
from models_on_torch import CLASSES, EXAMPLES, IMAGES, MODELS, ROWS, TOKENS, compiled  # noqa: E402

from tb_layerview.capture.keras.batch import Batch  # noqa: E402
from tb_layerview.capture.keras.torch.engine import TorchEngine, TracedPass  # noqa: E402
from tb_layerview.capture.passes.calls import Call, producers  # noqa: E402

layers = keras.layers
Y = torch.as_tensor(CLASSES)


def traced(model: Any, x: Any, y: Any = CLASSES, training: bool = True) -> TracedPass:
    """A pass of a model on a batch."""
    batch = Batch.of((keras.tree.map_structure(torch.as_tensor, x), torch.as_tensor(y)))
    return TorchEngine().trace(model, batch, training, training)


def outputs(of: TracedPass) -> dict[str, np.ndarray[Any, Any]]:
    """What each call gives, by its path and the number of the call, as the next run has it."""
    names = [f"{call.path}:{call.index}:{i}" for call in of.calls for i in range(len(call.outputs))]
    of.choose([node for call in of.calls for node in call.outputs], [])
    return dict(zip(names, of.run()[0], strict=True))


def call_of(of: TracedPass, path: str, index: int = 0) -> Call:
    """One of its calls."""
    (found,) = [call for call in of.calls if (call.path, call.index) == (path, index)]
    return found


def sequential(*inner: Any, shape: tuple[int, ...] = (6,), loss: str = "mse") -> Any:
    """A compiled model of these layers."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([layers.Input(shape), *inner])
    model.compile("sgd", loss)
    return model


@pytest.mark.parametrize("name", ["cnn", "cnn, seeded", "transformer", "spectral", "bfloat16", "float16"])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_are_those_of_a_model_that_gives_them_all(name: str, training: bool) -> None:
    """To the last bit, where both begin with the same random numbers; Keras' own model of all outputs tells."""
    model, x = compiled(name)
    model.train_on_batch(x, CLASSES)
    found = outputs(traced(model, x, training=training))
    inner = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    every = keras.Model(model.inputs, [layer.output for layer in inner])
    state = copy.deepcopy(torch.get_rng_state())
    expected = every(torch.as_tensor(x), training=training)
    torch.set_rng_state(state)
    for layer, tensor in zip(inner, expected):
        ours = found[f"{layer.name}:0:0"]
        theirs = tensor.detach().to(torch.float32).numpy()
        np.testing.assert_array_equal(ours.astype(np.float32), theirs, err_msg=layer.name)
        assert str(ours.dtype) == keras.backend.standardize_dtype(tensor.dtype)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "float16"])
def test_gradients_are_those_of_backward(name: str) -> None:
    """To the last bit, of the loss that Keras computes, and beside regularizers and losses that layers add."""
    model, x = compiled(name)
    model.train_on_batch(x, CLASSES)
    of = traced(model, x)
    assert of.gradients is not None and of.loss is not None
    variables = [v for v in model.trainable_variables if of.gradients[id(v)] is not None]
    of.choose([*(of.gradients[id(v)] for v in variables), of.loss], [])
    *found, loss = of.run()[0]
    model.zero_grad()
    loss_by_hand = model.compute_loss(y=Y, y_pred=model(torch.as_tensor(x), training=True))
    loss_by_hand.backward()
    assert len(variables) == len(model.trainable_variables)
    assert float(loss) == float(loss_by_hand.detach())
    for variable, ours in zip(variables, found):
        theirs = variable.value.grad.numpy()
        if "key/bias" in variable.path:  # it has none, but for what is rounded
            assert float(np.abs(theirs).max()) < 1e-6 > float(np.abs(ours).max())
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=variable.path)


def test_values_and_gradients_are_numpys() -> None:
    """A layer, an activation and a loss by hand."""
    model = sequential(layers.Dense(5, activation="tanh", name="one"), layers.Dense(3, name="two"))
    y = np.random.default_rng(5).normal(size=(EXAMPLES, 3)).astype(np.float32)
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    of = traced(model, ROWS, y)
    assert of.gradients is not None
    of.choose(
        [call_of(of, "one").outputs[0], call_of(of, "two").outputs[0], of.loss, *of.gradients.values()],
        [call_of(of, "one").inputs],
    )
    (one, two, loss, *gradients), shares = of.run()
    hidden = np.tanh(ROWS @ w1 + b1)
    error = hidden @ w2 + b2 - y
    back = 2 * error / error.size
    of_hidden = back @ w2.T * (1 - hidden**2)
    expected = [ROWS.T @ of_hidden, of_hidden.sum(0), hidden.T @ back, back.sum(0)]
    np.testing.assert_allclose(one, hidden, atol=1e-6)
    np.testing.assert_allclose(two, error + y, atol=1e-6)
    np.testing.assert_allclose(loss, np.mean(error**2), rtol=1e-6)
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert shares == [0.0]


@pytest.mark.parametrize("causal", [False, True])
def test_scores_are_softmax_of_queries_and_keys(causal: bool) -> None:
    """By numpy; and a query that may look at nothing looks at nothing."""
    x = np.random.default_rng(0).normal(size=(EXAMPLES, 5, 6)).astype(np.float32)
    mask = np.ones((EXAMPLES, 5, 5), bool)
    mask[:, :, 3] = False
    mask[0, 2] = False
    taken, seen = layers.Input((5, 6)), layers.Input((5, 5), dtype="bool")
    attention = layers.MultiHeadAttention(2, 4, name="attention")
    given = {} if causal else {"attention_mask": seen}
    model = keras.Model([taken, seen], attention(taken, taken, use_causal_mask=causal, **given))
    model.compile("sgd", "mse")
    of = traced(model, [x, mask], x)
    (scores,) = call_of(of, "attention").scores
    assert scores.axes == ("example", "head", "query", "key")
    made_by = {id(node): i for i, call in enumerate(of.calls) for node in call.outputs}
    assert [of.calls[i].path for i in producers([scores.tensor], made_by, -1)] == ["attention/query", "attention/key"]
    of.choose([scores.tensor], [])
    ((found,), _) = of.run()
    kernels = {v.path.split("/", 1)[1]: v.numpy().astype(np.float64) for v in attention.weights}
    query, key = (
        np.einsum("bti,ihd->bthd", x, kernels[f"{name}/kernel"]) + kernels[f"{name}/bias"] for name in ("query", "key")
    )
    logits = np.einsum("bqhd,bkhd->bhqk", query, key) / 2
    allowed = np.tril(np.ones((5, 5), bool)) if causal else mask[:, None]
    weights = np.where(allowed, np.exp(logits), 0)
    total = weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(found, weights / np.where(total, total, 1), atol=1e-6)


def test_gradients_are_of_the_loss_where_it_is_scaled_too_much() -> None:
    """Keras multiplies a float16 model's loss by 2 ** 28 here, under which all gradients overflow."""
    model, x = compiled("float16")
    assert float(model.optimizer.scale_loss(torch.tensor(1.0))) == 2.0**28
    of = traced(model, x)
    assert of.gradients is not None
    variables = [v for v in model.trainable_variables if "dense" in v.path]
    of.choose([of.gradients[id(v)] for v in variables], [])
    found = of.run()[0]
    plain, _ = compiled("cnn")
    plain.set_weights(model.get_weights())
    state = torch.get_rng_state()
    plain.compute_loss(y=Y, y_pred=plain(torch.as_tensor(x), training=True)).backward()
    torch.set_rng_state(state)
    for ours, theirs in zip(found, [v.value.grad.numpy() for v in plain.trainable_variables if "dense" in v.path]):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=0.02 * float(np.abs(theirs).max()))
    assert float(model.optimizer.scale_loss(torch.tensor(1.0))) == 2.0**28


def test_what_a_later_layer_overwrites_is_what_it_was() -> None:
    """A ReLU in place does not change what is told of the normalisation before it."""
    model = sequential(layers.BatchNormalization(name="normed"), layers.TorchModuleWrapper(torch.nn.ReLU(inplace=True)))
    of = traced(model, ROWS, ROWS)
    assert call_of(of, "torch_module_wrapper").outputs[0].op.type == "Relu"
    made_by = {id(node): i for i, call in enumerate(of.calls[1:]) for node in call.outputs}
    assert producers(of.calls[2].outputs, made_by, 1) == (0,)
    found = outputs(of)
    normed = (ROWS - ROWS.mean(0)) / np.sqrt(ROWS.var(0) + 1e-3)
    np.testing.assert_allclose(found["normed:0:0"], normed, atol=1e-5)
    np.testing.assert_allclose(found["torch_module_wrapper:0:0"], np.maximum(normed, 0), atol=1e-5)


def test_arrays_do_not_follow_the_training() -> None:
    """Of a layer that gives its weight, of the inputs, and what is read of weights."""

    class Weight(layers.Layer):
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=(6,), name="table")

        def call(self, x: Any) -> Any:
            return self.table.value, x * self.table

    taken = layers.Input((6,))
    gives, product = (weight := Weight(name="weight"))(taken)
    model = keras.Model(taken, product + gives)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    rows = ROWS.copy()
    of = traced(model, rows, ROWS)
    of.choose([of.x, call_of(of, "weight").outputs[0]], [])
    before = weight.table.numpy().copy()
    (x, found), _ = of.run()
    (read,) = TorchEngine().read([weight.table])
    rows[:] = 0  # a generator's buffer
    model.train_on_batch(ROWS, np.zeros_like(ROWS))
    assert not np.array_equal(weight.table.numpy(), before)
    np.testing.assert_array_equal(found, before)
    np.testing.assert_array_equal(read, before)
    np.testing.assert_array_equal(x, ROWS)
    TorchEngine().write([weight.table], [read])
    np.testing.assert_array_equal(weight.table.numpy(), before)
    np.testing.assert_array_equal(of.run()[0][0], ROWS)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn", "float64", "int32", "bool"])
def test_variables_are_read_and_written_to_the_last_bit(dtype: str) -> None:
    """With NaN of whatever bits, where there is any."""
    numpys = np.dtype(getattr(ml_dtypes, dtype, None) or dtype)
    bits = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 256, 64 * numpys.itemsize).astype(np.uint8)
    values = bits.view(numpys)
    tensor = torch.zeros(64, dtype=getattr(torch, dtype))
    TorchEngine().write([tensor], [values])
    (found,) = TorchEngine().read([tensor])
    assert found.dtype == numpys
    assert found.tobytes() == values.tobytes()
    plain = tensor.to(torch.float64).numpy()
    np.testing.assert_array_equal(found.astype(np.float64), plain)


@pytest.mark.covers("Keras: Embedding, gradient not densified")
def test_sparse_gradients_have_the_rows_that_are_looked_up() -> None:
    """Each once, added up."""
    embedding = torch.nn.Embedding(20, 3, sparse=True)
    model = sequential(
        layers.TorchModuleWrapper(embedding, output_shape=(None, 6, 3)), layers.GlobalAveragePooling1D(), shape=(6,)
    )
    model._convert_input_args = False
    y = np.zeros((EXAMPLES, 3), np.float32)
    taken = layers.Input((6,), dtype="int64")
    model = keras.Model(taken, layers.GlobalAveragePooling1D()(model.layers[0](taken)))
    model.compile("sgd", "mse")
    of = traced(model, TOKENS, y)
    assert of.gradients is not None
    (variable,) = model.trainable_variables
    of.choose([of.gradients[id(variable)]], [])
    ((found,), _) = of.run()
    table = embedding.weight.detach().numpy().astype(np.float64)
    back = 2 * table[TOKENS].mean(1) / y.size / 6
    expected = np.zeros_like(table)
    np.add.at(expected, TOKENS, np.repeat(back[:, None], 6, 1))
    np.testing.assert_allclose(found, expected[np.unique(TOKENS)], atol=1e-7)


def test_edges_and_functions_are_found() -> None:
    """Of a residual model, of functions of torch and of Keras, through what moves and casts."""
    taken = layers.Input((6,))
    first = layers.Dense(6, activation="relu", name="first")(taken)
    second = layers.Dense(6, activation="sigmoid", name="second")(keras.ops.transpose(keras.ops.transpose(first)))
    third = layers.Dense(6, name="third")(first + keras.ops.reshape(second, (-1, 6)))
    unused = layers.Dense(6, activation="softmax", name="fourth")(taken)
    model = keras.Model(taken, [third, unused])
    model.compile("sgd", "mse")
    batch = Batch.of((torch.as_tensor(ROWS), [torch.as_tensor(ROWS), torch.as_tensor(ROWS)]))
    of = TorchEngine().trace(model, batch, True, True)
    assert of.loss is not None, of.notes
    names = [call.path for call in of.calls]
    made_by = {id(node): i for i, call in enumerate(of.calls) if call.path for node in call.outputs}
    before = {
        call.path: [names[i] for i in producers(call.outputs, made_by, names.index(call.path))]
        for call in of.calls
        if call.path
    }
    assert before == {"first": [], "second": ["first"], "third": ["first", "second"], "fourth": []}
    types = {call.path: call.outputs[0].op.type for call in of.calls if call.path}
    assert types == {"first": "Relu", "second": "Sigmoid", "third": "AddV2", "fourth": "Softmax"}
    assert call_of(of, "first").inputs[0] is of.x
    assert of.calls[0].outputs[0] is call_of(of, "third").outputs[0]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: torch.nn.functional.dropout(x, 0.5), "Randomdropout"),
        (lambda x: x.detach(), "Identity"),
        (lambda x: torch.nn.functional.dropout(x.detach(), 0.5, training=False), "Identity"),
        (lambda x: keras.random.dropout(x, 0.5, seed=1), "SelectV2"),
        (lambda x: x.clone().relu_(), "Relu"),
        (lambda x: 1 - x, "Sub"),
        (lambda x: x @ x.T, "MatMul"),
        (lambda x: torch.addmm(x, x[:, :6], x[:6]), "AddV2"),
        (lambda x: x.double(), "Cast"),
        (lambda x: x.view(-1), "Reshape"),
        (lambda x: x[:, 0], "StridedSlice"),
        (lambda x: torch.softmax(x, 0), "softmax over another axis"),
        (lambda x: torch.nn.functional.batch_norm(x, None, None, training=True), "batch_norm of the batch"),
        (lambda x: keras.ops.leaky_relu(x), "LeakyRelu"),
        (lambda x: torch.from_numpy(x.detach().numpy() + 1), "By unseen"),
    ],
)
def test_operations_have_tensorflows_names(function: Any, expected: str) -> None:
    """Where it has a name for them; what no function of torch has made comes of what the layer takes."""

    class By(layers.Layer):
        def call(self, x: Any) -> Any:
            return function(x)

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor((None,), x.dtype)

    model = sequential(By(name="by"))
    (node,) = call_of(traced(model, ROWS, ROWS, training=False), "by").outputs
    assert node.op.type == expected
    pending, seen = [node], set()
    while pending:
        one = pending.pop()
        if id(one) not in seen:
            seen.add(id(one))
            pending += one.op.inputs
    assert id(call_of(traced(model, ROWS, ROWS, training=False), "by").inputs[0]) not in seen  # of another pass


def test_softmax_within_a_layer_can_be_asked_for() -> None:
    """By its node, though no call gives it."""

    class Attends(layers.Layer):
        def call(self, x: Any) -> Any:
            return keras.ops.softmax(x @ keras.ops.transpose(x), axis=-1) @ x

    model = sequential(Attends(name="attends"))
    of = traced(model, ROWS, ROWS)
    (softmax,) = [op for op in of.calls[0].outputs[0].graph.get_operations() if op.type == "Softmax"]
    assert len(softmax.inputs[0].op.inputs) == 2
    of.choose(softmax.outputs, [softmax.inputs])
    ((found,), shares) = of.run()
    weights = np.exp(ROWS @ ROWS.T)
    np.testing.assert_allclose(found, weights / weights.sum(-1, keepdims=True), atol=1e-6)
    assert shares == [0.0]


def test_the_share_that_is_not_finite_is_the_largest() -> None:
    """Of a group of tensors."""
    rows = ROWS.copy()
    rows[0] = np.nan
    rows[1, :3] = np.inf
    model = sequential(layers.Dense(6, name="one"))
    of = traced(model, rows, ROWS)
    of.choose([], [[call_of(of, "one").inputs[0]], [call_of(of, "one").inputs[0], call_of(of, "one").outputs[0]]])
    _, shares = of.run()
    assert shares == pytest.approx([9 / rows.size, 12 / rows.size])


def test_another_pass_than_the_traced_one_is_said() -> None:
    """A layer that is not called any more, and one that gives another shape."""

    class Sometimes(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.how = layers.Dense(6, name="inner"), "with"

        def call(self, x: Any) -> Any:
            return 2 * {"with": self.inner, "without": lambda x: x, "cut": lambda x: self.inner(x[:3])}[self.how](x)

    sometimes = Sometimes()
    model = sequential(sometimes)
    of = traced(model, ROWS, ROWS, training=False)
    of.choose([of.calls[-1].outputs[0]], [])
    of.run()
    sometimes.how = "without"
    with pytest.raises(RuntimeError, match="call of sometimes/inner is another one"):
        of.run()
    sometimes.how = "cut"
    with pytest.raises(RuntimeError, match=r"float32 of shape \(8, 6\) is float32 of shape \(3, 6\)"):
        of.run()
    sometimes.how = "with"
    of.run()


def test_losses_that_cannot_be_had_are_said() -> None:
    """Of a model without an optimizer, and of targets that do not fit."""
    model = keras.Sequential([layers.Input((6,)), layers.Dense(3)])
    of = traced(model, ROWS, ROWS)
    assert (of.loss, of.gradients, of.loss_error) == (None, None, "")
    assert of.notes == ("the model is not compiled with a loss: gradients are left out",)
    model.compile("sgd", "sparse_categorical_crossentropy")
    of = traced(model, ROWS, np.full((EXAMPLES, 1), 77))
    assert of.loss is None
    assert of.loss_error
    of.choose([of.calls[0].outputs[0]], [])
    assert of.run()[0][0].shape == (EXAMPLES, 3)


def test_a_rematerialized_model_is_seen_once() -> None:
    """Keras runs it again for the gradients: the calls are those of the first time."""
    with keras.RematScope(mode="full"):
        model = sequential(layers.Dense(6, activation="relu", name="one"), layers.Dense(6, name="two"))
    of = traced(model, ROWS, ROWS)
    assert [(call.path, call.index) for call in of.calls] == [("", 0), ("one", 0), ("two", 0)]
    assert of.gradients is not None
    of.choose([*of.gradients.values()], [])
    found = of.run()[0]
    model.compute_loss(y=torch.as_tensor(ROWS), y_pred=model(torch.as_tensor(ROWS), training=True)).backward()
    for variable, ours in zip(model.trainable_variables, found, strict=True):
        np.testing.assert_array_equal(ours, variable.value.grad.numpy())


def test_calls_within_a_vectorized_map_are_not_recorded() -> None:
    """Their tensors have no values of their own."""

    class Mapped(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="mapped")
            self.inner = layers.Dense(3, name="inner")

        def build(self, shape: Any) -> None:
            self.inner.build(shape)

        def call(self, x: Any) -> Any:
            return keras.ops.vectorized_map(lambda row: self.inner(row[None])[0], x)

    model = sequential(Mapped())
    of = traced(model, ROWS, np.zeros((EXAMPLES, 3), np.float32))
    assert [call.path for call in of.calls] == ["", "mapped"]
    assert producers(of.calls[1].outputs, {id(of.x): 7}, 1) == (7,)


def test_images_of_torchs_order_are_given_as_they_are() -> None:
    """A permuted view is an array with other strides, of no copy."""
    model, x = compiled("cnn")
    found = outputs(traced(model, IMAGES, training=False))
    kernel, bias = (w.astype(np.float64) for w in model.get_weights()[:2])
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    expected = np.maximum(np.einsum("bhwcij,ijco->bhwo", windows, kernel) + bias, 0)
    np.testing.assert_allclose(found["conv2d:0:0"], expected, atol=1e-5)


def test_gradients_that_a_checkpoint_hides_are_said_to_be() -> None:
    """A reentrant one runs only under a backward that writes to `.grad`."""

    class Checkpointed(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="checkpointed")
            self.inner = layers.Dense(6, name="inner")

        def build(self, shape: Any) -> None:
            self.inner.build(shape)

        def call(self, x: Any) -> Any:
            return torch.utils.checkpoint.checkpoint(self.inner, x.requires_grad_(), use_reentrant=True)

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(x.shape, x.dtype)

    of = traced(sequential(Checkpointed()), ROWS, ROWS)
    assert of.gradients is None
    assert any("use_reentrant=True hides the weights" in note for note in of.notes)
    assert of.loss is not None
    of.choose([of.loss, call_of(of, "checkpointed/inner").outputs[0]], [])
    assert of.run()[0][1].shape == (EXAMPLES, 6)


def test_a_weight_that_is_frozen_or_not_used_has_a_gradient_all_the_same() -> None:
    """That of the loss in it; zeros, where the loss does not depend on it at a step."""

    class Chooses(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="chooses")
            self.first = self.second = None
            self.both = True

        def build(self, shape: Any) -> None:
            self.first, self.second = (self.add_weight(shape=(6,), name=name) for name in ("first", "second"))

        def call(self, x: Any) -> Any:
            return x * self.first + x * self.second if self.both else x * self.first

    chooses = Chooses()
    model = sequential(chooses)
    of = traced(model, ROWS, ROWS)
    assert of.gradients is not None
    of.choose([of.gradients[id(v)] for v in (chooses.first, chooses.second)], [])
    before = of.run()[0]
    assert before[0].any()
    np.testing.assert_array_equal(*before)
    chooses.trainable = False
    model.compile("sgd", "mse")
    frozen = of.run()[0]
    np.testing.assert_array_equal(frozen, before)
    assert not chooses.first.value.requires_grad
    chooses.both = False
    assert not of.run()[0][1].any()
