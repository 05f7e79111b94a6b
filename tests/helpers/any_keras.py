"""Keras, whatever computes it: TensorFlow's own where that is installed, else Keras 3 on JAX or PyTorch.

A test that takes all of this from here holds for each of them. Its truth is the framework's own, or numpy's.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

FRAMEWORK = next(name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name))
IS_TENSORFLOW = FRAMEWORK == "tensorflow"

if IS_TENSORFLOW:
    import tensorflow as tf

    keras = tf.keras
    #: Plain operations, by the names that Keras 3 has for them: Keras 2 has none of its own.
    ops: Any = SimpleNamespace(
        abs=tf.abs,
        cast=tf.cast,
        concatenate=tf.concat,
        cond=tf.cond,
        convert_to_tensor=tf.convert_to_tensor,
        einsum=tf.einsum,
        log=tf.math.log,
        matmul=tf.matmul,
        mean=tf.reduce_mean,
        norm=tf.norm,
        ones_like=tf.ones_like,
        relu=tf.nn.relu,
        shape=tf.shape,
        sigmoid=tf.nn.sigmoid,
        sin=tf.sin,
        softmax=tf.nn.softmax,
        sqrt=tf.sqrt,
        stop_gradient=tf.stop_gradient,
        sum=tf.reduce_sum,
        tanh=tf.tanh,
        transpose=tf.transpose,
        where=tf.where,
    )
    #: What a computation raises that the processor has no kernel for.
    ERRORS: tuple[type[BaseException], ...] = (tf.errors.OpError,)
else:
    import keras

    ops, ERRORS = keras.ops, ()

#: What a step makes of its gradients before it applies them.
Change = Callable[[list[Any]], list[Any]]

layers = keras.layers
KERAS_3 = keras.version() >= "3" if hasattr(keras, "version") else False


def only_tensorflow(reason: str) -> pytest.MarkDecorator:
    """A mark: the test is of what TensorFlow alone has, and no other backend of Keras could."""
    return pytest.mark.skipif(not IS_TENSORFLOW, reason=f"TensorFlow's own: {reason}")


several_steps = pytest.mark.skipif(FRAMEWORK == "torch", reason="Keras refuses steps_per_execution on PyTorch")


def array(value: Any) -> np.ndarray:
    """A tensor, a variable or whatever numpy takes, as an array."""
    if IS_TENSORFLOW:
        return np.asarray(value)
    is_tensor = keras.ops.is_tensor(value) or isinstance(value, keras.Variable)
    return np.asarray(keras.ops.convert_to_numpy(value) if is_tensor else value)


def tensor(value: Any) -> Any:
    """A tensor of the framework."""
    return ops.convert_to_tensor(value)


def kernel_of(layer: Any) -> np.ndarray:
    """A layer's first weight, in memory of its own: on PyTorch what Keras gives is the weight's, and is trained on."""
    return np.array(layer.get_weights()[0])


def leaves(structure: Any) -> list[Any]:
    """The leaves of a nested structure."""
    found: list[Any] = tf.nest.flatten(structure) if IS_TENSORFLOW else keras.tree.flatten(structure)
    return found


def drawn() -> float:
    """The next of the framework's own random numbers that have no seed of their own."""
    if IS_TENSORFLOW:
        return float(tf.random.uniform([]))
    if FRAMEWORK == "torch":
        import torch

        return float(torch.rand([]))
    return float(keras.random.uniform(()))


# Gradients by the framework's own means.


