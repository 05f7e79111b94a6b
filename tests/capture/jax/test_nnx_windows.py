"""The window that is logged of a module of Flax is what it reads: held against what it makes of single ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from flax import nnx
from receptive_fields import by_impulses, by_window

import tb_layerview as lv
from tb_layerview import LayerReader
from tb_layerview.format.model import Window

CHANNELS = 2
SIZES: list[tuple[int, ...]] = [(11,), (8,), (7, 6), (8, 9), (5, 4, 6)]


def modules(axes: int) -> list[nnx.Module]:
    """Modules of as many axes of space as that, of all kinds that have a window."""

    def conv(size: int, kind: Any = nnx.Conv, **given: Any) -> Any:
        return kind(CHANNELS, 2, (size,) * axes, rngs=nnx.Rngs(0), **given)

    uneven = [(1, 2), (0, 1), (2, 0)][:axes]
    found = []
    for padding in ("SAME", "VALID", "SAME_LOWER", 1, (2, 1, 0)[:axes], uneven):
        found += [conv(3, padding=padding), conv(2, padding=padding, kernel_dilation=2)]
        found += [conv(size, padding=padding, strides=stride) for size, stride in ((3, 2), (2, 3), (2, 2), (1, 2))]
    for padding in ("SAME", "VALID", 1, uneven):
        for size, stride in ((3, 1), (3, 2), (2, 2), (4, 2), (4, 3), (2, 3)):
            found += [conv(size, nnx.ConvTranspose, padding=padding, strides=(stride,) * axes)]
        found += [conv(2, nnx.ConvTranspose, padding=padding, kernel_dilation=(2,) * axes, transpose_kernel=True)]
    found += [conv(size, padding=mode) for mode in ("CIRCULAR", "REFLECT") for size in (2, 3)]
    return [*found, conv(3, padding="CAUSAL", kernel_dilation=2), conv(2, padding="CAUSAL")] if axes == 1 else found


class Beside(nnx.Module):
    """All modules, each on the same input."""

    def __init__(self, inner: list[nnx.Module]) -> None:
        self.inner = nnx.List(inner)

    def __call__(self, x: Any) -> Any:
        return [one(x) for one in self.inner]


def logged(model: nnx.Module, x: Any, folder: Path) -> dict[str, Window | None]:
    with lv.LayerRecorder(model, folder, probe=x) as recorder:
        recorder.record(0)
    return {layer.path: layer.window for layer in LayerReader(folder).run().layers}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_modules_window_is_what_it_reads(sizes: tuple[int, ...], tmp_path: Path) -> None:
    model = Beside(modules(len(sizes)))
    windows = logged(model, jnp.ones((2, *sizes, CHANNELS)), tmp_path)
    for i, module in enumerate(model.inner):
        module.kernel[...] = jnp.abs(module.kernel[...]) + 0.5

        def compute(impulses: npt.NDArray[np.float32], module: Any = module) -> npt.NDArray[Any]:
            return np.asarray(module(jnp.stack([impulses] * CHANNELS, axis=-1)).sum(-1))

        window = windows[f"inner/{i}"]
        assert window is not None, module
        assert np.array_equal(by_window(window, sizes), by_impulses(compute, sizes)), (module, sizes, window)


def test_modules_whose_padding_is_not_known_say_no_padding_and_others_no_window(tmp_path: Path) -> None:
    given: dict[str, Any] = {"rngs": nnx.Rngs(0)}

    class Own(nnx.Conv):
        def __call__(self, x: Any) -> Any:
            return super().__call__(super().__call__(x))

    inner = [
        nnx.Linear(2, 2, **given),
        Own(2, 2, (3, 3), **given),
        nnx.Conv(2, 2, (3, 3), padding=1, input_dilation=2, **given),
    ]
    round_ = nnx.ConvTranspose(2, 2, (3, 3), strides=(2, 2), padding="CIRCULAR", **given)
    found = logged(Beside([*inner, round_]), jnp.ones((2, 6, 6, 2)), tmp_path)
    expected = [None, None, None, Window((3, 3), (2, 2), (1, 1), (), (), True, "circular")]
    assert [window for path, window in found.items() if path.startswith("inner/")] == expected
