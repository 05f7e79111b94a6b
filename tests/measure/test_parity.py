"""Every engine against numpy's measurements, which are what is true: any type, shape and place in memory."""

from __future__ import annotations

import ctypes
import dataclasses

import numpy as np
import pytest
from any_arrays import arrays
from hypothesis import example, given, settings
from kinds_of_arrays import FLOATS, TYPES, dtype_of, of

from tb_layerview.format import histogram
from tb_layerview.measure import host
from tb_layerview.measure.measurement import SINGLE, Measurement
from tb_layerview.measure.native import library

FOUND = library.engines()
pytestmark = pytest.mark.skipif(not FOUND, reason="there is no native library: python build_native.py makes it")
engine = pytest.mark.parametrize("engine", FOUND.values(), ids=FOUND)


def bits(measured: Measurement) -> list[bytes]:
    """All of it, to compare to the last bit."""
    assert measured.cells is not None
    found = [np.array(dataclasses.astuple(measured.digest)).tobytes(), *(column.tobytes() for column in measured.cells)]
    found.append(np.array([measured.center, measured.shift]).tobytes())
    if measured.units is not None:
        found += [getattr(measured.units, field.name).tobytes() for field in dataclasses.fields(measured.units)]
    return found


def codes_of(array: np.ndarray, center: float, shift: int) -> np.ndarray:
    """How many have each code, from a centre that is given."""
    wide = array.astype(np.float64).ravel()
    distances = np.ldexp(wide[np.isfinite(wide)] - center, -shift).astype(np.float32)
    return np.bincount(distances.view(np.uint32) >> 19, minlength=histogram.CODES)


def check(array: np.ndarray, found: Measurement, units: bool) -> None:
    """That a measurement is numpy's."""
    with np.errstate(all="ignore"):
        true = host.look(array, units=units)
        wide = array.astype(np.float64)
    exact = ("size", "nan", "pos_inf", "neg_inf", "zero", "negative", "min", "max")
    for name in exact:
        np.testing.assert_array_equal(getattr(found.digest, name), getattr(true.digest, name), name)
    finite = wide[np.isfinite(wide)]
    assert found.cells is not None and true.cells is not None
    code_counts = found.cells.code_counts()
    if finite.size:
        # By the size of the numbers: what cancels in a mean cancels in numpy's too.
        largest = np.abs(finite).max()
        assert found.digest.mean == pytest.approx(true.digest.mean, rel=1e-12, abs=1e-15 * largest)
        assert found.digest.rms == pytest.approx(true.digest.rms, rel=1e-12, abs=0)
        assert found.digest.std == pytest.approx(true.digest.std, rel=1e-11, abs=1e-16 * largest)
        # Where the spread is a fourth of the mean to the last digits, either may be.
        if true.digest.std != pytest.approx(abs(true.digest.mean) / 4, rel=1e-9):
            assert found.center == pytest.approx(true.center, rel=1e-12, abs=0)
            assert found.shift == true.shift
        np.testing.assert_array_equal(code_counts, codes_of(array, found.center, found.shift))
    else:
        assert np.isnan(dataclasses.astuple(found.digest)[-5:]).all()
        assert not code_counts.any()
    if found.center == true.center:
        np.testing.assert_array_equal(code_counts, true.cells.code_counts())
    codes, counts = found.cells
    assert codes.dtype == np.uint16 and counts.dtype == np.int64 and counts.all()
    assert (np.diff(codes.astype(int)) > 0).all()
    assert (found.units is None) == (true.units is None)
    if found.units is None or true.units is None:
        return
    np.testing.assert_array_equal(found.units.zero, true.units.zero)
    np.testing.assert_array_equal(found.units.peak, true.units.peak)
    assert found.units.peak.dtype == true.units.peak.dtype
    with np.errstate(all="ignore"):
        largest = np.nan_to_num(true.units.peak.astype(np.float64))
        # What float64's largest numbers add up to hangs on their order.
        held = largest * array.size < 1e308
        for name, allowed in (("mean", 1e-15 * largest), ("rms", 0 * largest)):
            one, other = getattr(found.units, name), getattr(true.units, name)
            is_near = np.abs(one - other) <= np.maximum(1e-12 * np.abs(other), allowed)
            assert (is_near | (one == other) | (np.isnan(one) & np.isnan(other)) | ~held).all(), name