def gradients_of(function: Callable[..., Any], arrays: Sequence[Any]) -> list[Any]:
    """Of a function's one number with respect to its arguments: by a tape, `jax.grad` or `torch.autograd`."""
    if IS_TENSORFLOW:
        tensors = [tf.constant(one) for one in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return list(tape.gradient(value, tensors))
    if FRAMEWORK == "jax":
        import jax

        return list(jax.grad(function, tuple(range(len(arrays))))(*map(jax.numpy.asarray, arrays)))
    import torch

    tensors = [torch.tensor(one, requires_grad=True) for one in arrays]
    return list(torch.autograd.grad(function(*tensors), tensors))


def _in_training(model: Any) -> dict[str, bool]:
    """What Keras' own step on JAX gives a model's call, which it makes without `__call__`."""
    return {"training": True} if model._call_has_training_arg else {}


def gradients(model: Any, x: Any, loss: Callable[[Any], Any], variables: Sequence[Any]) -> list[Any]:
    """Of a loss of a model's outputs with respect to some of its variables; None where there is none.

    Args:
      model: A Keras model, which is called in training mode.
      x: What it is called with.
      loss: Makes one number of its outputs.
      variables: Of those that the model trains.
    """
    if IS_TENSORFLOW:
        variables = [v if isinstance(v, tf.Variable) else v.value for v in variables]
        with tf.GradientTape() as tape:
            value = loss(model(x, training=True))
        return list(tape.gradient(value, variables))
    if FRAMEWORK == "jax":
        return _gradients_on_jax(model, x, loss, variables)
    import torch

    value = loss(model(x, training=True))
    return list(torch.autograd.grad(value, [v.value for v in variables], allow_unused=True))


def _gradients_on_jax(model: Any, x: Any, loss: Callable[[Any], Any], variables: Sequence[Any]) -> list[Any]:
    import jax

    places = [next(i for i, one in enumerate(model.trainable_variables) if one is v) for v in variables]
    trained, other = ([v.value for v in those] for those in (model.trainable_variables, model.non_trainable_variables))

    def value(given: Sequence[Any]) -> Any:
        return loss(model.stateless_call(given, other, x, **_in_training(model))[0])

    found = jax.grad(value)(trained)
    return [found[place] for place in places]


def train_step(model: Any, loss: Callable[[Any], Any], x: Any, change: Change = list) -> Any:
    """A step of a loop of one's own, without Keras' `fit`: gradients, changed, which the optimizer applies.

    Args:
      model: A compiled model.
      loss: Makes one number of its outputs.
      x: What it is called with.
      change: Makes others of the gradients.

    Returns:
      The loss, a tensor [].
    """
    variables = model.trainable_variables
    if IS_TENSORFLOW:
        with tf.GradientTape() as tape:
            value = loss(model(x, training=True))
        found = tape.gradient(value, [v if isinstance(v, tf.Variable) else v.value for v in variables])
        model.optimizer.apply_gradients(zip(change(found), variables))
        return value
    if FRAMEWORK == "torch":
        import torch

        value = loss(model(x, training=True))
        found = torch.autograd.grad(value, [v.value for v in variables])
        with torch.no_grad():
            model.optimizer.apply(change(list(found)), variables)
        return value.detach()
    return _train_step_on_jax(model, loss, x, change)


def _train_step_on_jax(model: Any, loss: Callable[[Any], Any], x: Any, change: Change) -> Any:
    import jax

    trained, other = ([v.value for v in those] for those in (model.trainable_variables, model.non_trainable_variables))

    def value(given: Sequence[Any]) -> tuple[Any, Any]:
        outputs, updated = model.stateless_call(given, other, x, **_in_training(model))
        return loss(outputs), updated

    (found_loss, updated), found = jax.value_and_grad(value, has_aux=True)(trained)
    for variable, new in zip(model.non_trainable_variables, updated):
        variable.assign(new)
    model.optimizer.apply(change(found), model.trainable_variables)
    return found_loss


# Types.


@contextlib.contextmanager
def type_policies() -> Iterator[Callable[[str], None]]:
    """Sets the type that layers compute in; afterwards it is float32 again. JAX has 64 bits only if it is told to."""
    set_policy = keras.mixed_precision.set_global_policy

    def to(name: str) -> None:
        if FRAMEWORK == "jax":
            import jax

            if name == "float64":
                jax.config.update("jax_enable_x64", True)
        set_policy(name)

    try:
        yield to
    finally:
        set_policy("float32")
        if FRAMEWORK == "jax":
            import jax

            jax.config.update("jax_enable_x64", False)


# Data.


def batches(data: Any, size: int, shuffled: bool = False) -> Any:
    """Batches as people make them who train with this framework; of JAX there are none, so they are a `PyDataset`.

    Args:
      data: A tuple of nested structures of arrays.
      size: Examples of a batch.
      shuffled: Whether their order is drawn, from a seed, where the framework's own data set does that.
    """
    if IS_TENSORFLOW:
        examples = tf.data.Dataset.from_tensor_slices(data)
        return (examples.shuffle(64, seed=1) if shuffled else examples).batch(size)
    count = len(leaves(data)[0])
    if FRAMEWORK == "torch":
        import torch

        rows = [keras.tree.map_structure(lambda leaf: leaf[index], data) for index in range(count)]  # noqa: B023
        generator = torch.Generator().manual_seed(1)
        return torch.utils.data.DataLoader(rows, size, shuffle=shuffled, generator=generator)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return -(-count // size)

        def __getitem__(self, index: int) -> Any:
            return keras.tree.map_structure(lambda leaf: leaf[index * size : (index + 1) * size], data)

    return Batches()
