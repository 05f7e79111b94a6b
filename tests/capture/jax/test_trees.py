"""Trees of JAX, logged with `LayerWriter.write_tree`: a loop of one's own that donates, and what JAX knows of trees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import core, linen, nnx
from places import environment

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.writing import trees

rng = np.random.default_rng(3)
X, Y = rng.normal(size=(16, 3)).astype(np.float32), rng.normal(size=(16, 2)).astype(np.float32)
KERNELS = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
RATE, DECAY, STEPS = 0.1, 0.9, 6
EXACT = Keep(precision="float64", gradients=64)


def forward(params: Any, x: Any) -> Any:
    hidden = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return hidden @ params["out"]["kernel"] + params["out"]["bias"]


def train(logdir: Path | None) -> Any:
    """A loop of JAX and Optax that donates parameters and state; returns the last ones."""
    params: Any = {
        name: {"kernel": jnp.array(kernel), "bias": jnp.zeros(kernel.shape[1])}
        for name, kernel in zip(("hidden", "out"), KERNELS)
    }
    optimizer = optax.sgd(RATE, momentum=DECAY)
    state = optimizer.init(params)

    def step(params: Any, state: Any) -> Any:
        loss, gradients = jax.value_and_grad(lambda p: jnp.mean((forward(p, X) - Y) ** 2))(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, loss, gradients, updates

    step = jax.jit(step, donate_argnums=(0, 1))
    writer = None if logdir is None else LayerWriter(logdir, keep=EXACT)
    if writer is not None:
        writer.write_tree(0, params)
    for i in range(1, STEPS + 1):
        params, state, loss, gradients, updates = step(params, state)
        if writer is not None:
            writer.write_tree(i, params, scalars={"loss": loss})
            writer.write_tree(i, gradients, kind="gradient")
            writer.write_tree(i, updates, kind="update")
            writer.write_tree(i, state, kind="optimizer")
    if writer is not None:
        writer.close()
    return jax.device_get((params, state, loss))


def by_hand() -> list[dict[str, np.ndarray]]:
    """Weights, gradients, momenta and updates of each step, in float64."""
    w = {"hidden/kernel": KERNELS[0], "hidden/bias": np.zeros(4), "out/kernel": KERNELS[1], "out/bias": np.zeros(2)}
    w = {name: value.astype(np.float64) for name, value in w.items()}
    trace = {name: np.zeros_like(value) for name, value in w.items()}
    found = []
    for _ in range(STEPS):
        hidden = np.tanh(X @ w["hidden/kernel"] + w["hidden/bias"])
        error = 2 * (hidden @ w["out/kernel"] + w["out/bias"] - Y) / Y.size
        back = (error @ w["out/kernel"].T) * (1 - hidden**2)
        g = {
            "hidden/kernel": X.T @ back,
            "hidden/bias": back.sum(0),
            "out/kernel": hidden.T @ error,
            "out/bias": error.sum(0),
        }
        trace = {name: g[name] + DECAY * trace[name] for name in w}
        w = {name: w[name] - RATE * trace[name] for name in w}
        found.append(
            {f"weight {name}": value for name, value in w.items()}
            | {f"gradient {name}": value for name, value in g.items()}
            | {f"update {name}": -RATE * value for name, value in trace.items()}
            | {f"optimizer {name}/trace": value for name, value in trace.items()}
        )
    return found


def test_what_a_donating_loop_logs_is_what_numpy_computes_and_the_training_is_the_same(tmp_path: Path) -> None:
    bare, logged = train(None), train(tmp_path)
    for one, other in zip(jax.tree.leaves(bare), jax.tree.leaves(logged), strict=True):
        assert one.tobytes() == other.tobytes()
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == list(range(STEPS + 1))
    for step, truth in enumerate(by_hand(), start=1):
        assert len(truth) == len(run.model.tensors) == 16
        for name, value in truth.items():
            kind, _, path = name.partition(" ")
            layer, _, tensor = path.partition("/")
            found = run.values(run.tensor(layer, kind=kind, name=tensor), step).array
            np.testing.assert_allclose(found, value, rtol=2e-4, atol=2e-6, err_msg=f"{name} at step {step}")


def test_nothing_is_held_of_an_array_that_is_donated_afterwards(tmp_path: Path) -> None:
    double = jax.jit(lambda x: x * 2, donate_argnums=0)
    array = jnp.arange(1024.0)
    before = array.unsafe_buffer_pointer()
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        for step in range(3):
            writer.write_tree(step, {"a": array})
            array = double(array)
            assert array.unsafe_buffer_pointer() == before  # of which a view would have kept JAX from using it again
    run = LayerReader(tmp_path).run()
    maxima = run.statistics("max")[run.tensor("model", name="a")]
    assert maxima.tolist() == [1023.0, 2046.0, 4092.0]


@jax.tree_util.register_pytree_with_keys_class
class Registered:
    """A node of one's own, as of Equinox or Flax."""

    def __init__(self, kernel: Any, inner: Any) -> None:
        self.kernel, self.inner = kernel, inner

    def tree_flatten_with_keys(self) -> Any:
        keys = map(jax.tree_util.GetAttrKey, ("kernel", "inner"))
        return list(zip(keys, (self.kernel, self.inner))), None

    @classmethod
    def tree_unflatten(cls, _: Any, children: Any) -> Any:
        return cls(*children)


