"""Trainings of Keras 3 models, and everything that one leaves behind, to compare two of them to the last bit."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import keras_gan
import keras_models as models
import numpy as np
from keras_models import BACKEND, BATCH, CLASSES, EPOCH, FEATURES, IMAGES, TARGETS, TOKENS

#: Arguments of `fit`, without those that are the same for all.
Data = Callable[[], Mapping[str, Any]]


def arrays(x: Any, y: Any, **more: Any) -> Data:
    return lambda: {"x": x, "y": y, "batch_size": BATCH, **more}


def generated() -> Mapping[str, Any]:
    """Batches of a generator that draws random numbers itself, as one that augments does."""

    def batches() -> Iterator[Any]:
        while True:
            for start in range(0, len(FEATURES), BATCH):
                noise = np.random.normal(0, 0.01, (BATCH, 6)) + random.random()
                yield (FEATURES[start : start + BATCH] + noise).astype(np.float32), TARGETS[start : start + BATCH]

    return {"x": batches(), "steps_per_epoch": EPOCH}


class Batches(keras.utils.PyDataset):
    """Batches by number, the last one smaller."""

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(BATCH * index, BATCH * (index + 1) - (2 if index == EPOCH - 1 else 0))
        return FEATURES[rows], TARGETS[rows]


def loaded() -> Mapping[str, Any]:
    """Batches of PyTorch's own loader, which shuffles by PyTorch's own random numbers."""
    import torch

    examples = torch.utils.data.TensorDataset(torch.from_numpy(FEATURES), torch.from_numpy(TARGETS))
    return {"x": torch.utils.data.DataLoader(examples, BATCH, shuffle=True)}


@dataclasses.dataclass(frozen=True)
class Training:
    """A way to train.

    Attributes:
      make: Makes the model, compiled.
      data: What it is trained on.
      backends: The backends of Keras that can train so.
    """

    make: Callable[[], Any]
    data: Data
    backends: Sequence[str] = ("jax", "torch")

    def fit(self, model: Any, callbacks: Sequence[Any] = ()) -> dict[str, list[float]]:
        """Two epochs; returns the history."""
        return dict(model.fit(**self.data(), epochs=2, verbose=0, callbacks=list(callbacks)).history)


SIX = arrays(FEATURES, TARGETS)
PICTURES = arrays(IMAGES, CLASSES)
WORDS = arrays(TOKENS, CLASSES)
VALIDATED = arrays(IMAGES, CLASSES, validation_data=(IMAGES[:20], CLASSES[:20]), validation_batch_size=8)
WEIGHTED = arrays(FEATURES, TARGETS, sample_weight=np.linspace(0, 2, len(FEATURES)).astype(np.float32))

#: By name, all of them.
TRAININGS = {
    "cnn": Training(models.cnn, PICTURES),
    "transformer": Training(models.transformer, WORDS),
    "nested": Training(models.nested, SIX),
    "lstm": Training(models.recurrent, WORDS),
    "spectral normalisation": Training(models.spectral, SIX),
    "a module of PyTorch": Training(models.wrapped, PICTURES, ("torch",)),
    "a GAN": Training(keras_gan.gan, arrays(keras_gan.PAIRS, None)),
    "a validation": Training(models.cnn, VALIDATED),
    "a generator": Training(models.nested, generated),
    "a PyDataset": Training(models.spectral, lambda: {"x": Batches(workers=1)}),
    "a DataLoader": Training(models.spectral, loaded, ("torch",)),
    "a model that is not built": Training(models.unbuilt, SIX),
    "sample weights": Training(models.two_layers, WEIGHTED),
    "run_eagerly": Training(partial(models.nested, run_eagerly=True), SIX),
    "jit_compile": Training(partial(models.one_layer, jit_compile=True), SIX),
    "no jit_compile": Training(partial(models.nested, jit_compile=False), SIX),
    "steps_per_execution": Training(partial(models.cnn, steps_per_execution=4), PICTURES, ("jax",)),
    "mixed_bfloat16": Training(partial(models.in_policy, "mixed_bfloat16", models.cnn), PICTURES),
    "mixed_float16": Training(partial(models.in_policy, "mixed_float16", models.cnn), PICTURES),
    "remat": Training(models.rematerialized, SIX),
    "gradient accumulation": Training(
        lambda: models.nested(optimizer=keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)), SIX
    ),
    "an average of the weights": Training(
        lambda: models.cnn(optimizer=keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True, global_clipnorm=0.5)),
        PICTURES,
    ),
}
HERE = {name: training for name, training in TRAININGS.items() if BACKEND in training.backends}


def trained(
    training: Training, callbacks: Callable[[], Sequence[Any]] = list, seed: int = 7
) -> tuple[Any, dict[str, Any]]:
    """Trains a new model from a seed; returns it, and by name all that may not differ, as bytes and plain values."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = training.make()
    with compilations() as names:
        history = training.fit(model, callbacks())
    return model, {"history": repr(history), "compilations": names.count("train_step"), **left_by(model)}


