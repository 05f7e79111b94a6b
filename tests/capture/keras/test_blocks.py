"""Layers that call other layers: what they are computed from, their order, and which of them broke.

Each training has a fault in a place that is known: 0/0 for one example, in one layer, at step 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tb_layerview import LayerReader, LayerViewCallback, LayerViewHook  # noqa: E402
from tb_layerview.health.finding import Finding  # noqa: E402
from tb_layerview.health.of_run import diagnose_runs  # noqa: E402

keras, layers, tf1 = tf.keras, tf.keras.layers, tf.compat.v1
UNITS = 4


@pytest.fixture(autouse=True)
def _names_begin_anew() -> Iterator[None]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    yield
    keras.backend.clear_session()


def broken(x: Any) -> Any:
    """The same numbers, but 0/0 for what is larger than 3: one of the examples."""
    return tf.where(x > 3.0, (x - x) / (x - x), x)


def examples() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(0)
    x = np.clip(random.randn(32, UNITS), -1.9, 1.9).astype(np.float32)
    x[3, 1] = 5
    return x, x.sum(axis=1, keepdims=True)


class Breaks(layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return broken(inputs)


class HandsOn(layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return inputs


class Block(layers.Layer):  # type: ignore[misc]
    """A residual block: x + dense(share(x)).

    Args:
      share: The layer within that is called first.
      before: What the block makes of what it takes, before it calls any layer.
      after: What it makes of what it takes, once it has called them.
      outputs: How many it has; the second is twice the first.
    """

    def __init__(
        self,
        share: Any,
        before: Callable[[Any], Any] = tf.identity,
        after: Callable[[Any], Any] = tf.identity,
        outputs: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.share, self.dense = share, layers.Dense(UNITS, name="dense")
        self.before, self.after, self.outputs_wanted = before, after, outputs

    def call(self, inputs: Any) -> Any:
        inputs = self.before(inputs)
        inner = self.dense(self.share(inputs))
        output = self.after(inputs) + inner
        return output if self.outputs_wanted == 1 else (output, 2 * output)


def trained(model: Any, folder: Path) -> tuple[list[Finding], dict[str, list[str]]]:
    """What is found, and by layer, in the log's order, the layers that it is computed from."""
    x, y = examples()
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[LayerViewCallback(folder, schedule=1)])
    run = LayerReader(folder).run()
    sources = {layer.path: [run.layers[i].path for i in layer.inputs] for layer in run.layers}
    return found_in(folder), sources


def found_in(folder: Path) -> list[Finding]:
    return list({run.name: found for run, found in diagnose_runs(LayerReader(folder).runs())}["."])


def followed_by(block: Any) -> Any:
    inputs = keras.Input((UNITS,))
    return keras.Model(inputs, layers.Dense(1, name="score")(block(inputs)))


def leads(found: list[Finding]) -> tuple[str, int]:
    """Layer and call of the one finding that nothing explains."""
    (lead,) = [finding for finding in found if finding.follows is None]
    assert lead is found[0] and lead.rule == "non_finite" and lead.first == 0
    assert lead.tensor is not None and lead.tensor.kind == "activation"
    return lead.tensor.layer, lead.tensor.call


def test_a_layer_within_a_block_that_broke_leads(tmp_path: Path) -> None:
    found, sources = trained(followed_by(Block(Breaks(name="share"), name="block")), tmp_path)
    assert leads(found) == ("block/share", 0)
    assert "what it takes, from 'input', is finite (-1.9 to 5)" in found[0].words
    assert sources == {
        "input": [],
        "block/share": ["input"],
        "block/dense": ["block/share"],
        "block": ["input", "block/dense"],
        "score": ["block"],
    }


def test_a_block_whose_own_operation_after_its_layers_broke_leads(tmp_path: Path) -> None:
    found, _ = trained(followed_by(Block(layers.ReLU(name="share"), after=broken, name="block")), tmp_path)
    assert leads(found) == ("block", 0)
    assert "what it takes, from 'input', 'block/dense', is finite" in found[0].words


@pytest.mark.parametrize("share", [HandsOn, layers.ReLU, layers.LayerNormalization])
def test_a_block_whose_own_operation_before_its_layers_broke_leads(share: Any, tmp_path: Path) -> None:
    found, _ = trained(followed_by(Block(share(name="share"), before=broken, name="block")), tmp_path)
    assert leads(found) == ("block", 0)
    assert found[0].words.endswith(
        "; what it computes by itself, and 'block/share' takes, is not finite; what that is made of, from 'input', is "
        "finite (-1.9 to 5)"
    )


