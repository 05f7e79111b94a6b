"""What is kept of a tensor, and how exactly."""

from __future__ import annotations

import numpy as np
import pytest

from tb_layerview.format import arrays, units, values
from tb_layerview.format.values import Axis

ACTIVATION = ("example", "row", "column", "channel")
KERNEL = ("row", "column", "input channel", "channel")
rng = np.random.default_rng(3)


def _counts(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    return tuple(axis.count for axis in axes)


def test_what_fits_is_kept_whole() -> None:
    assert _counts(values.choose((32, 8, 8, 16), ACTIVATION, 65_536, 2)) == (32, 8, 8, 16)


@pytest.mark.parametrize(
    "shape",
    [
        (32, 24, 24, 64),
        (32, 112, 112, 64),
        (256, 7, 7, 2048),
        (8, 512, 768),
        (4096, 4096),
        (64, 1000),
        (1, 10**6),
        (3, 2, 2, 2, 70_000),
    ],
)
@pytest.mark.parametrize("budget", [1, 1000, 16_384, 65_536])
def test_the_budget_holds_for_every_shape_and_every_index_is_inside(shape: tuple[int, ...], budget: int) -> None:
    names = {4: ACTIVATION, 3: ("example", "timestep", "unit"), 2: ("example", "unit")}.get(
        len(shape), ("example", *(f"axis {i}" for i in range(1, len(shape))))
    )
    chosen = values.choose(shape, names, budget, 2)
    assert 1 <= np.prod(_counts(chosen), dtype=np.int64) <= budget
    for axis, size in zip(chosen, shape):
        assert axis.size == size and axis.indices()[-1] < size
        assert len(range(size)[axis.as_slice()]) == axis.count


def test_examples_give_way_before_units_and_units_before_positions() -> None:
    assert _counts(values.choose((32, 22, 22, 64), ACTIVATION, 65_536, 2)) == (2, 22, 22, 64)
    examples, rows, columns, channels = values.choose((32, 56, 56, 256), ACTIVATION, 65_536, 2)
    assert examples.count == 2 and 64 <= channels.count < 128
    assert rows.step > 1 and rows.indices()[-1] >= 56 - rows.step, "the picture must stay whole"
    assert rows.step - columns.step in (0, 1)


def test_long_attention_is_thinned_out_and_not_cut_off() -> None:
    axes = values.choose((2, 8, 512, 512), ("example", "head", "query", "key"), 65_536, 2)
    assert [axis.count for axis in axes[:2]] == [2, 8]
    for axis in axes[2:]:
        assert axis.step > 1 and axis.indices()[-1] > 512 - 2 * axis.step


def test_a_budget_is_used_and_not_halved_away() -> None:
    kept = _counts(values.choose((3, 3, 512, 512), KERNEL, 16_384, 2))
    assert kept[:2] == (3, 3)
    assert np.prod(kept) > 16_384 / 2


@pytest.mark.parametrize("precision", ["float16", "float32", "float64"])
def test_values_come_back_with_the_precision_that_is_promised(precision: arrays.Precision) -> None:
    array = rng.normal(size=(2, 5, 7)) * 10.0 ** rng.integers(-6, 6)
    axes = (Axis(0, 1, 2, 9), Axis(0, 2, 5, 10), Axis(0, 1, 7, 7))
    stored = values.decode(values.encode(array, axes, precision))
    tolerance = {"float16": 2**-11, "float32": 2**-24, "float64": 0}[precision]
    np.testing.assert_allclose(stored.array, array, rtol=tolerance, atol=2.0**-40 * np.abs(array).max())
    assert stored.axes == axes and stored.precision == precision


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1.0, 1e20, 1e38])
def test_float16_holds_any_scale_and_all_that_is_not_finite(scale: float) -> None:
    array = np.array([1.0, -0.5, 0.0, np.nan, np.inf, -np.inf, 2.0**-20], np.float32) * np.float32(scale)
    stored, _, _ = arrays.decode(arrays.encode(array))
    np.testing.assert_allclose(stored[:3], array[:3], rtol=2**-11)
    assert np.isnan(stored[3]) and stored[4] == np.inf and stored[5] == -np.inf
    np.testing.assert_allclose(stored[6], array[6], rtol=2**-5)


def test_the_lowest_float_takes_nothing_from_the_elements_beside_it() -> None:
    """Max pooling makes it of NaN."""
    lowest = np.finfo(np.float32).min
    array = rng.normal(size=(4, 5)).astype(np.float32)
    array[1] = lowest
    stored, precision, _ = arrays.decode(arrays.encode(array))
    np.testing.assert_array_equal(stored, array)
    assert precision == "float32"
    # The largest that float16 is still used for, and what not even float32 holds.
    assert arrays.decode(arrays.encode(np.array([1e19, 1.0])))[1] == "float16"
    stored, precision, _ = arrays.decode(arrays.encode(np.array([1e300, 5e299])))
    assert precision == "float16"
    kept = units.Units(*(np.array([0.0, 1.0, -lowest]) for _ in range(4)))
    assert units.decode(units.encode(kept)).peak.tolist() == [0.0, 1.0, -lowest]


def test_a_silent_unit_stays_exactly_silent() -> None:
    kept = units.Units(*(np.array([0.0, 1.0, 1e-3]) for _ in range(4)))
    stored = units.decode(units.encode(kept))
    assert stored.rms[0] == 0.0 and stored.zero[1] == 1.0
    assert stored.peak[2] == pytest.approx(1e-3, rel=2**-11)


def test_damaged_values_are_an_error_and_never_a_large_allocation() -> None:
    good = values.encode(rng.normal(size=(4, 5)), (Axis(0, 1, 4, 4), Axis(0, 1, 5, 5)), "float16")
    for seed in range(3000):
        damage = np.random.default_rng(seed)
        data = bytearray(good[: damage.integers(1, len(good) + 1)])
        data[damage.integers(len(data))] = damage.integers(256)
        try:
            assert values.decode(bytes(data)).array.nbytes < 1 << 20
        except ValueError:
            continue


def test_a_decompression_bomb_is_refused() -> None:
    import struct
    import zlib

    body = zlib.compress(bytes(50_000_000))
    block = struct.pack("<BBhII", 0, 1, 0, 10, len(body)) + body
    with pytest.raises(ValueError, match="holds 21 bytes or more, not 20"):
        arrays.decode(block)