@engine
@settings(max_examples=100, deadline=None)
@given(array=arrays())
@example(array=np.array(-2.0))
@example(array=np.array([np.nan], np.float32))
@example(array=np.full((3, 2), -0.0, np.float32))
def test_any_array_is_measured_as_numpy_does(engine: library.Engine, array: np.ndarray) -> None:
    units = array.ndim > 1
    check(array, engine.look(array, units=units), units)


@settings(max_examples=100, deadline=None)
@given(array=arrays())
def test_all_levels_and_places_in_memory_give_the_same_bits(array: np.ndarray) -> None:
    """With the axes in the same order: where they lie otherwise, sums are of the same numbers in another order."""
    units = array.ndim > 1
    plain = array.astype(array.dtype.newbyteorder("="), order="K")
    assert plain.base is None and plain.flags.aligned
    wanted = bits(FOUND["baseline"].look(plain, units=units))
    for one in FOUND.values():
        assert bits(one.look(array, units=units)) == wanted, one.level


@engine
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int32"])
@pytest.mark.parametrize("shape", [(3_000_001,), (30_000, 100), (1_500, 2_100), (3, 1_000_000), (1_100_000, 3)])
def test_a_large_tensor_gives_the_same_bits_on_any_number_of_threads(
    engine: library.Engine, shape: tuple[int, ...], dtype: str
) -> None:
    array = of("some special" if dtype in FLOATS else "normal", dtype, shape, np.random.default_rng(1))
    units = len(shape) > 1
    found = engine.look(array, units=units, threads=1)
    check(array, found, units)
    for threads in (2, 3, 8):
        assert bits(engine.look(array, units=units, threads=threads)) == bits(found), threads
    assert bits(FOUND["baseline"].look(array, units=units)) == bits(found)


#: As they lie in memory: units on the axis in the middle. Pieces have 1,024 columns.
CHANNELS_FIRST = [
    (9, 8, 300),
    (9, 100, 1),
    (5, 3, 1024),
    (4, 6, 1025),
    (3, 2, 9000),
    (90, 40, 7),
    (1, 5, 70),
    (2, 4, 3),
]


def _channels_first(kind: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.moveaxis(of(kind, dtype, shape, np.random.default_rng(2)), 1, -1)


@engine
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("some special", "float32"),
        ("far from zero", "float64"),
        ("at float64's ends", "float64"),
        ("of both zeros", "float16"),
        ("normal", "int32"),
    ],
)
@pytest.mark.parametrize("shape", CHANNELS_FIRST, ids=str)
def test_units_whose_elements_lie_beside_each_other_are_measured_as_they_lie(
    engine: library.Engine, shape: tuple[int, ...], dtype: str, kind: str
) -> None:
    array = _channels_first(kind, dtype, shape)
    check(array, engine.look(array, units=True), True)
    assert bits(engine.look(array, units=True)) == bits(FOUND["baseline"].look(array, units=True))


def test_they_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    of_c = FOUND["baseline"]
    array, seen = _channels_first("normal", "float32", (37, 32, 300)), list[bool]()
    plain = library._plain
    monkeypatch.setattr(library, "_plain", lambda given: seen.append(given.flags.c_contiguous) or plain(given))
    of_c.look(array, units=True)
    of_c.look(array, units=False)
    of_c.bounded(array, 0, 1)
    assert seen == [True] * 3


@engine
@pytest.mark.parametrize("shape", [(100, 32, 1500), (600, 3, 900)])
def test_and_give_the_same_bits_on_any_number_of_threads(engine: library.Engine, shape: tuple[int, ...]) -> None:
    array = _channels_first("some special", "float32", shape)
    found = engine.look(array, units=True, threads=1)
    check(array, found, True)
    for threads in (2, 3, 8):
        assert bits(engine.look(array, units=True, threads=threads)) == bits(found), threads


@engine
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_tensors_far_from_zero_keep_their_spread(engine: library.Engine, dtype: str) -> None:
    array = of("far from zero", dtype, (3000, 1000), np.random.default_rng(2))
    found = engine.look(array, units=True)
    assert found.center == pytest.approx(100, abs=0.01)
    check(array, found, True)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_without_elements_numpy_measures(shape: tuple[int, ...], dtype: str) -> None:
    found = host.measure(np.zeros(shape, dtype_of(dtype)), units=True)
    assert (found.digest.size, found.units) == (0, None)
    assert np.isnan(found.digest.mean)