def test_an_operation_of_the_model_itself_is_not_taken_for_the_layer_behind_it(tmp_path: Path) -> None:
    class Whole(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.score = layers.Dense(UNITS, name="first"), layers.Dense(1, name="score")

        def call(self, inputs: Any) -> Any:
            return self.score(broken(self.first(inputs) * 0 + inputs))

    model = Whole()
    model(examples()[0])
    found, sources = trained(model, tmp_path)
    assert leads(found) == ("score", 0)
    assert "; what it takes is computed outside all layers, and is not finite; what that is made of" in found[0].words
    assert sources["score"] == ["input", "first"]


def test_of_blocks_within_blocks_the_innermost_that_broke_leads(tmp_path: Path) -> None:
    def nested(name: str, innermost: Any, **own: Any) -> Any:
        return Block(Block(innermost, name="middle", **own), name=name)

    found, sources = trained(followed_by(nested("outer", Breaks(name="core"))), tmp_path / "core")
    assert leads(found) == ("outer/middle/core", 0)
    assert sources["outer/middle"] == ["input", "outer/middle/dense"]
    assert sources["outer"] == ["input", "outer/dense"] and sources["outer/dense"] == ["outer/middle"]
    found, _ = trained(followed_by(nested("outer", layers.ReLU(name="core"), after=broken)), tmp_path / "after")
    assert leads(found) == ("outer/middle", 0)
    found, _ = trained(followed_by(nested("outer", layers.ReLU(name="core"), before=broken)), tmp_path / "before")
    assert leads(found) == ("outer/middle", 0)
    # What breaks before it comes to the block in the middle, the outer one has computed.
    outer = Block(Block(layers.ReLU(name="core"), name="middle"), before=broken, name="outer")
    found, _ = trained(followed_by(outer), tmp_path / "outer")
    assert leads(found) == ("outer", 0)


def test_a_layer_that_two_blocks_share_leads_where_it_broke(tmp_path: Path) -> None:
    shared = Breaks(name="shared")

    def model(second: Any) -> Any:
        inputs = keras.Input((UNITS,))
        # The first block is given nothing that breaks.
        small = layers.Rescaling(0.5, name="small")(inputs)
        large = layers.Add(name="add")([Block(shared, name="first")(small), inputs])
        return keras.Model(inputs, layers.Dense(1, name="score")(second(large)))

    found, sources = trained(model(Block(shared, name="second")), tmp_path)
    assert leads(found) == ("second/shared", 0)
    assert sources["second/shared"] == ["add"] and sources["first/shared"] == ["small"]


@pytest.mark.parametrize("culprit", ["inner", "block"])
def test_a_block_in_a_loop_leads_with_the_call_that_broke(culprit: str, tmp_path: Path) -> None:
    class Grows(layers.Layer):  # type: ignore[misc]
        """Its second call takes what is too large."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.inner = Breaks(name="inner") if culprit == "inner" else layers.Rescaling(1.0, name="inner")

        def call(self, inputs: Any) -> Any:
            return 1.5 * (self.inner(inputs) if culprit == "inner" else broken(self.inner(inputs)))

    class Looping(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.grows, self.score = Grows(name="grows"), layers.Dense(1, name="score")

        def call(self, inputs: Any) -> Any:
            x = 0.5 * inputs  # 2.5 at most
            for _ in range(3):
                x = self.grows(x)
            return self.score(x)

    model = Looping()
    model(examples()[0])
    found, sources = trained(model, tmp_path)
    # 2.5, 3.75: the second call of the one or of the other is the first to break.
    assert leads(found) == ("grows/inner" if culprit == "inner" else "grows", 1)
    assert ("'grows', is finite" if culprit == "inner" else "'grows/inner', is finite (-1.425 to 3.75)") in found[
        0
    ].words
    assert sources["score"] == ["grows"]


def test_a_layer_that_a_block_calls_twice_is_told_from_the_one_in_between(tmp_path: Path) -> None:
    class Twice(layers.Layer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.act, self.between = layers.ReLU(name="act"), Breaks(name="between")

        def call(self, inputs: Any) -> Any:
            return inputs + self.act(self.between(self.act(inputs)))

    found, _ = trained(followed_by(Twice(name="twice")), tmp_path)
    assert leads(found) == ("twice/between", 0)
    assert "what it takes, from 'twice/act', is finite (0 to 5, " in found[0].words


def test_a_block_with_several_outputs_comes_behind_the_layer_in_it_that_broke(tmp_path: Path) -> None:
    def model(**options: Any) -> Any:
        inputs = keras.Input((UNITS,))
        one, two = Block(outputs=2, name="block", **options)(inputs)
        return keras.Model(inputs, layers.Dense(1, name="score")(layers.Concatenate(name="both")([two, one])))

    found, sources = trained(model(share=Breaks(name="share")), tmp_path / "inner")
    assert leads(found) == ("block/share", 0)
    assert sources["block"] == ["input", "block/dense"]  # not itself, though the second output is made of the first
    found, _ = trained(model(share=layers.ReLU(name="share"), after=broken), tmp_path / "own")
    assert leads(found) == ("block", 0)
    assert found[0].tensor is not None and found[0].tensor.name == "output 0"


def test_attention_is_computed_from_its_projections(tmp_path: Path) -> None:
    inputs = keras.Input((3, UNITS))
    attention = layers.MultiHeadAttention(2, 2, name="attention")(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(1, name="score")(layers.Flatten(name="flat")(attention)))
    x = np.random.RandomState(0).randn(32, 3, UNITS).astype(np.float32)
    model.compile("sgd", "mse")
    model.fit(x, x[:, 0, :1], batch_size=16, verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1)])
    run = LayerReader(tmp_path).run()
    paths = [layer.path for layer in run.layers]
    sources = {layer.path: {paths[i] for i in layer.inputs} for layer in run.layers}
    projections = {f"attention/{name}" for name in ("query", "key", "value")}
    # Keras 2 has a Dropout between the scores and what is made of them.
    assert projections <= sources["attention"] <= projections | {"attention/dropout"}
    assert all(sources[path] == {"input"} for path in projections)
    assert sources["flat"] == {"attention"}
    assert all(paths.index(path) < paths.index("attention") for path in projections)
    assert found_in(tmp_path) == []


def test_connections_reach_an_input_through_whatever_a_block_does_by_itself(tmp_path: Path) -> None:
    """A layer's inputs are those of what it puts out: an inner layer that is thrown away is none."""

    class Ignores(layers.Layer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.unused = layers.Dense(UNITS, name="unused")

        def call(self, inputs: Any) -> Any:
            self.unused(inputs)
            return tf.sin(tf.reshape(inputs, tf.shape(inputs)))

    _, sources = trained(followed_by(Ignores(name="block")), tmp_path)
    assert sources["block"] == ["input"] and sources["score"] == ["block"]


def scaled(x: Any, name: str) -> Any:
    """Its scope has a variable, so it is a layer."""
    with tf1.variable_scope(name):
        return x * tf1.get_variable("scale", initializer=np.ones(UNITS, np.float32), use_resource=True)


def graph_block(x: Any, where: str) -> Any:
    """A residual block by hand: x * scale + dense(share(x)), broken in `share` or in its own operation."""
    with tf1.variable_scope("block"):
        with tf1.variable_scope("share"):
            scale = tf1.get_variable("scale", initializer=np.ones(UNITS, np.float32), use_resource=True)
            share = broken(x * scale) if where == "share" else tf.tanh(x * scale)
        with tf1.variable_scope("dense"):
            kernel = np.random.RandomState(1).randn(UNITS, UNITS).astype(np.float32)
            dense = tf.matmul(share, tf1.get_variable("kernel", initializer=kernel, use_resource=True))
        own = tf1.get_variable("gate", initializer=np.ones(UNITS, np.float32), use_resource=True)
        return tf.maximum(broken(x * own) if where == "block" else x * own, dense)


@pytest.mark.parametrize("where", ["share", "block"])
def test_in_a_graph_the_layer_within_a_block_leads_or_the_block(where: str, tmp_path: Path) -> None:
    x, y = examples()
    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        block = graph_block(scaled(tf.constant(x), "first"), where)
        loss = tf.reduce_mean((tf.reduce_sum(scaled(block, "score"), axis=1, keepdims=True) - y) ** 2)
        train = tf1.train.GradientDescentOptimizer(1e-3).minimize(loss, step)
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1)]) as session:
            session.run(train)
    found = found_in(tmp_path)
    assert found[0].rule == "non_finite" and found[0].tensor is not None
    assert found[0].tensor.layer == ("block/share" if where == "share" else "block")
    assert "is finite" in found[0].words and all(finding.follows == 0 for finding in found[1:])


