"""The native statistics that only some tensors have, against numpy's, which are what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
from any_arrays import arrays
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from kinds_of_arrays import FLOATS, KINDS, TYPES, dtype_of, of

from tb_layerview.measure import extra, host
from tb_layerview.measure.extra import EVEN, EXAMPLES, Extra
from tb_layerview.measure.native import library

FOUND = library.engines()
NUMPY = extra._Numpy()
pytestmark = pytest.mark.skipif(not FOUND, reason="there is no native library: python build_native.py makes it")
engine = pytest.mark.parametrize("engine", FOUND.values(), ids=FOUND)


def same_at_all_levels(measure: str, *arguments: object) -> tuple[float, ...]:
    """What all engines find, to the last bit."""
    found = [getattr(one, measure)(*arguments) for one in FOUND.values()]
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])
    return found[0]


def near(value: float | tuple[float, ...], allowed: float = 0, relative: float = 1e-12) -> object:
    return pytest.approx(value, rel=relative, abs=allowed, nan_ok=True)


# --- Examples ---------------------------------------------------------------------------------------------------------


def check_examples(array: np.ndarray, every: int, features: int) -> None:
    with np.errstate(all="ignore"):
        spread, rank = NUMPY.examples(array, every, features)
    found = same_at_all_levels("examples", array, every, features)
    if -(-array.size // len(array) // features) == 1:
        # numpy adds a single column in another order: what is left of equal numbers is rounding.
        assert found[0] == near(spread, 1e-30 + 1e-14 * math.sqrt(spread) if spread >= 0 else 0)
        assert found[1] == near(rank) or spread < 1e-28
    else:
        assert found[0] == near(spread)
        assert found[1] == near(rank) or 0 <= spread < 1e-290  # squares that float64 does not hold


@settings(max_examples=200, deadline=None)
@given(array=arrays(), features=st.sampled_from((1, 2, 3, 7, 64, 65, 1000)))
@example(array=np.full((3, 7), 0.1), features=1)
@example(array=np.full((32, 5), 0.1, np.float32), features=1)
@example(array=np.array([[1e38, 1.0], [1e38, 1 + 1e-7], [1e38, 1.0]], np.float32), features=1)
def test_spread_and_rank_of_any_array_are_numpys(array: np.ndarray, features: int) -> None:
    assume(array.ndim)
    check_examples(array, -(-len(array) // EXAMPLES), features)


@pytest.mark.parametrize("kind", ["normal", "large"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(32, 700), (5, 64), (9, 3, 43), (33, 65), (31, 1), (2, 2)])
def test_spread_and_rank_are_those_of_the_definition(shape: tuple[int, ...], dtype: str, kind: str) -> None:
    array = of(kind, dtype, shape, np.random.default_rng(1))
    every = -(-len(array) // EXAMPLES)
    with np.errstate(invalid="ignore"):
        rows = array.reshape(len(array), -1)[::every, ::3].astype(np.longdouble)
        centred = rows - rows.mean(axis=0)
        gram = (centred[:, None] * centred[None]).sum(axis=2)
        differs = np.trace(gram)
        truth = float(differs / (rows**2).sum()), float(differs**2 / (gram**2).sum())
        assert same_at_all_levels("examples", array, every, 3) == near(truth)
        assert NUMPY.examples(array, every, 3) == near(truth)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64"])
@pytest.mark.parametrize("examples", [2, 3, 7, 20, 32])
def test_equal_examples_have_no_spread_and_no_direction(examples: int, dtype: str) -> None:
    one = of("normal", dtype, (1, 130), np.random.default_rng(2))
    spread, rank = same_at_all_levels("examples", np.repeat(one, examples, axis=0), 1, 1)
    # What several times a float64 is may be rounded; all else is exact.
    assert spread < 1e-29 if dtype == "float64" else spread == 0
    assert dtype == "float64" or math.isnan(rank)


def test_the_squares_of_float64s_ends_are_none_and_a_power_of_two_changes_nothing() -> None:
    array = np.random.default_rng(3).normal(size=(9, 100))
    found = same_at_all_levels("examples", array, 1, 1)
    for exponent in (-1000, -500, 200, 600, 1020):
        assert same_at_all_levels("examples", np.ldexp(array, exponent), 1, 1) == found


@engine
def test_what_there_is_no_room_for_is_refused(engine: library.Engine) -> None:
    with pytest.raises(ValueError, match="33 examples, and C has room for 32"):
        engine.examples(np.ones((66, 3)), 2, 1)
    with pytest.raises(ValueError, match=r"every 2 of \(5, 3, 4\) are not \(2, 1, 3, 4\)"):
        engine.scores(np.ones((5, 3, 4)), 2, (2, 1, 3, 4), EVEN)


# --- What is bounded --------------------------------------------------------------------------------------------------


@st.composite
def bounded(draw: st.DrawFn) -> tuple[np.ndarray, float, float]:
    """An array, and bounds on, and right beside, its elements."""
    array = draw(arrays())
    bounds = []
    for _ in range(2):
        is_of_array = array.size and draw(st.booleans())
        value = float(array.flat[draw(st.integers(0, array.size - 1))]) if is_of_array else draw(st.floats(width=64))
        toward = draw(st.sampled_from((-math.inf, value, math.inf)))
        bounds.append(math.nextafter(value, toward))
    return array, bounds[0], bounds[1]


@settings(max_examples=300, deadline=None)
@given(given=bounded())
@example(given=(np.array([1e-45, -1e-45, 0], np.float32), -1e-45, 1e-45))
@example(given=(np.array([np.inf, 3e38, -np.inf], np.float32), -1e300, 1e300))
def test_any_array_has_as_many_saturated_as_numpy_counts(given: tuple[np.ndarray, float, float]) -> None:
    with np.errstate(all="ignore"):
        truth = NUMPY.bounded(*given)
    assert {level: one.bounded(*given) for level, one in FOUND.items()} == dict.fromkeys(FOUND, truth)


# --- Scores of attention ----------------------------------------------------------------------------------------------

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 12, 17, 31, 64, 255, 257, 300)


@st.composite
def scores(draw: st.DrawFn) -> tuple[np.ndarray, Extra]:
    """Scores of any kind, as weights of attention are and as they are not, and how they are to be taken."""
    axes = (draw(st.integers(0, 2)), draw(st.integers(0, 1)), draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    shape = draw(st.lists(st.sampled_from(SIZES), min_size=sum(axes), max_size=sum(axes)))
    while math.prod(shape) > 1 << 14:
        shape[shape.index(max(shape))] = 3
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    dtype, kind = draw(st.sampled_from(TYPES)), draw(st.sampled_from(("softmax", "masked", "even", "one-hot", *KINDS)))
    if kind in KINDS:
        array = of(kind, dtype, tuple(shape), random)
    else:
        keys = math.prod(shape[sum(axes[:3]) :])
        logits = {"even": 0, "one-hot": 1e3}.get(kind, 3) * random.normal(size=(math.prod(shape) // keys, keys))
        if kind == "masked":
            logits[random.random(logits.shape) < 0.5] = -np.inf
            logits[:, 0] = np.where(random.random(len(logits)) < 0.9, 0, -np.inf)
        with np.errstate(all="ignore"):
            p = np.exp(logits - logits.max(axis=-1, keepdims=True))
            array = np.nan_to_num(p / p.sum(axis=-1, keepdims=True)).reshape(shape).astype(dtype_of(dtype))
    if draw(st.booleans()):
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    return array, Extra(attention=axes, every=draw(st.integers(1, 4)))


@settings(max_examples=300, deadline=None)
@given(given=scores())
def test_positions_evenness_and_likeness_of_any_scores_are_numpys(given: tuple[np.ndarray, Extra]) -> None:
    array, wanted = given
    sizes = extra.grouped((-(-len(array) // wanted.every), *array.shape[1:]), wanted)
    found = same_at_all_levels("scores", array, wanted.every, sizes, EVEN)
    with np.errstate(all="ignore"):
        positions, evenness, alike = NUMPY.scores(array, wanted.every, sizes, EVEN)
        magnitudes = np.abs(array.astype(np.float64))
    held = magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)]
    if held.size and (held.max() > 1e100 or held.min() < 1e-100):
        return  # their squares are none: what float64 makes of them hangs on the order
    # What cancels in a sum of both signs cancels in numpy's too.
    assert found[:2] == (near(positions, 1e-13 * sizes[3]), near(evenness, 1e-13))
    if abs(evenness - EVEN) > 1e-9:
        assert found[2] == near(alike, 1e-11)


@engine
def test_heads_that_are_even_are_not_compared(engine: library.Engine) -> None:
    even = np.full((2, 3, 4, 8), 1 / 8)
    almost = even * (1 + 1e-2 * np.random.default_rng(4).choice([-1, 1], even.shape))
    assert math.isnan(engine.scores(even, 1, even.shape, EVEN)[2])
    assert math.isnan(engine.scores(almost, 1, even.shape, 0.999)[2])
    assert math.isfinite(engine.scores(almost, 1, even.shape, EVEN)[2])


# --- All of them ------------------------------------------------------------------------------------------------------


@engine
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_thread_that_flushes_subnormals_measures_them_too(engine: library.Engine, dtype: str) -> None:
    tf = pytest.importorskip("tensorflow")
    small = np.finfo(dtype).smallest_subnormal
    low = float(small)  # here: in that thread it is 0
    array = np.array([small, 2 * small, 3 * small, 0, 1, 1], dtype).reshape(1, 2, 1, 3)
    wide = (np.arange(60).reshape(6, 10) % 7 * small).astype(dtype)

    def measure() -> list[float]:
        return [
            *engine.examples(wide, 1, 1),
            engine.bounded(array, low, 1),
            *engine.scores(array, 1, array.shape, EVEN),
        ]

    wanted, found, flushed = measure(), [], []

    def look(value: object) -> object:
        flushed.append(bool(small * np.ones(1, dtype) == 0))
        found.append(measure())
        flushed.append(bool(small * np.ones(1, dtype) == 0))
        return value

    tf.function(lambda value: tf.numpy_function(look, [value], tf.float32))(tf.constant(1.0))
    assert flushed == [True, True], "TensorFlow no longer flushes here: this test says nothing"
    assert wanted[2] == 4 and wanted[0] > 0.3
    np.testing.assert_array_equal(found[0], wanted)


@engine
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(3, 1, 5, 7), (2, 3, 4, 257), (33, 2, 1, 9)])
def test_nothing_is_read_beyond_the_array(engine: library.Engine, shape: tuple[int, ...], dtype: str) -> None:
    array = of("normal", dtype, shape, np.random.default_rng(5))
    sizes = (-(-shape[0] // 2), *shape[1:])

    def measure(array: np.ndarray) -> list[float]:
        found = [*engine.examples(array, 2, 3), engine.bounded(array, -0.5, 0.5), *engine.scores(array, 2, sizes, EVEN)]
        return [float(x) for x in found]

    wanted = measure(array)
    for filled in (0x00, 0xFF):
        around = np.full(array.nbytes + 8192, filled, np.uint8)
        inside = around[4096 : 4096 + array.nbytes].view(array.dtype).reshape(shape)
        inside[...] = array
        np.testing.assert_array_equal(measure(inside), wanted)
        assert (around[:4096] == filled).all() and (around[4096 + array.nbytes :] == filled).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_measured_on_the_host_is_the_librarys(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array = of("normal", dtype, (4, 3, 5, 6), np.random.default_rng(6))
    wanted = [Extra(features=2, bounds=(-1, 1)), Extra(attention=(1, 1, 1, 1), every=2)]
    with monkeypatch.context() as without:
        without.setattr(library, "engine", lambda: None)
        truth = [dict(host.measure(array, sparse=one).sparse) for one in wanted]
    monkeypatch.setattr(extra, "_Numpy", None)
    monkeypatch.setattr(library, "engine", lambda: FOUND["baseline"])
    assert [set(found) for found in truth] == [
        {"spread", "rank", "saturated"},
        {"positions", "evenness", "heads_alike"},
    ]
    for one, found in zip(wanted, truth, strict=True):
        assert host.measure(array, sparse=one).sparse == pytest.approx(found, rel=1e-11)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4, 4)])
def test_without_elements_there_are_none(shape: tuple[int, ...]) -> None:
    wanted = Extra(features=1, bounds=(0, 1), attention=(1, len(shape) - 3, 1, 1))
    assert host.measure(np.zeros(shape), sparse=wanted).sparse == {}
