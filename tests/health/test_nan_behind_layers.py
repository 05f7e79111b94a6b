"""What a NaN looks like behind each common layer, and that its cause is named right whatever it looks like.

Some layers make finite numbers of it: max pooling the lowest of all floats, and a ReLU 0 where oneDNN computes it in
one kernel with the product and the bias before it. Whether that is so depends on the processor, so this is run with
oneDNN and, by `make test-long`, without. `make coverage` makes docs/reports/nan_behind_layers.md of
what is recorded here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import TESTS

tf = pytest.importorskip("tensorflow")

from arithmetic import ARITHMETIC, IN_PART  # noqa: E402
from layers_behind_nan import (  # noqa: E402
    BEHIND,
    FLAT,
    LOWEST,
    PICTURE,
    SEQUENCE,
    WIDE,
    Behind,
    has_onednn,
    looks,
)
from nan_table import DOCUMENT, Shown, cell, document  # noqa: E402

from tb_layerview import LayerReader, LayerViewCallback, LayerViewHook  # noqa: E402
from tb_layerview.health.finding import Finding  # noqa: E402
from tb_layerview.health.of_run import diagnose_runs  # noqa: E402

keras, layers, tf1 = tf.keras, tf.keras.layers, tf.compat.v1
BY_NAME = {behind.name: behind for behind in BEHIND}
EXAMPLES, BAD, SINCE = 8, 5, 2  # which example is too small, and the step from which on the logarithm is of less than 0


@pytest.mark.parametrize("behind", BEHIND, ids=BY_NAME)
@pytest.mark.core("BatchNormalization", "Dense, relu", "MaxPooling2D", "Softmax", "Bidirectional LSTM")
def test_what_a_nan_looks_like_behind_a_layer(behind: Behind, record_property: Any) -> None:
    seen = looks(behind)
    record_property("behind_nan", {"name": behind.name, "onednn": has_onednn(), "seen": seen})
    assert set(seen) == {f"{what}, {mode}" for what in ("a quarter", "all") for mode in ("eager", "function")}
    # Nothing is said of a NaN that did nothing, and of one that became a number which nobody would expect.
    assert "nothing" not in seen.values() and not any("inf" in words for words in seen.values())


def test_what_the_documents_say_of_nan_is_so() -> None:
    for name in ("ReLU", "Activation, relu", "GlobalMaxPooling2D"):
        assert set(looks(BY_NAME[name]).values()) == {"NaN"}, "alone it keeps NaN"
    for name in ("Dense, relu", "Dense, relu6", "Conv2D, relu"):
        seen = looks(BY_NAME[name])
        assert seen["all, eager"] == "NaN"
        assert seen["all, function"] == ("0" if has_onednn() else "NaN"), "in one kernel it is 0"
    for name in ("MaxPooling1D", "MaxPooling2D"):
        seen = looks(BY_NAME[name])
        assert {seen["all, eager"], seen["all, function"]} == {"-3.4e38"}, "finite, either way"
        assert {seen["a quarter, eager"], seen["a quarter, function"]} == {"a finite number"}, "the rest is larger"
    assert float(LOWEST) == -3.4028234663852886e38


class Born(layers.Layer):  # type: ignore[misc]
    """A logarithm of less than 0, for one example, once something is taken off."""

    def build(self, shape: Any) -> None:
        self.less = self.add_weight(name="less", shape=(), initializer="zeros", trainable=False)
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        return tf.math.log(inputs - tf.convert_to_tensor(self.less))


def examples(takes: Sequence[int], share: int = 1) -> np.ndarray:
    x = np.random.RandomState(0).uniform(0.6, 1.6, (EXAMPLES, *takes)).astype(np.float32)
    x[BAD].flat[: x[BAD].size // share] *= 0.2
    return x


def trained(behind: Sequence[Behind], folder: Path, share: int = 1) -> list[Finding]:
    """Trains a model of these layers behind the one in which NaN is born, and returns what is found.

    It is born of the probe's examples alone, so that the weights stay finite.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    inputs = keras.Input(behind[0].takes)
    born = Born(name="born")
    x = born(inputs)
    outputs = [layers.Flatten()(one.apply(x, f"behind_{i}")) for i, one in enumerate(behind)]
    together = outputs[0] if len(outputs) == 1 else layers.Concatenate(name="together")(outputs)
    model = keras.Model(inputs, layers.Dense(1, name="score")(together))
    model.compile(keras.optimizers.SGD(1e-3), "mse")

    class Breaks(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == SINCE:
                born.less.assign(0.4)

    data = examples(behind[0].takes, share)
    logging = LayerViewCallback(folder, probe=(data, np.ones((EXAMPLES, 1))), schedule=1)
    model.fit(data + 1, np.ones((EXAMPLES, 1)), EXAMPLES, 6, verbose=0, shuffle=False, callbacks=[Breaks(), logging])
    return found_in(folder)


def found_in(folder: Path) -> list[Finding]:
    return list({run.name: found for run, found in diagnose_runs(LayerReader(folder).runs())}["."])


def assert_only_root(found: list[Finding], first: int) -> None:
    """All that is found follows from the NaN in the layer in which it was born."""
    roots = [finding for finding in found if finding.follows is None]
    report = "\n".join(f"{f.rule} at {f.first}: {f.words} [follows {f.follows}]" for f in [*roots, *found[:12]])
    assert roots == [found[0]], report
    where = found[0].tensor
    assert where is not None, report
    assert (found[0].rule, where.layer, where.kind) == ("non_finite", "born", "activation"), report
    assert found[0].first == first, report


# An index that is made of NaN is none: TensorFlow ends the training itself.
TRAINABLE = [behind for behind in BEHIND if behind.name != "Embedding"]


@pytest.mark.parametrize("takes", [FLAT, WIDE, PICTURE, SEQUENCE], ids=["flat", "wide", "pictures", "sequences"])
@pytest.mark.core("flat")
def test_the_layer_in_which_a_nan_was_born_is_named_whatever_is_behind_it(takes: Any, tmp_path: Path) -> None:
    behind = [one for one in TRAINABLE if one.takes == takes]
    assert behind
    assert_only_root(trained(behind, tmp_path), SINCE + 1)


@pytest.mark.parametrize("share", [1, 4], ids=["all", "a quarter"])
@pytest.mark.parametrize(
    "name", ["Dense, relu", "Conv2D, relu", "MaxPooling1D", "MaxPooling2D", "Softmax", "BatchNormalization"]
)
@pytest.mark.core("BatchNormalization-all", "Dense, relu-all", "MaxPooling2D-a quarter", "Softmax-a quarter")
def test_it_is_named_where_alone_what_makes_another_number_of_nan_is_behind_it(
    name: str, share: int, tmp_path: Path
) -> None:
    assert_only_root(trained([BY_NAME[name]], tmp_path, share), SINCE + 1)


@pytest.mark.parametrize("pools", [False, True], ids=["a fused ReLU", "max pooling"])
def test_in_a_graph_the_layer_in_which_a_nan_was_born_is_named(pools: bool, tmp_path: Path) -> None:
    x = np.stack([examples((8,)) + (0.6 if step < SINCE else 0) for step in range(5)])  # an example of less than 0.4

    def weight(name: str, *shape: int, start: float = 0.1) -> Any:
        kernel = np.full(shape, start, np.float32) * np.arange(1, shape[-1] + 1, dtype=np.float32)
        return tf1.get_variable(name, initializer=kernel, use_resource=True)

    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        given = tf1.data.make_one_shot_iterator(tf.data.Dataset.from_tensor_slices(x)).get_next()
        with tf1.variable_scope("born"):
            logs = tf.math.log(given * weight("scale", 8, start=1.0) - 0.4 * np.arange(1, 9, dtype=np.float32))
        with tf1.variable_scope("behind"):
            h = tf.nn.relu(tf.nn.bias_add(tf.matmul(logs, weight("kernel", 8, 8)), weight("bias", 8)))
        if pools:
            h = tf.reshape(tf.nn.max_pool1d(logs[:, :, tf.newaxis], 2, 2, "VALID"), [-1, 4])
        with tf1.variable_scope("score"):
            score = tf.matmul(h, weight("kernel", int(h.shape[-1]), 1))
        train = tf1.train.GradientDescentOptimizer(1e-4).minimize(tf.reduce_mean((score - 1) ** 2), step)
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1)]) as session:
            while not session.should_stop():
                session.run(train)
    assert_only_root(found_in(tmp_path), SINCE + 1)