def test_in_a_graph_a_layer_that_is_called_twice_is_told_from_the_one_in_between(tmp_path: Path) -> None:
    x, y = examples()
    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        with tf1.variable_scope("shared", reuse=tf1.AUTO_REUSE):
            scale = tf1.get_variable("scale", initializer=np.ones(UNITS, np.float32), use_resource=True)
        with tf1.name_scope("shared/"):
            once = tf.tanh(tf.constant(x) * scale)
        with tf1.variable_scope("between"):
            own = tf1.get_variable("gate", initializer=np.full(UNITS, 4, np.float32), use_resource=True)
            between = broken(once * own)
        with tf1.name_scope("shared_1/"):
            twice = tf.tanh(between * scale)
        loss = tf.reduce_mean((tf.reduce_sum(scaled(twice, "score"), axis=1, keepdims=True) - y) ** 2)
        train = tf1.train.GradientDescentOptimizer(1e-3).minimize(loss, step)
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1)]) as session:
            session.run(train)
    run = LayerReader(tmp_path).run()
    made = [(t.layer, t.call) for t in run.tensors if t.kind == "activation"]
    assert made.index(("shared", 0)) < made.index(("between", 0)) < made.index(("shared", 1))
    found = found_in(tmp_path)
    assert found[0].tensor is not None and found[0].tensor.layer == "between"
    assert "what it takes, from 'shared', is finite" in found[0].words