def test_paths_are_those_of_jax() -> None:
    tree = {
        "params": {"b": [jnp.ones(2), None, (np.ones(3), 4.0)], "a": {"kernel": jnp.ones(())}},
        "own": Registered(jnp.ones(1), {"x": jnp.ones(1), "y": Registered(None, jnp.ones(1))}),
        "state": optax.adam(0.1).init({"w": jnp.ones(2)}),
    }
    expected = [
        tuple(str(next(getattr(k, a) for a in ("name", "key", "idx") if hasattr(k, a))) for k in path)
        for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]
    ]
    assert sorted(leaf.path for leaf in trees.leaves(tree)) == sorted(expected)


def test_trees_of_flax_are_logged_by_their_names(tmp_path: Path) -> None:
    class Network(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            kernel = linen.with_partitioning(linen.initializers.ones, (None, "model"))
            return linen.Dense(2, kernel_init=kernel)(linen.relu(linen.Dense(4)(x)))

    variables = core.freeze(Network().init(jax.random.key(0), X))
    _, seen = Network().apply(variables, X, capture_intermediates=True)
    optimizer = optax.adam(0.1)
    of_nnx = nnx.state(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.Param)
    with LayerWriter(tmp_path) as writer:
        writer.write_tree(0, variables["params"])
        writer.write_tree(0, optimizer.init(variables["params"]), kind="optimizer")
        writer.write_tree(0, seen["intermediates"], kind="activation")
        writer.write_tree(0, {"nnx": of_nnx})
    run = LayerReader(tmp_path).run()
    found = {(run.model.layers[one.layer].path, one.kind, one.name) for one in run.model.tensors}
    dense = {
        (f"Dense_{i}", *what)
        for i in range(2)
        for what in (
            *(("weight", name) for name in ("kernel", "bias")),
            *(("optimizer", f"{name}/{slot}") for name in ("kernel", "bias") for slot in ("mu", "nu")),
            ("activation", "output"),
        )
    }
    others = {("0", "optimizer", "count"), ("model", "activation", "output")}
    assert found == dense | others | {("nnx", "weight", "kernel"), ("nnx", "weight", "bias")}


def test_keys_are_left_out_with_a_note_and_counts_are_logged(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(2):
            writer.write_tree(step, {"rng": {"key": jax.random.key(step), "count": jnp.uint32(step)}})
    run = LayerReader(tmp_path).run()
    assert [tensor.name for tensor in run.model.tensors] == ["count"]
    assert run.model.notes == ("rng/key: a key of a random generator (key<fry>) is left out",)


SPREAD = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from tb_layerview import Keep, LayerReader, LayerWriter
truth = np.arange(24.0, dtype=np.float32).reshape(4, 6)
mesh = jax.make_mesh((4,), ("data",))
array = jax.device_put(truth, NamedSharding(mesh, PartitionSpec("data")))
assert len(array.sharding.device_set) == 4
with LayerWriter("run", keep=Keep(precision="float64")) as writer:
    writer.write_tree(0, {"spread": array, "copied": jax.device_put(truth, NamedSharding(mesh, PartitionSpec()))})
run = LayerReader("run").run()
for tensor in run.tensors:
    assert np.array_equal(run.values(tensor, 0).array, truth), tensor
print("both are whole")
"""


def test_an_array_that_is_spread_over_devices_is_logged_as_a_whole(tmp_path: Path) -> None:
    env = environment(XLA_FLAGS="--xla_force_host_platform_device_count=4")
    done = subprocess.run(
        [sys.executable, "-c", SPREAD], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "both are whole\n", done.stderr


def test_a_deleted_array_is_refused_in_a_sentence(tmp_path: Path) -> None:
    array = jnp.ones((2, 3))
    jax.jit(lambda x: x + 1, donate_argnums=0)(array)
    message = r"'params/a' of the tree was deleted, an array of shape \(2, 3\).* Log what the function returned"
    with LayerWriter(tmp_path) as writer, pytest.raises(ValueError, match=message):
        writer.write_tree(0, {"params": {"a": array}})