def test_each_file_that_runs_without_onednn_too_is_there() -> None:
    assert "test_nan_behind_layers.py" in ARITHMETIC
    for name in (*ARITHMETIC, *IN_PART):
        assert len(list(TESTS.rglob(name))) == 1


# ---- The document ----


def test_the_document_has_each_layer() -> None:
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    assert [cells[0] for cells in rows[2:]] == [behind.name for behind in BEHIND]  # after the heads and a line


def test_a_cell_says_what_differs_and_nothing_twice() -> None:
    same = {f"{what}, {mode}": "NaN" for what in ("a quarter", "all") for mode in ("eager", "function")}
    assert cell(same) == "NaN"
    assert cell({**same, "all, eager": "0", "all, function": "0"}) == "a quarter: NaN; all: 0"
    assert cell({**same, "a quarter, function": "0", "all, function": "0"}) == "NaN; in a function 0"
    assert cell({**same, "all, function": "0"}) == "a quarter: NaN; all: NaN, in a function 0"


def test_the_document_is_made_of_what_was_recorded(tmp_path: Path) -> None:
    seen = {f"{what}, {mode}": "NaN" for what in ("a quarter", "all") for mode in ("eager", "function")}
    rows = [{"test": "t", "name": "behind_nan", "value": {"name": "ReLU", "onednn": on, "seen": seen}} for on in (1, 0)]
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"software": {"tensorflow": "2.99.1"}, "recorded": rows}))
    lines = document([Shown.read([file], onednn) for onednn in (True, False)]).splitlines()
    assert "| layer | TensorFlow 2.99, oneDNN | TensorFlow 2.99, no oneDNN |" in lines
    assert "| ReLU | NaN | NaN |" in lines
    file.write_text(json.dumps({"software": {"tensorflow": "2.99.1"}, "recorded": []}))
    with pytest.raises(ValueError, match=r"one\.json holds nothing of layers behind NaN"):
        Shown.read([file], True)
    with pytest.raises(FileNotFoundError, match="run `make test` and `make test-long` first"):
        Shown.read([tmp_path / "none.json"], True)
