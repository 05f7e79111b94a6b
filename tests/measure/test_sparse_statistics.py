"""Statistics that only some tensors have, against their definitions in numpy, on the host and on the device."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from older_logs import without_summaries

from tb_layerview import Keep, LayerReader, LayerViewCallback, LayerViewHook, LayerWriter
from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import statistics
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.statistics import SUMMARIES
from tb_layerview.measure.activation_functions import BOUNDS
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.merge import merge
from tb_layerview.measure.summary import summarise
from tb_layerview.reading import step_record
from tb_layerview.writing import log_files

tf = pytest.importorskip("tensorflow")

from tb_layerview.measure.tf import on_device  # noqa: E402
from tb_layerview.measure.tf.tap import Tap  # noqa: E402

rng = np.random.default_rng(4)
EXACT = Keep(activations=10**6, examples=10**4, precision="float32")


def described(array: np.ndarray, name: str = "output", axes: tuple[str, ...] = (), function: str = "") -> Tensor:
    axes = axes or ("example", *(f"axis {i}" for i in range(1, array.ndim)))
    return Tensor(0, "activation", name, array.shape, array.dtype.name, 0, axes, function)


def both(array: np.ndarray, tensor: Tensor, known: bool = True) -> list[dict[str, float]]:
    """What the host and the device measure; where its number of examples is not known, the device does all itself."""
    wanted = Extra.of(tensor)
    assert wanted is not None
    host = measure(array, sparse=wanted).sparse

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([array.shape[0] if known else None, *array.shape[1:]])]
    )
    def there(given: Any) -> Any:
        taps = {0: Tap(given, sparse=wanted)}
        return on_device.reduce(taps, on_device.prepare(taps))

    fetched = tf.nest.map_structure(lambda t: t.numpy(), there(tf.constant(array)))
    spec = tf.TensorSpec(there.get_concrete_function().inputs[0].shape, tf.float32)
    device = on_device.measurements({0: Tap(spec, sparse=wanted)}, fetched)[0].sparse
    return [dict(host), dict(device)]


def spread_and_rank(x: np.ndarray) -> tuple[float, float]:
    """By the eigenvalues of the covariance, all features and examples."""
    rows = x.reshape(len(x), -1).astype(np.float64)
    centred = rows - rows.mean(axis=0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    return (centred**2).sum() / (rows**2).sum(), variances.sum() ** 2 / (variances**2).sum()


@pytest.mark.parametrize("shape", [(8, 5), (16, 7, 11), (32, 300), (2, 3001)])
def test_spread_and_rank_are_those_of_the_examples(shape: tuple[int, ...]) -> None:
    few_directions = rng.normal(size=(shape[0], 3)) @ rng.normal(size=(3, int(np.prod(shape[1:]))))
    for array in (rng.normal(size=shape), 5 + few_directions.reshape(shape), np.maximum(rng.normal(size=shape), 0)):
        single = array.astype(np.float32)
        spread, rank = spread_and_rank(single[:, :: -(-shape[-1] // 2048)] if shape[-1] > 2048 else single)
        for found in both(single, described(single), known=False):
            assert found["spread"] == pytest.approx(spread, rel=1e-4)
            assert found["rank"] == pytest.approx(rank, rel=1e-4)


def test_a_sample_of_the_features_has_all_channels_and_tells_about_the_same() -> None:
    shape = (100, 32, 32, 64)  # 2048 features are one in 32: a stride of 32 would see two of the 64 channels
    each = rng.normal(size=64) ** 2
    array = (3 * each + each * rng.normal(size=shape)).astype(np.float32)
    spread, rank = spread_and_rank(array[:: -(-100 // 32)])
    for found in both(array, described(array)):
        assert found["spread"] == pytest.approx(spread, rel=0.05)
        assert found["rank"] == pytest.approx(rank, rel=0.2)
    wanted = Extra.of(described(array))
    assert wanted is not None
    assert len(np.unique(np.arange(0, 32 * 32 * 64, wanted.features) % 64)) == 64


def test_equal_examples_have_no_spread_and_one_direction_has_rank_one() -> None:
    equal = np.repeat(rng.normal(size=(1, 600)), 32, axis=0).astype(np.float32)
    line = (np.linspace(1, 2, 32)[:, None] * rng.normal(size=600)).astype(np.float32)
    for one, other in zip(both(equal, described(equal)), both(line, described(line))):
        assert one["spread"] < 1e-12
        assert other["rank"] == pytest.approx(1, rel=1e-4)


def test_alike_is_the_share_of_units_that_do_what_another_does() -> None:
    array = np.maximum(rng.normal(size=(16, 7, 12)), 0).astype(np.float32)
    assert alike(array) == 0
    array[..., 5] = array[..., 2] * np.float32(1 + 1e-7)  # the same but for rounding
    array[..., [7, 9]] = array[..., [2, 2]]
    assert alike(array) == pytest.approx(3 / 12)
    array[..., [0, 1, 3]] = 0  # silent units are not compared, and neither are constant ones
    array[..., [4, 6]] = 0.3
    assert alike(array) == pytest.approx(3 / 12)
    array[..., 9] = -array[..., 9]  # not the same: the other way round
    array[:, :, 7] = array[::-1, ::-1, 7] * 1.001
    assert alike(array) == pytest.approx(1 / 12)
    array[0, 0] = np.nan
    assert alike(array) == pytest.approx(1 / 12)
    for low in (-1, 0):  # saturated: many have the same share of examples on each side
        sides = np.where(rng.normal(size=(16, 40)) > 0, 1, low) * (1 - 1e-4 * rng.random((16, 40)))
        assert alike(sides.astype(np.float32)) == 0
    assert alike(np.full((3, 4), np.nan, np.float32)) == 0
    assert np.isnan(alike(array[..., :1]))


def alike(array: np.ndarray) -> float:
    return float(summarise({0: measure(array, units=True)})[SUMMARIES.index("alike"), 0])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_there_is_no_number_where_there_is_nothing_to_tell(value: float) -> None:
    array = np.full((32, 600), value, np.float32)
    assert both(array, described(array)) == [{}, {}]
    one = rng.normal(size=(1, 6000)).astype(np.float32)
    assert both(one, described(one)) == [{}, {}]


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "softsign", "hard_sigmoid", "relu6"])
def test_saturated_is_where_the_derivative_is_below_a_hundredth_of_its_largest(function: str) -> None:
    x = tf.constant(np.linspace(-12, 12, 24_001), tf.float64)
    call = tf.nn.relu6 if function == "relu6" else tf.keras.activations.get(function)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = call(x)
    derivative = tape.gradient(y, x).numpy()
    saturated = np.abs(derivative) < 0.01 * np.abs(derivative).max()
    if function == "relu6":
        saturated &= x.numpy() > 0  # what it cuts off at 0 is silent, not saturated
    array = np.tile(y.numpy().astype(np.float32)[None], (2, 1))
    for found in both(array, described(array, function=function)):
        assert found["saturated"] == pytest.approx(saturated.mean(), abs=2e-4)


def test_functions_without_a_bound_have_no_saturated() -> None:
    array = rng.normal(size=(4, 3000)).astype(np.float32)
    for function in ("relu", "gelu", ""):
        assert function not in BOUNDS
        assert all("saturated" not in found for found in both(array, described(array, function=function)))


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)).astype(np.float32)


def attention_by_hand(p: np.ndarray) -> tuple[float, float, float]:
    """Positions, evenness and likeness of heads of [example, head, query, key], query by query."""
    examples, heads, queries, _ = p.shape
    positions, evenness = [[] for _ in range(heads)], [[] for _ in range(heads)]
    own, between = 0.0, 0.0
    for e, q in itertools.product(range(examples), range(queries)):
        rows = p[e, :, q].astype(np.float64)
        is_open = rows.any(axis=0)
        for h in range(heads):
            positions[h] += [1 / np.sum(rows[h] ** 2)] if is_open.any() else []
            evenness[h] += [positions[h][-1] / is_open.sum()] if is_open.sum() > 1 else []
        if is_open.sum() < 2:
            continue
        rows = rows[:, is_open] - 1 / is_open.sum()
        own += np.mean([row @ row for row in rows])
        between += np.mean([rows[g] @ rows[h] for g in range(heads) for h in range(heads) if g != h] or [0])
    return min(map(np.mean, positions)), min(map(np.mean, evenness)), between / own if own else np.nan


@pytest.mark.parametrize("size", [(2, 3, 7, 7), (3, 4, 24, 31)], ids=["on the host", "on the device"])
@pytest.mark.parametrize("masked", ["open", "causal", "padded"])
def test_attention_is_told_by_positions_evenness_and_likeness(size: tuple[int, ...], masked: str) -> None:
    logits = rng.normal(size=size) * np.arange(1, size[1] + 1)[:, None, None] + rng.normal(size=(1, *size[2:]))
    if masked == "causal":
        logits = np.where(np.tril(np.ones(size[2:], bool)), logits, -1e9)
    if masked == "padded":
        logits[0, ..., 4:] = -1e9
    p = softmax(logits)
    if masked == "padded":
        p[0, :, 4:] = 0  # a padded query looks nowhere
    truth = attention_by_hand(p)
    for found in both(p, described(p, "scores", ("example", "head", "query", "key")), known=size[1] == 3):
        assert tuple(found.values()) == pytest.approx(truth, rel=1e-4)


def test_the_three_ways_in_which_attention_collapses() -> None:
    def of(p: np.ndarray) -> dict[str, float]:
        host, device = both(p.astype(np.float32), described(p.astype(np.float32), "scores"))
        assert host == pytest.approx(device, rel=1e-4, abs=1e-6)
        return host

    size = (4, 5, 20, 20)
    one, even = np.zeros(size), np.full(size, 1 / 20)
    one[..., 3] = 1
    alike = np.broadcast_to(softmax(rng.normal(size=(4, 1, 20, 20))), size)
    assert of(one) == {"positions": pytest.approx(1)}  # whether it has a choice cannot be seen
    assert of(even)["evenness"] == pytest.approx(1) and "heads_alike" not in of(even)
    assert of(alike)["heads_alike"] == pytest.approx(1) and of(alike)["positions"] > 5
    unrelated = of(softmax(rng.normal(size=size)))
    assert abs(unrelated["heads_alike"]) < 0.05
    assert "heads_alike" not in of(softmax(rng.normal(size=size))[:, :1])


def test_layers_without_heads_and_attention_over_two_axes_are_measured_too() -> None:
    p = softmax(rng.normal(size=(3, 9, 12)))
    (found, _) = both(p, described(p, "scores", ("example", "query", "key")))
    assert (found["positions"], found["evenness"]) == pytest.approx(attention_by_hand(p[:, None])[:2], rel=1e-4)
    flat = softmax(rng.normal(size=(2, 3, 12, 12)))
    axes = ("example", "head", "query 1", "query 2", "key 1", "key 2")
    image = flat.reshape(2, 3, 3, 4, 3, 4)
    for measured in both(image, described(image, "scores 1", axes)):
        assert tuple(measured.values()) == pytest.approx(attention_by_hand(flat), rel=1e-4)


def test_batches_that_are_merged_have_the_mean_of_both() -> None:
    one, other = (
        Measurement(measure(np.ones((n, 3))).digest, sparse={"spread": x, **more})
        for n, x, more in ((2, 0.5, {}), (6, 0.1, {"rank": 2.0}))
    )
    assert merge(one, other).sparse == pytest.approx({"spread": 0.2, "rank": 2.0})


def test_they_are_columns_with_nan_where_a_tensor_has_none(tmp_path: Path) -> None:
    arrays = [np.tanh(5 * rng.normal(size=(16, 20))).astype(np.float32) for _ in range(4)]
    with LayerWriter(tmp_path) as writer:
        for step, array in enumerate(arrays):
            writer.write(step, {"bounded": array}, function="tanh")
            writer.write(step, {"dense": array if step != 2 else np.full((16, 20), np.nan)})
            writer.write(step, {"dense": array}, kind="weight")
    reader = LayerReader(tmp_path)
    run = reader.run()
    spread, saturated = run.statistics("spread"), run.statistics("saturated")
    truth = [spread_and_rank(array)[0] for array in arrays]
    bounded, plain = run.tensor("bounded"), run.tensor("dense", kind="activation")
    assert (bounded.function, plain.function) == ("tanh", "")
    np.testing.assert_allclose(spread[bounded], truth, rtol=1e-6)
    np.testing.assert_allclose(spread[plain], [*truth[:2], np.nan, truth[3]], rtol=1e-6)
    assert np.isnan(spread[run.tensor("dense", kind="weight")]).all()
    np.testing.assert_allclose(saturated[bounded], [np.mean(1 - a.astype(np.float64) ** 2 < 0.01) for a in arrays])
    assert np.isnan(saturated[plain]).all()
    assert np.isnan(run.statistics("positions")).all()


def test_what_is_added_to_a_step_replaces_and_a_growing_shard_is_read_on(tmp_path: Path) -> None:
    tensor = Tensor(0, "activation", "output", (4, 3), "float32", axes=("example", "unit"))
    writer = log_files.LogFiles(tmp_path)
    writer.describe(Model((Layer("a"), Layer("b")), (tensor, Tensor(1, *list(vars(tensor).values())[1:]))))
    plain = measure(np.ones((4, 3))).digest

    def write(step: int, **spread: float) -> None:
        of = {"a": 0, "b": 1}
        writer.write(step, {of[layer]: Measurement(plain, sparse={"spread": x}) for layer, x in spread.items()})

    write(0, a=0.25)
    reader = LayerReader(tmp_path)
    np.testing.assert_array_equal(reader.run().statistics("spread"), [[0.25], [np.nan]])
    write(0, a=np.nan, b=0.5)
    write(1, b=0.75)
    np.testing.assert_array_equal(LayerReader(tmp_path).run().statistics("spread"), [[np.nan, np.nan], [0.5, 0.75]])
    write(2, a=0.125)
    writer.close()
    grown = reader.run().statistics("spread") if len(reader.run().steps) == 3 else None
    truth = [[np.nan, np.nan, 0.125], [0.5, 0.75, np.nan]]
    np.testing.assert_array_equal(LayerReader(tmp_path).run().statistics("spread"), truth)
    if grown is not None:
        np.testing.assert_array_equal(grown, truth)


def test_a_name_of_a_newer_writer_is_ignored_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    from tb_layerview.reading import shard

    def read(**sparse: Any) -> shard.Shard:
        columns = pb.Columns(tensor=[0])
        for name in (*statistics.STATISTICS, *statistics.DENSE):
            getattr(columns, name).append(1)
        columns.sparse.add(**sparse)
        data = pb.StepRecord(step=3, mode=pb.TRAIN, columns=[columns]).SerializeToString()
        return shard.read([step_record.Message(3, 0.0, data)], 1)

    newer = read(name="of tomorrow", tensor=[0], value=[1.0])
    assert newer.problems == () and newer.sparse == {}
    assert read(name="spread", tensor=[0], value=[0.5]).column("spread").tolist() == [[0.5]]
    assert "2 entries of spread for 1 tensors" in read(name="spread", tensor=[0], value=[0.5, 1]).problems[0]
    assert "spread of tensor 7, but the model has 1" in read(name="spread", tensor=[7], value=[0.5]).problems[0]


def test_logs_of_older_writers_have_none(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": rng.normal(size=(4, 5))})
    assert not np.isnan(LayerReader(tmp_path).run().statistics("spread")).any()
    without_summaries(tmp_path)
    run = LayerReader(tmp_path).run()
    assert run.problems == () and np.isnan(run.statistics("spread")).all()


def test_a_keras_training_logs_them_of_the_layers_that_have_them(tmp_path: Path) -> None:
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(1)
    wide = tf.keras.initializers.RandomNormal(stddev=1.0, seed=1)
    given = tf.keras.Input((12, 16), name="given")
    x = layers.MultiHeadAttention(2, 8, name="attend")(given, given)
    x = layers.Conv1D(16, 3, activation="tanh", name="conv")(x)
    x = layers.SimpleRNN(12, name="rnn")(x)
    x = layers.Dense(64, activation="hard_sigmoid", name="hard")(x)
    x = layers.ReLU(6.0, name="six")(x)
    x = layers.Dense(8, activation="sigmoid", name="gate", kernel_initializer=wide)(x)
    model = tf.keras.Model(given, layers.Dense(2, activation="softmax", name="classes")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    data = (4 * rng.normal(size=(32, 12, 16))).astype(np.float32)
    labels = rng.integers(0, 2, 32)
    callback = LayerViewCallback(tmp_path, schedule=1, keep=EXACT)
    model.fit(data, labels, batch_size=16, shuffle=False, verbose=0, callbacks=[callback])
    run = LayerReader(tmp_path).run()
    functions = {t.layer: t.function for t in run.tensors if t.kind == "activation" and t.name == "output"}
    expected = {"conv": "tanh", "rnn": "tanh", "hard": "hard_sigmoid", "gate": "sigmoid", "classes": "softmax"}
    assert functions == {**dict.fromkeys(functions, ""), **expected, "six": "relu6"}
    for name in ("input", "attend", "conv", "hard", "gate"):
        tensor = run.tensor(name, kind="activation", name="output")
        for i, step in enumerate(run.steps.tolist()):
            array = run.values(tensor, step).array
            found = run.statistics("spread")[tensor, i], run.statistics("rank")[tensor, i]
            assert found == pytest.approx(spread_and_rank(array), rel=1e-3)
    gate = run.tensor("gate", kind="activation")
    y = run.values(gate, 0).array.astype(np.float64)
    assert run.statistics("saturated")[gate, 0] == pytest.approx(np.mean(y * (1 - y) < 0.0025), abs=1e-6)
    assert 0 < run.statistics("saturated")[run.tensor("conv", kind="activation"), 0] < 1
    scores = run.tensor("attend", kind="activation", name="scores")
    found = [run.statistics(name)[scores, 0] for name in ("positions", "evenness", "heads_alike")]
    assert found == pytest.approx(attention_by_hand(run.values(scores, 0).array), rel=1e-3)
    assert np.isnan(run.statistics("spread")[scores]).all()


def test_a_hook_logs_them_too(tmp_path: Path) -> None:
    import graphs

    def network(images: Any) -> Any:
        hidden = tf.nn.tanh(graphs.dense(8 * (graphs.flat(images) - 0.5), 400, "hidden"))
        return graphs.dense(tf.nn.sigmoid(graphs.dense(hidden, 6, "gate")), 10, "logits")

    with graphs.trained(network) as t:
        hook = LayerViewHook(tmp_path, schedule=1, keep=EXACT)
        with tf.compat.v1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            for _ in range(3):
                session.run(t.train_op)
    run = LayerReader(tmp_path).run()
    assert [run.tensor(n, kind="activation").function for n in ("hidden", "gate", "logits")] == ["tanh", "sigmoid", ""]
    for name in ("hidden", "gate", "logits"):
        tensor = run.tensor(name, kind="activation")
        array = run.values(tensor, 2).array
        position = run.steps.tolist().index(2)
        found = run.statistics("spread")[tensor, position], run.statistics("rank")[tensor, position]
        assert found == pytest.approx(spread_and_rank(array), rel=1e-3)
    hidden = run.tensor("hidden", kind="activation")
    truth = np.mean(1 - run.values(hidden, 2).array.astype(np.float64) ** 2 < 0.01)
    assert 0 < truth < 1
    assert run.statistics("saturated")[hidden, run.steps.tolist().index(2)] == pytest.approx(truth, abs=1e-4)