def left_by(model: Any) -> dict[str, Any]:
    """What a training has left, of the model and of the process."""
    optimizers = {name: one for name, one in vars(model).items() if isinstance(one, keras.optimizers.Optimizer)}
    found: dict[str, Any] = {"attributes": sorted(vars(model))}
    for number, variable in enumerate(model.variables):
        found[f"variable {number} {variable.path}"] = bits(variable.value)
    for name, optimizer in optimizers.items():
        for number, variable in enumerate(optimizer.variables):
            found[f"{name} {number} {variable.path}"] = bits(variable.value)
    if BACKEND == "torch":
        found |= of_torch(model)
    return found | of_process()


def of_torch(model: Any) -> dict[str, Any]:
    """Gradients that variables have, buffers and modes of modules, and hooks."""
    import torch

    found: dict[str, Any] = {}
    for number, variable in enumerate(model.variables):
        gradient = variable.value.grad
        found[f"grad {number} {variable.path}"] = None if gradient is None else bits(gradient)
    for number, layer in enumerate(model._flatten_layers()):
        found[f"layer {number} {layer.name}"] = layer.training, len(layer._forward_hooks), len(layer._backward_hooks)
        if isinstance(layer, keras.layers.TorchModuleWrapper):
            for name, buffer in layer.module.named_buffers():
                found[f"buffer {number} {name}"] = bits(buffer)
            for name, module in layer.module.named_modules():
                found[f"module {number} {name}"] = module.training, len(module._forward_hooks)
    return found | {"PyTorch's numbers": bytes(torch.get_rng_state().numpy()), "grad mode": torch.is_grad_enabled()}


def of_process() -> dict[str, Any]:
    """The states of the process's random numbers, and what Keras gives next."""
    kind, keys, *rest = np.random.get_state()
    return {
        "Python's numbers": random.getstate(),
        "numpy's numbers": (kind, bytes(keys), *rest),
        "Keras's numbers": bits(keras.random.normal((3,))),
        "Keras's names": keras.layers.Dense(1).name,
    }


def bits(value: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Type, shape and bytes of an array of any backend."""
    array = numpy_of(value)
    return str(array.dtype), array.shape, array.tobytes()


def numpy_of(value: Any) -> np.ndarray:
    """A copy of a tensor, of the backend or of PyTorch; a bfloat16 as such."""
    if BACKEND == "torch":
        value = keras.ops.convert_to_tensor(value).detach().clone()
    return np.array(keras.ops.convert_to_numpy(value))


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of what is not the same in two trainings."""
    names = list(dict.fromkeys([*one, *other]))
    return [name for name in names if name not in one or name not in other or one[name] != other[name]]


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """What is traced and compiled meanwhile: JAX's functions by name, or PyTorch's graphs as a `train_step` each."""
    names: list[str] = []
    if BACKEND == "torch":
        from torch._dynamo.utils import counters

        before = counters["stats"]["unique_graphs"]
        yield names
        names += ["train_step"] * (counters["stats"]["unique_graphs"] - before)
        return
    import jax.monitoring

    def told(event: str, _: float, fun_name: str = "", **more: Any) -> None:
        if event in ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/backend_compile_duration"):
            names.append(fun_name.removeprefix("jit(").removesuffix(")"))

    jax.monitoring.register_event_duration_secs_listener(told)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(told)
