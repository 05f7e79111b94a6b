"""What is logged of a module of Flax NNX is what numpy and `jax.grad` say, and what the module holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from nnx_networks import IMAGES, LABELS, ROWS, TOKENS, Cnn, Mlp, Shared, Stacked, Transformer, cross_entropy

import tb_layerview as lv
from tb_layerview.format.model import KINDS
from tb_layerview.reading.run import Run

KEEP = lv.Keep(activations=2**20, weights=2**20, gradients=2**20, examples=64, precision="float64")
OPTIONS: dict[str, Any] = {"schedule": 1, "keep": KEEP, "select": lv.Select(kinds=KINDS), "loss": cross_entropy}


def made(kind: Any) -> Any:
    return kind(nnx.Rngs(params=0, dropout=1))


def values(run: Run, layer: str, kind: Any, name: str, step: int = 0, call: int = 0) -> np.ndarray:
    return np.asarray(run.values(run.tensor(layer, kind=kind, name=name, call=call), step).array)


def close(found: Any, truth: Any, of: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(found, np.float64), np.asarray(truth, np.float64), rtol=of, atol=of / 10)


def test_an_mlp_is_logged_as_numpy_and_jax_have_it(tmp_path: Path) -> None:
    model = made(Mlp)
    optimizer = nnx.Optimizer(model, optax.inject_hyperparams(optax.sgd)(0.1, momentum=0.9), wrt=nnx.Param)
    x, y = ROWS[0], LABELS[0]
    seen = []
    with lv.LayerRecorder(model, tmp_path, (x, y), optimizer=optimizer, **OPTIONS) as recorder:
        for step in range(3):
            w = {
                name: {part: np.asarray(getattr(layer, part).get_value()) for part in ("kernel", "bias")}
                for name, layer in (("hidden", model.hidden), ("out", model.out))
            }
            trace = jax.tree.map(np.asarray, nnx.to_pure_dict(optimizer.opt_state.inner_state[0].trace))
            seen.append((w, trace))
            recorder.record(step)
            gradients = nnx.grad(lambda model: cross_entropy(model(ROWS[1]), LABELS[1]))(model)
            optimizer.update(model, gradients)
    run = lv.LayerReader(tmp_path).run()
    assert run.scalars["learning_rate"].tolist() == [pytest.approx(0.1)] * 3
    assert run.model.software.endswith(f"JAX {jax.__version__}") and "Flax" in run.model.software

    def loss_of(w: Any) -> Any:
        hidden = jnp.tanh(x @ w["hidden"]["kernel"] + w["hidden"]["bias"])
        return cross_entropy(hidden @ w["out"]["kernel"] + w["out"]["bias"], y)

    for step, (w, trace) in enumerate(seen):
        hidden = x.astype(np.float64) @ w["hidden"]["kernel"] + w["hidden"]["bias"]
        close(values(run, "hidden", "activation", "output", step), hidden)
        close(values(run, "out", "activation", "output", step), np.tanh(hidden) @ w["out"]["kernel"] + w["out"]["bias"])
        loss, gradients = jax.value_and_grad(loss_of)(w)
        assert run.scalars["probe_loss"][step] == pytest.approx(float(loss), rel=1e-5)
        for layer in w:
            for part in w[layer]:
                assert np.array_equal(values(run, layer, "weight", part, step), w[layer][part])
                assert np.array_equal(values(run, layer, "optimizer", f"{part}/momentum", step), trace[layer][part])
                close(values(run, layer, "gradient", part, step), gradients[layer][part])
                if step:
                    update = w[layer][part].astype(np.float64) - seen[step - 1][0][layer][part]
                    close(values(run, layer, "update", part, step), update, 1e-6)
    paths = [layer.path for layer in run.model.layers]
    assert paths == ["input", "hidden", "out"]
    assert [layer.inputs for layer in run.model.layers] == [(), (0,), (1,)]


def test_a_cnn_trains_on_the_probe_whatever_mode_it_is_in_and_the_shift_is_known(tmp_path: Path) -> None:
    model = made(Cnn)
    model.eval()  # as between two validations
    with lv.LayerRecorder(model, tmp_path, (IMAGES[0], LABELS[0]), **OPTIONS) as recorder:
        recorder.record(0)
    assert model.drop.deterministic and model.norm.use_running_average
    run = lv.LayerReader(tmp_path).run()
    conv = values(run, "conv", "activation", "output").astype(np.float64)
    mean, var = conv.mean((0, 1, 2)), conv.var((0, 1, 2))
    close(values(run, "norm", "activation", "output"), (conv - mean) / np.sqrt(var + 1e-5), 1e-4)
    dropped = values(run, "drop", "activation", "output")
    assert 0.2 < (dropped == 0).mean() < 0.9
    described = {(run.model.layers[one.layer].path, one.kind, one.name): one.axes for one in run.model.tensors}
    assert described["norm", "activation", "output"] == ("example", "row", "column", "channel")
    assert described["norm", "weight", "mean"] == ("unit",)
    shift = {path: run.statistics("shift")[run.tensor(path, kind="activation"), 0] for path in ("norm", "conv")}
    assert shift["norm"] > 0 and np.isnan(shift["conv"])
    # Moving statistics are weights, without gradients or updates; the keys of random generators are none.
    names = {(one.kind, one.name) for one in run.model.tensors if run.model.layers[one.layer].path == "norm"}
    assert {("weight", "mean"), ("weight", "var")} <= names
    assert not {("gradient", "mean"), ("update", "mean")} & names
    assert not any("rngs" in run.model.layers[one.layer].path + one.name for one in run.model.tensors)


def test_attention_is_the_softmax_of_queries_and_keys(tmp_path: Path) -> None:
    model = made(Transformer)
    with lv.LayerRecorder(model, tmp_path, (TOKENS[0], LABELS[0]), **OPTIONS) as recorder:
        recorder.record(0)
    run = lv.LayerReader(tmp_path).run()
    path = "blocks/0/attention"
    query, key = (
        values(run, f"{path}/{which}", "activation", "output").astype(np.float64) for which in ("query", "key")
    )
    logits = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    logits = np.where(np.tril(np.ones(logits.shape[-2:], bool)), logits, -np.inf)
    truth = np.exp(logits - logits.max(-1, keepdims=True))
    scores = run.tensor(path, name="scores")
    close(run.values(scores, 0).array, truth / truth.sum(-1, keepdims=True))
    described = {(run.model.layers[one.layer].path, one.kind, one.name): one.axes for one in run.model.tensors}
    assert described[path, "activation", "scores"] == ("example", "head", "query", "key")
    assert described[f"{path}/query", "weight", "kernel"] == ("input", "head", "unit")
    assert described["embed", "weight", "embedding"] == ("token", "unit")
    assert described["input", "activation", "output"] == ("example", "timestep")


def test_calls_of_a_shared_module_are_counted_and_a_method_that_calls_its_base_is_one_call(tmp_path: Path) -> None:
    with lv.LayerRecorder(made(Shared), tmp_path, (ROWS[0], LABELS[0]), **OPTIONS) as recorder:
        recorder.record(0)
    run = lv.LayerReader(tmp_path).run()
    calls = [(run.model.layers[one.layer].path, one.call) for one in run.model.tensors if one.kind == "activation"]
    assert calls == [("input", 0), ("first", 0), ("again", 0), ("again", 1), ("out/hidden", 0), ("out/out", 0)]
    first = run.values(run.tensor("first", kind="activation"), 0).array
    kernel, bias = (values(run, "first", "weight", name) for name in ("kernel", "bias"))
    close(first, 2 * (ROWS[0] @ kernel + bias))  # as it trains, though nobody has told it so


def test_weights_of_what_a_scan_calls_are_logged_and_a_note_says_what_is_not(tmp_path: Path) -> None:
    with lv.LayerRecorder(made(Stacked), tmp_path, (ROWS[0], LABELS[0]), **OPTIONS) as recorder:
        recorder.record(0)
    run = lv.LayerReader(tmp_path).run()
    described = {(run.model.layers[one.layer].path, one.kind, one.name): one for one in run.model.tensors}
    assert described["stack", "weight", "kernel"].axes == ("layer", "input", "unit")
    assert described["stack", "gradient", "kernel"].shape == (3, 6, 6)
    assert ("checkpointed", "weight", "kernel") in described
    (note,) = (note for note in run.model.notes if "not seen being called" in note)
    assert note.endswith("their activations are left out: checkpointed, stack")


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"loss": 3}, TypeError, r"loss must be a function that is given what the model makes .*, not 3"),
        ({"optimizer": optax.sgd(0.1)}, TypeError, r"optimizer must be an nnx\.Optimizer, or a list of several, not "),
        ({"probe": (ROWS[0, :, :3], LABELS[0])}, ValueError, r"cannot be run on the given probe, whose .* \(8, 3\): "),
        ({"select": lv.Select(include=("conv*",))}, ValueError, r"include pattern 'conv\*' matches none of the"),
    ],
)
def test_bad_input_is_refused_before_the_training(
    tmp_path: Path, changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"probe": (ROWS[0], LABELS[0]), **OPTIONS, **changed}
    with pytest.raises(error, match=message):
        lv.LayerRecorder(made(Mlp), tmp_path, **given)


def test_a_loss_that_cannot_be_computed_is_noted_and_the_rest_is_logged(tmp_path: Path) -> None:
    options = {**OPTIONS, "loss": lambda outputs, _: outputs}
    with lv.LayerRecorder(made(Mlp), tmp_path, (ROWS[0], LABELS[0]), **options) as recorder:
        recorder.record(0)
    run = lv.LayerReader(tmp_path).run()
    assert {one.kind for one in run.model.tensors} >= {"activation", "weight"}
    assert any("it is an array of shape (8, 3), not of one number: reduce it" in note for note in run.model.notes)


def test_a_model_whose_state_was_donated_is_reported_with_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = made(Mlp)
    optimizer = nnx.Optimizer(model, optax.inject_hyperparams(optax.adam)(0.1), wrt=nnx.Param)
    use_up = jax.jit(lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0)
    with lv.LayerRecorder(model, tmp_path, (ROWS[0], LABELS[0]), optimizer=optimizer, **OPTIONS) as recorder:
        recorder.record(0)
        for node in (model, optimizer):
            use_up(nnx.split(node)[1])
        for step in range(1, 4):
            recorder.record(step, batch=(ROWS[0], LABELS[0]))
    said = [record.getMessage() for record in caplog.records]
    assert said and len(set(said)) == len(said)  # once each
    words = "hidden/bias was deleted: it was donated to a step. Put what the step returned into the model before it is"
    assert all(words in one and "nnx.update(model, state)" in one for one in said), said


def test_targets_of_the_probe_are_those_that_were_given(tmp_path: Path) -> None:
    y = jnp.arange(4, dtype=jnp.bfloat16) / 4
    with lv.LayerRecorder(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), tmp_path, (jnp.ones((4, 2)), [y, y > 0.3])) as recorder:
        recorder.record(0)
    found = lv.LayerReader(tmp_path).run().targets()
    assert {name: (array.dtype.name, array.tolist()) for name, array in found.items()} == {
        "0": ("float32", [0, 0.25, 0.5, 0.75]),
        "1": ("bool", [False, False, True, True]),
    }
