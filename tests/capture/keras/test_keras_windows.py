"""The window that is logged of a layer is what the layer reads: held against what it makes of single ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from any_keras import KERAS_3, keras
from receptive_fields import by_impulses, by_window

import tb_layerview as lv
from tb_layerview import LayerReader
from tb_layerview.format.model import Layer

L = keras.layers
BACKEND = keras.backend.backend()
CHANNELS = 2
# Odd and even sizes, by the number of axes.
SIZES = {1: [(11,), (8,)], 2: [(7, 6), (8, 9)], 3: [(5, 4, 6)]}


def layers(axes: int, **given: Any) -> list[Any]:
    """Layers of as many axes of space as that, of all kinds that have a window."""

    def named(name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(L, name.format(axes))(*args, **{**given, **kwargs})

    found = []
    for padding in ("valid", "same"):
        for name, args in (("Conv{}D", (2,)), ("DepthwiseConv{}D", ()), ("SeparableConv{}D", (2,))):
            if axes == 3 and name != "Conv{}D":
                continue
            # Such a convolution has the same strides along all axes, and no dilation beside them.
            found += [named(name, *args, kernel_size=3, padding=padding)]
            found += [named(name, *args, kernel_size=size, strides=2, padding=padding) for size in (1, 2, 3)]
            if not (axes == 3 and BACKEND == "tensorflow"):
                found += [named(name, *args, kernel_size=2, dilation_rate=2, padding=padding)]
        sizes = (*((3, 2, 1)[:axes]),)
        found += [named("Conv{}D", 2, sizes, strides=(1, 2, 3)[:axes], padding=padding)]
        if not (axes == 1 and not hasattr(L, "Conv1DTranspose")):
            for size, stride in ((3, 1), (3, 2), (2, 2), (4, 2), (2, 3), (1, 2), (4, 3)):
                found += [named("Conv{}DTranspose", 2, size, strides=stride, padding=padding)]
            found += [named("Conv{}DTranspose", 2, 3, strides=2, output_padding=1, padding=padding)]
        for name in ("MaxPooling{}D", "AveragePooling{}D"):
            found += [named(name, size, stride, padding) for size, stride in ((2, None), (3, 2), (2, 3), (3, 1))]
    if axes == 1:
        found += [named("Conv1D", 2, 3, dilation_rate=2, padding="causal")]
        found += [named("Conv1D", 2, 2, strides=2, padding="causal")]
        given = {}
    pairs = ((1, 2), (0, 3), (2, 0))[:axes]
    for name in ("ZeroPadding{}D", "Cropping{}D"):
        found += [named(name, pairs if axes > 1 else pairs[0]), named(name, 1)]
    return [*found, named("UpSampling{}D", 2)]


def channels_first(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.moveaxis(x, -1, 1)


def logged(model: Any, probe: npt.NDArray[Any], folder: Path) -> dict[str, Layer]:
    with lv.LayerRecorder(model, folder, probe=probe) as recorder:
        recorder.record(0)
    return {layer.path: layer for layer in LayerReader(folder).run().layers}


def holds(layer: Any, window: Any, sizes: tuple[int, ...], is_first: bool) -> None:
    """Compares what is logged with what the layer does."""
    layer.set_weights([np.abs(w) + 0.5 if w.ndim > 1 else np.zeros_like(w) for w in layer.get_weights()])

    def compute(impulses: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        x = np.stack([impulses] * CHANNELS, axis=-1)
        out = keras.ops.convert_to_numpy(layer(channels_first(x) if is_first else x)) if KERAS_3 else layer(x).numpy()
        return np.asarray(out.sum(axis=1 if is_first else -1))

    found = by_impulses(compute, sizes)
    assert window is not None, layer.get_config()
    assert np.array_equal(by_window(window, sizes), found), (layer.get_config(), sizes, window)
    assert found.any(), layer.get_config()


@pytest.mark.parametrize("sizes", [size for axes in SIZES.values() for size in axes], ids=str)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_layers_window_is_what_it_reads(sizes: tuple[int, ...], data_format: str, tmp_path: Path) -> None:
    is_first = data_format == "channels_first"
    if is_first and BACKEND == "tensorflow":
        pytest.skip("TensorFlow computes this on GPUs alone")
    tested = layers(len(sizes), **({"data_format": data_format} if is_first else {}))
    if is_first and len(sizes) == 1:
        tested = [one for one in tested if getattr(one, "data_format", "") == "channels_first"]
    shape = (CHANNELS, *sizes) if is_first else (*sizes, CHANNELS)
    x = keras.Input(shape)
    model = keras.Model(x, [one(x) for one in tested])
    found = logged(model, np.ones((2, *shape), np.float32), tmp_path)
    for one in tested:
        holds(one, found[one.name].window, sizes, is_first)


def test_other_layers_have_no_window(tmp_path: Path) -> None:
    class Twice(L.Conv2D):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return super().call(super().call(x))

    x = keras.Input((6, 6, 2))
    others = [
        L.Dense(3, name="dense"),
        L.GlobalAveragePooling2D(name="global"),
        L.UpSampling2D(2, interpolation="bilinear", name="between"),
        Twice(2, 3, padding="same", name="own"),
        L.Conv2D(2, 3, activation=lambda x: x[:, 1:], name="cut"),
    ]
    model = keras.Model(x, [one(x) for one in others])
    found = logged(model, np.ones((2, 6, 6, 2), np.float32), tmp_path)
    names = ("dense", "global", "between", "own", "cut")
    assert {name: found[name].window for name in names} == dict.fromkeys(names)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_window_stays_what_it_is_with_an_activation_that_keeps_places(data_format: str, tmp_path: Path) -> None:
    if data_format == "channels_first" and BACKEND == "tensorflow":
        pytest.skip("TensorFlow computes this on GPUs alone")
    shape = (2, 6, 6) if data_format == "channels_first" else (6, 6, 2)
    x = keras.Input(shape)
    names = ("relu", "tanh", "sigmoid", "softplus", "softmax")
    inner = [L.Conv2D(2, 3, activation=name, data_format=data_format, name=f"of_{name}") for name in names]
    found = logged(keras.Model(x, [one(x) for one in inner]), np.ones((2, *shape), np.float32), tmp_path)
    known = [name for name in names if found[f"of_{name}"].window is not None]
    # Keras takes the softmax over the last axis, whatever that is.
    assert known == [name for name in names if name != "softmax" or data_format == "channels_last"]


def test_a_window_whose_padding_differs_from_call_to_call_has_none(tmp_path: Path) -> None:
    strided, plain = L.Conv2D(2, 3, 2, "same", name="strided"), L.Conv2D(2, 3, padding="same", name="plain")
    x = keras.Input((8, 8, 2))
    model = keras.Model(x, [strided(x), strided(L.Cropping2D(((0, 1), (0, 1)))(x)), plain(plain(x))])
    found = logged(model, np.ones((2, 8, 8, 2), np.float32), tmp_path)
    window = found["strided"].window
    assert window is not None and window.strides == (2, 2)
    assert (window.padding_before, window.padding_after) == ((), ())
    window = found["plain"].window
    assert window is not None and (window.padding_before, window.padding_after) == ((1, 1), (1, 1))
