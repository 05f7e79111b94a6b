"""Keras models that PyTorch computes, and what a training of one leaves behind, down to the last bit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import torch

layers = keras.layers
EXAMPLES = 8
IMAGES = np.random.default_rng(0).normal(size=(EXAMPLES, 8, 8, 3)).astype(np.float32)
TOKENS = np.random.default_rng(1).integers(0, 20, size=(EXAMPLES, 6))
ROWS = np.random.default_rng(2).normal(size=(EXAMPLES, 6)).astype(np.float32)
CLASSES = np.random.default_rng(3).integers(0, 4, size=EXAMPLES)


class Own(layers.Layer):
    """Counts its calls, and what it computes depends on the count."""

    def __init__(self) -> None:
        """Has a layer, a dict and a list."""
        super().__init__()
        self.inner = layers.Dense(6)
        self.calls = 0
        self.seen: dict[str, list[int]] = {"calls": []}

    def call(self, x: Any) -> Any:
        """Adds a loss, too."""
        self.calls += 1
        self.seen["calls"].append(self.calls)
        self.add_loss(1e-3 * keras.ops.mean(x))
        return self.inner(x) * (1 + 0.01 * len(self.seen["calls"]))


def cnn(dtype: str | None = None, seed: int | None = None) -> Any:
    """Convolution, batch normalisation, two dropouts."""
    return keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu", dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.MaxPool2D(dtype=dtype),
            layers.Dropout(0.3, seed=seed, dtype=dtype),
            layers.Flatten(dtype=dtype),
            layers.Dense(16, activation="tanh", dtype=dtype),
            layers.Dropout(0.2, seed=seed, dtype=dtype),
            layers.Dense(4, activation="softmax", dtype="float32"),
        ]
    )


def transformer() -> Any:
    """Two attentions, the second of which is causal and has dropout."""
    taken = layers.Input((6,))
    embedded = layers.Embedding(20, 8, name="embedded")(taken)
    x = layers.MultiHeadAttention(2, 4, name="first")(embedded, embedded)
    x = normed = layers.LayerNormalization(name="normed")(x + embedded)
    x = layers.MultiHeadAttention(2, 4, dropout=0.1, name="causal")(normed, normed, use_causal_mask=True)
    x = layers.Dense(16, activation="gelu")(x + normed)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(taken, layers.Dense(4, activation="softmax")(x))


def lstm() -> Any:
    """Recurrent layers."""
    x = taken = layers.Input((6,))
    x = layers.Embedding(20, 8, mask_zero=True)(x)
    x = layers.LSTM(8, return_sequences=True, dropout=0.1)(x)
    x = layers.Bidirectional(layers.GRU(4))(x)
    return keras.Model(taken, layers.Dense(4, activation="softmax")(x))


def nested() -> Any:
    """A model within the model, a layer that is called twice, one of a user's own that counts, and a regularizer."""
    taken = layers.Input((6,))
    inner = keras.Sequential([layers.Dense(6, activation="elu"), layers.Dropout(0.1)], name="inner")
    shared = layers.Dense(6, activation="relu", kernel_regularizer="l2", name="shared")
    x = shared(inner(shared(taken)))
    return keras.Model(taken, layers.Dense(4, activation="softmax")(Own()(x)))


def spectral() -> Any:
    """Spectral normalisation, which writes its kernel in the forward pass, and noise."""
    x = taken = layers.Input((6,))
    x = layers.SpectralNormalization(layers.Dense(8, activation="relu"))(x)
    x = layers.GaussianNoise(0.1)(x)
    return keras.Model(taken, layers.Dense(4, activation="softmax")(x))


def wrapped() -> Any:
    """Torch's own modules, one of which has moving statistics, and one of which works in place."""
    nn = torch.nn
    return keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Permute((3, 1, 2)),
            layers.TorchModuleWrapper(
                nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), output_shape=(None, 4, 6, 6)
            ),
            layers.TorchModuleWrapper(nn.ReLU(inplace=True), output_shape=(None, 4, 6, 6)),
            layers.TorchModuleWrapper(nn.Dropout2d(0.2), output_shape=(None, 4, 6, 6)),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )


#: By name: what makes the model, and what it is trained on.
MODELS: dict[str, tuple[Callable[[], Any], Any]] = {
    "cnn": (cnn, IMAGES),
    "cnn, seeded": (lambda: cnn(seed=3), IMAGES),
    "transformer": (transformer, TOKENS),
    "lstm": (lstm, TOKENS),
    "nested": (nested, ROWS),
    "spectral": (spectral, ROWS),
    "wrapped": (wrapped, IMAGES),
    "bfloat16": (lambda: cnn("mixed_bfloat16"), IMAGES),
    "float16": (lambda: cnn("mixed_float16"), IMAGES),
}


def compiled(name: str, **options: Any) -> tuple[Any, Any]:
    """A model of these, the same at each call, and what it is trained on."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    make, x = MODELS[name]
    model = make()
    optimizer: Any = keras.optimizers.Adam(0.01)
    if name == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**28, dynamic_growth_steps=3)
    options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **options}
    model.compile(optimizer, **options)
    return model, x


def left_by(model: Any) -> dict[str, bytes]:
    """All that a training has changed: by what it is, its bits."""
    found = dict(_tensors(model))
    found |= {"torch's generator": torch.get_rng_state(), "Keras' generator": _global_seed()}
    bits = {
        name: tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() for name, tensor in found.items()
    }
    numbers, keys, *rest = np.random.get_state()
    python = {"numpy's generator": (numbers, keys.tolist(), rest), "Python's generator": random.getstate()}
    python |= {f"training of {i}": layer.training for i, layer in enumerate(model._flatten_layers())}
    python |= {f"own {i}": (o.calls, o.seen) for i, o in enumerate(model._flatten_layers()) if isinstance(o, Own)}
    python |= {f"losses of {i}": len(layer._losses) for i, layer in enumerate(model._flatten_layers())}
    python["names"] = sorted(keras.src.backend.common.global_state.get_global_attribute("object_name_uids", {}).items())
    return bits | {name: repr(value).encode() for name, value in python.items()}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of what is not the same."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    for i, variable in enumerate((*model.variables, *metrics, *model.optimizer.variables)):
        yield f"{i} {variable.path}", _flat(variable.value)
        if variable.value.grad is not None:
            yield f"{i} gradient of {variable.path}", _flat(variable.value.grad)
    for i, layer in enumerate(model._flatten_layers()):
        if isinstance(layer, layers.TorchModuleWrapper):
            for name, buffer in layer.module.named_buffers():
                yield f"{i} {name}", _flat(buffer)


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().reshape(-1)


def _global_seed() -> torch.Tensor:
    generator = keras.src.backend.common.global_state.get_global_attribute("global_seed_generator")
    return torch.zeros(1) if generator is None else _flat(generator.state.value)