@engine
def test_a_measurement_in_a_thread_that_flushes_subnormals_is_the_same(engine: library.Engine) -> None:
    tf = pytest.importorskip("tensorflow")
    for dtype in ("float32", "float64"):
        array = of("tiny", dtype, (300, 20), np.random.default_rng(3))
        if dtype == "float64":
            array *= 1e-270
        array[::3] = 0
        small = np.array([np.finfo(dtype).smallest_subnormal])
        wanted, found, flushed = engine.look(array, units=True), [], []

        def look(value: object, array: np.ndarray = array, small: np.ndarray = small) -> object:
            flushed.append(bool((small * 1 == 0).all()))  # noqa: B023
            found.append(engine.look(array, units=True))  # noqa: B023
            flushed.append(bool((small * 1 == 0).all()))  # noqa: B023
            return value

        tf.function(lambda value: tf.numpy_function(look, [value], tf.float32))(tf.constant(1.0))
        assert flushed == [True, True], "TensorFlow no longer flushes here: this test says nothing"
        assert wanted.digest.zero == np.sum(array == 0) < 2100
        assert bits(found[0]) == bits(wanted)
        check(array, found[0], True)


@engine
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("is_last_first", [False, True])
@pytest.mark.parametrize("shape", [(7,), (3, 129), (17, 1025), (9, 256), (5, 40), (3, 5, 130), (2, 3, 1100)])
def test_nothing_is_read_beyond_the_array(
    engine: library.Engine, shape: tuple[int, ...], is_last_first: bool, dtype: str
) -> None:
    turned = (lambda array: np.moveaxis(array, 0, -1)) if is_last_first else (lambda array: array)
    array = turned(of("normal", dtype, shape, np.random.default_rng(4)))
    found = bits(engine.look(array, units=len(shape) > 1))
    for filled in (0x00, 0xFF):
        around = np.full(array.nbytes + 8192, filled, np.uint8)
        inside = turned(around[4096 : 4096 + array.nbytes].view(array.dtype).reshape(shape))
        inside[...] = array
        assert bits(engine.look(inside, units=len(shape) > 1)) == found
        assert (around[:4096] == filled).all() and (around[4096 + array.nbytes :] == filled).all()


@engine
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("span", [127, 128, 135, 1024, 1025, 1031, 3136])
def test_the_long_rows_of_units_are_measured_as_numpy_does(engine: library.Engine, span: int, dtype: str) -> None:
    """As a linear layer of PyTorch has them: in its log the units are the last axis."""
    array = of("normal", dtype, (70, span), np.random.default_rng(5))
    array[3, ::7], array[4, 5], array[5], array[6, -1], array[7, :2] = 0, np.nan, np.inf, -np.inf, -0.0
    check(array.T, engine.look(array.T, units=True), True)
    assert bits(engine.look(array.T, units=True, threads=1)) == bits(engine.look(array.T, units=True, threads=3))


@engine
@pytest.mark.parametrize("span", [3136, 90_000])
def test_units_of_pytorchs_large_layers_give_the_same_bits_on_any_number_of_threads(
    engine: library.Engine, span: int
) -> None:
    array = of("normal", "float32", (2_400_000 // span, span), np.random.default_rng(6)).T
    assert bits(engine.look(array, units=True, threads=1)) == bits(engine.look(array, units=True, threads=3))


@engine
def test_a_boolean_of_any_byte_is_numpys(engine: library.Engine) -> None:
    array = np.arange(256, dtype=np.uint8).view(bool)
    check(array, engine.look(array, units=False), False)


@pytest.mark.parametrize("dtype", TYPES)
def test_each_type_has_the_number_that_the_c_has_for_it(dtype: str) -> None:
    largest = 1 if dtype == "bool" else 100
    found = FOUND["baseline"].look(np.full(3, largest, dtype_of(dtype)), units=False).digest
    assert (found.min, found.max, found.mean, found.negative) == (largest, largest, largest, 0)
    assert (dtype in SINGLE) == (np.dtype(dtype_of(dtype)).itemsize <= 2 or dtype == "float32")


def test_python_and_c_mean_the_same_places() -> None:
    fields = [name for name, *_ in library._Look._fields_]
    text = (library.LIBRARY.parent / "digest.c").read_text(encoding="utf-8")
    body = text[text.index("typedef struct {") : text.index("} Look;")]
    names = [
        name.strip(" *")
        for line in body.splitlines()
        if line.strip().endswith(";")
        for name in line.strip().rstrip(";").replace("const void *", "x ").split(" ", 1)[1].split(",")
    ]
    assert names == fields
    assert ctypes.sizeof(library._Look) == 8 * len(fields)
