"""What C makes of code counts and of statistics per unit against what Python makes of them, which is what is true."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kinds_of_arrays import FLOATS, KINDS, TYPES, of

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.format import arrays, histogram, units
from tb_layerview.format.histogram import CODES, MAX_BYTES, Cells, Counted
from tb_layerview.format.statistics import NAMES, QUANTILES
from tb_layerview.format.units import UNIT_STATISTICS, Units
from tb_layerview.measure import extra, summary
from tb_layerview.measure.native import library

FOUND = library.engines()
pytestmark = pytest.mark.skipif(not FOUND, reason="there is no native library: python build_native.py makes it")
engine = pytest.mark.parametrize("engine", FOUND.values(), ids=FOUND)
BEST = list(FOUND.values())[-1] if FOUND else None
Q = (0.0, *QUANTILES.values(), 1.0)


def check_counted(engine: library.Engine, counted: Sequence[Counted]) -> None:
    """That quantiles are the same to the last bit, and histograms to the last byte."""
    with np.errstate(all="ignore"):
        found, true = engine.quantiles(counted, Q), histogram.quantiles_of(counted, Q)
        np.testing.assert_array_equal(found, true)
        assert np.where(np.isnan(found), 0, found).tobytes() == np.where(np.isnan(true), 0, true).tobytes()
        assert engine.histograms(counted) == [histogram.encode(*one) for one in counted]


def blocks(encoded: bytes) -> list[tuple[bytes, bytes, int]]:
    """Of each array block the head without its length, the elements, and how long they are deflated."""
    found, at = [], 0
    for _ in UNIT_STATISTICS:
        (length,) = struct.unpack_from("<I", encoded, at + 8)
        inflate = zlib.decompressobj()
        elements = inflate.decompress(encoded[at + 12 : at + 12 + length])
        assert inflate.eof and not inflate.unused_data
        found.append((encoded[at : at + 8], elements, length))
        at += 12 + length
    assert at == len(encoded)
    return found


def check_units(engine: library.Engine, of_tensors: Sequence[Units]) -> None:
    """That blocks hold the same elements, and as many units are silent and alike."""
    with np.errstate(all="ignore"):
        for one, encoded in zip(of_tensors, engine.encode_units(of_tensors), strict=True):
            true = blocks(units.encode(one))
            assert [block[:2] for block in blocks(encoded)] == [block[:2] for block in true]
            # Beyond what zlib makes of it by no more than a block's own code takes.
            assert len(encoded) <= 1.1 * sum(12 + length for *_, length in true) + 64
        measured = [one for one in of_tensors if len(one.peak)]
        if measured:
            np.testing.assert_array_equal(engine.silent_and_alike(measured), summary._silent_and_alike(measured))


def any_counted(random: np.random.Generator) -> Counted:
    """Counts of few codes and of many, of few elements and of 2**53, those that are not finite among them."""
    filled = random.choice((0, 1, 2, 3, 7, 8, 9, 60, 129, 300, 1000, 4000, CODES))
    near = random.choice((32, 256, CODES))  # codes that lie side by side, or anywhere
    found = np.zeros(CODES, random.choice((np.int64, np.int32)))
    codes = (random.integers(CODES) + random.choice(near, min(filled, near), replace=False)) % CODES
    most = min(random.choice((0, 1, 4, 20, 53)), 30 if found.dtype == np.int32 else 53 - np.log2(max(1, len(codes))))
    found[codes] = 2.0 ** random.uniform(0, most, len(codes))
    center = random.choice((0.0, 1.5, -3.0, 1e300, -1e308, 3e-310))
    return Counted(Cells.of(found), float(center), int(random.choice((0, 0, 0, 70, -200, 900, -1030, 1024))))


def any_units(random: np.random.Generator) -> Units:
    """Statistics per unit, likely or not."""
    size = int(random.choice((0, 1, 2, 3, 5, 8, 64, 242, 1000, 3136)))
    dtype = str(random.choice(FLOATS))
    columns = [np.asarray(of(str(random.choice(KINDS)), dtype, (size,), random)) for _ in UNIT_STATISTICS]
    if random.random() < 0.5:
        columns[2] = random.integers(0, 33, size) / 32
    if random.random() < 0.5 and size > 1:  # each is like the one half the way on
        columns = [np.concatenate([column[: size // 2]] * 2) for column in columns]
    return Units(*columns)


generators = st.integers(0, 1 << 32).map(np.random.default_rng)


@settings(max_examples=150, deadline=None)
@given(counted=st.lists(generators.map(any_counted), min_size=1, max_size=4))
@example(counted=[Counted(Cells.of(np.zeros(CODES, np.int64)), 0.0, 0)])
@example(counted=[Counted(Cells.of(np.full(CODES, 1 << 39)), 0.0, 0)])
def test_any_counts_have_the_quantiles_and_the_bytes_that_numpy_gives_them(counted: list[Counted]) -> None:
    assert BEST is not None
    check_counted(BEST, counted)


@settings(max_examples=100, deadline=None)
@given(of_tensors=st.lists(generators.map(any_units), min_size=1, max_size=4))
def test_any_statistics_per_unit_come_back_as_numpy_stores_them(of_tensors: list[Units]) -> None:
    assert BEST is not None
    check_units(BEST, of_tensors)


@engine
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_measured_is_encoded_as_numpy_does(engine: library.Engine, kind: str) -> None:
    random = np.random.default_rng(0)
    shapes = ((1, 1), (7, 3), (64, 242), (3000, 20))
    measured = [engine.look(of(kind, dtype, shape, random), units=True) for dtype in TYPES for shape in shapes]
    counted = [m.counted for m in measured if m.counted is not None]
    check_counted(engine, counted)
    check_units(engine, [m.units for m in measured if m.units is not None])


@pytest.mark.parametrize("filled", range(1, CODES, 511))
def test_a_histogram_of_any_number_of_cells_has_numpys_bytes(filled: int) -> None:
    assert BEST is not None
    random = np.random.default_rng(filled)
    codes = np.zeros(CODES, np.int64)
    for most in (1, 100, 1 << 30):
        codes[:] = 0
        codes[random.choice(CODES, filled, replace=False)] = random.integers(1, most + 1, filled)
        check_counted(BEST, [Counted(Cells.of(codes), 0.0, 0)])


def test_the_coarsest_histogram_is_taken_however_long_it_is() -> None:
    assert BEST is not None
    counted = Counted(Cells.of(np.full(CODES, 1 << 39)), 0.0, 0)
    check_counted(BEST, [counted])
    assert MAX_BYTES - 100 < len(BEST.histograms([counted])[0]) < library._LONGEST


def test_a_histogram_of_exactly_the_most_bytes_is_taken_as_it_is() -> None:
    assert BEST is not None
    lengths = set()
    for cells in range(480, 500):
        for first in (1, 200):  # counts of one byte and of two
            codes = np.zeros(CODES, np.int64)
            codes[1000 : 1000 + cells] = 1
            codes[1000] = first
            check_counted(BEST, [Counted(Cells.of(codes), 0.0, 0)])
            lengths.add(len(BEST.histograms([Counted(Cells.of(codes), 0.0, 0)])[0]))
    assert {MAX_BYTES - 1, MAX_BYTES} < lengths and max(lengths) == MAX_BYTES


@pytest.mark.parametrize("zeros", [1 << 20, 1 << 35, 1 << 50])
def test_a_scale_below_the_smallest_cell_is_that_of_the_smallest_cell(zeros: int) -> None:
    assert BEST is not None
    codes = np.zeros(CODES, np.int64)
    codes[:260] = codes[CODES // 2 : CODES // 2 + 260] = 1
    codes[0] = zeros
    check_counted(BEST, [Counted(Cells.of(codes), 0.0, 0)])


@pytest.mark.parametrize("seed", range(12))
def test_a_scale_at_a_cells_end_falls_on_numpys_side_of_it(seed: int) -> None:
    assert BEST is not None
    random = np.random.default_rng(seed)
    top = random.integers(1900, 2200)
    # From the scale on to below a 32nd of it, where cells are drawn together.
    cells = top - np.arange(7 * 16 + 3)
    codes = np.zeros(CODES, np.int64)
    codes[cells] = codes[cells + CODES // 2] = random.integers(1 << 30, 1 << 36, len(cells))
    codes[cells[:16]] = codes[cells[:16] + CODES // 2] = random.integers(1 << 44, 1 << 45, 16)

    def scale_at(outermost: int) -> int:
        codes[top] = outermost
        scale = histogram._scale(*histogram._signed_cells(Cells.of(codes)))
        return int(np.float32(scale / 32).view(np.uint32)) >> histogram.CODE_SHIFT

    below, above = 1 << 44, 1 << 50
    first = scale_at(below)
    assert scale_at(above) > first
    while above - below > 1:
        half = (below + above) // 2
        below, above = (half, above) if scale_at(half) == first else (below, half)
    # One element more or less is less than the last bit of a sum, so that its order decides.
    found = set()
    for outermost in range(above - 12, above + 12):
        codes[top] = outermost
        check_counted(BEST, [Counted(Cells.of(codes), 0.0, 0)])
        found.add(scale_at(outermost))
    assert len(found) == 2


def test_a_percentile_at_a_cells_end_is_that_cells() -> None:
    assert BEST is not None
    outer, inner = np.arange(1600, 2000), np.arange(800, 1200)
    for shares in ((16, 34, 34, 16), (16, 84, 0, 0), (84, 0, 0, 16)):
        codes = np.zeros(CODES, np.int64)
        places = (outer + CODES // 2, inner + CODES // 2, inner, outer)  # ascending in value
        for place, share in zip(places, shares):
            codes[place] = 10 * share
        check_counted(BEST, [Counted(Cells.of(codes), 0.0, 0)])


def with_bytes(low: np.ndarray) -> np.ndarray:
    """Floats whose float16 ends in these bytes: 1 to 1.25, and first 1.5, so that they are stored as they are."""
    return np.concatenate([[1.5], 1 + np.asarray(low, np.float64) / 1024])


@pytest.mark.parametrize("size", [3, 100, 5000, 16383, 16384, 40_000])
def test_columns_of_every_kind_of_code_are_inflated_as_they_were(size: int) -> None:
    assert BEST is not None
    random = np.random.default_rng(size)
    uniform = random.integers(0, 256, size)
    fibonacci = np.array([1, 1])
    while fibonacci.sum() < size:  # each code is one bit longer than the next, and there are more than 15 bits hold
        fibonacci = np.append(fibonacci, fibonacci[-2:].sum())
    skewed = random.permutation(np.repeat(np.arange(len(fibonacci)) * 9, fibonacci))
    periodic = np.tile(random.integers(0, 256, 97), -(-size // 97))[:size]
    runs = np.repeat(uniform, random.integers(1, 300, size))[:size]
    wild = random.choice([-1.0, 1.0], size) * 2.0 ** random.uniform(-24, 15, size)  # which nothing makes shorter
    columns = [with_bytes(low) for low in (uniform, skewed, periodic, runs)]
    for column in (*columns, wild, np.zeros(size), np.full(size, 0.1), np.full(size, np.nan), 1e25 * uniform):
        check_units(BEST, [Units(column, -column, column, column.astype(np.float32))])
    # No more than the byte plan takes them to be.
    most = len(UNIT_STATISTICS) * (2 * size + 32 + 5 * (size >> 14))
    assert len(BEST.encode_units([Units(wild, wild, wild, wild)])[0]) <= most


def test_no_code_is_longer_than_an_inflater_takes() -> None:
    assert BEST is not None
    often = 8 * [1]  # which stand in the tree as one
    often += [round(9 * 1.64**i) for i in range(14)]  # each a little more than all but one before it: a step deeper
    in_order = np.repeat(np.arange(len(often)) * 9, often)
    low = np.zeros(len(in_order) // 2 * 2, np.int64)
    low[::2], low[1::2] = np.split(in_order[-len(low) :], 2)  # no two alike side by side, which would be one run
    column = with_bytes(low)
    check_units(BEST, [Units(column, column, column, column)])


@pytest.mark.parametrize("size", [20, 40, 60])
def test_what_no_code_makes_shorter_is_stored_as_it_is(size: int) -> None:
    assert BEST is not None
    random = np.random.default_rng(size)
    # Bytes for which the fixed code takes nine bits, hardly one of them twice; the first number is the largest.
    high, low = random.integers(0x90, 0xF4, size), random.integers(0x90, 0x100, size)
    column = np.append(0xF5FF, high << 8 | low).astype(np.uint16).view(np.float16)
    one = Units(column, column, column, column)
    check_units(BEST, [one])
    # The zlib stream's head and sum, and the head of what is stored.
    assert [length for *_, length in blocks(BEST.encode_units([one])[0])] == 4 * [column.nbytes + 6 + 5]


def test_repeated_shares_take_fewer_bytes_than_zlib_makes_of_their_runs() -> None:
    assert BEST is not None
    random = np.random.default_rng(0)
    shares = random.choice(random.integers(0, 32, (8, 5)), 200).ravel() / 32
    one = Units(*[np.zeros(len(shares))] * 2, shares, np.zeros(len(shares)))
    assert len(BEST.encode_units([one])[0]) < 0.9 * len(units.encode(one))


def test_elements_are_rounded_as_numpy_rounds_them() -> None:
    assert BEST is not None
    random = np.random.default_rng(0)
    every = np.arange(1 << 15, dtype=np.uint16)[:0x7800].view(np.float16).astype(np.float64)  # below 2**15
    halfway = (every[:-1] + every[1:]) / 2
    for values in (every, halfway, np.nextafter(halfway, 0), np.nextafter(halfway, 1e9)):
        column = np.concatenate([[2.0**14], random.choice([-1.0, 1.0], len(values)) * values])
        check_units(BEST, [Units(column, column, column, column)])


@pytest.mark.parametrize("largest", [5e-324, 1e-310, 1e-30, 1.0, 65504.0, 1.8e19, 1.9e19, 3.4e38, 3.5e38, 1.7e308])
def test_a_column_of_any_size_is_stored_under_numpys_power_of_two(largest: float) -> None:
    assert BEST is not None
    column = largest * np.concatenate([[1.0, -0.5], 2.0 ** -np.arange(0, 60, 0.7), [0.0, -0.0]])
    column = np.append(column, [np.nan, np.inf, -np.inf])
    check_units(BEST, [Units(column, column, column, column)])
    assert arrays.WIDE > 1.8e19


def test_units_are_alike_in_all_four_statistics_or_not_at_all() -> None:
    assert BEST is not None
    first = Units(*(np.array([0.1, 0.2, 0.3]) * factor for factor in (1.0, 4.0, 2.0, 10.0)))
    for name in UNIT_STATISTICS:
        other = dataclasses.replace(first, **{name: getattr(first, name) * 1.01})
        both = Units(*(np.append(getattr(first, n), getattr(other, n)) for n in UNIT_STATISTICS))
        assert extra.alike(both) == {"alike": 0.0}
        assert BEST.silent_and_alike([both]).tolist() == [[0.0], [0.0]]
    for shares, is_alike in (((0.00004, 0.00006), False), ((0.00006, 0.00014), True), ((0.00005, 0.00004), True)):
        both = Units(*(np.full(2, getattr(first, n)[0]) for n in UNIT_STATISTICS))
        both = dataclasses.replace(both, zero=np.array(shares))  # in ten-thousandths to the nearest, 0.5 to 0
        assert extra.alike(both) == {"alike": 0.5 * is_alike}
        assert BEST.silent_and_alike([both]).tolist() == [[0.0], [0.5 * is_alike]]
    thrice = Units(*(np.tile(getattr(first, n), 3) for n in UNIT_STATISTICS))
    assert BEST.silent_and_alike([thrice, first]).tolist() == [[0.0, 0.0], [pytest.approx(2 / 3), 0.0]]


def test_a_log_is_the_same_with_the_library_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    tensors = {kind: of(kind, "float32", (64, 242), random) for kind in KINDS}
    # The same measurements, so that only what is made of them may differ.
    monkeypatch.setattr("tb_layerview.measure.host.look", FOUND["baseline"].look)
    runs = []
    for level in ("", "none"):
        monkeypatch.setenv(library.VARIABLE, level)
        library.engine.cache_clear()
        with LayerWriter(tmp_path / f"log{level}") as writer, np.errstate(all="ignore"):
            writer.write(0, tensors)
        runs.append(LayerReader(tmp_path / f"log{level}").run())
    library.engine.cache_clear()
    one, other = runs
    assert one.problems == other.problems == ()
    for name in NAMES:
        np.testing.assert_array_equal(one.statistics(name), other.statistics(name), name)
    for tensor in range(len(tensors)):
        assert one.payload("histogram", tensor, 0) == other.payload("histogram", tensor, 0)
        assert [b[:2] for b in blocks(one.payload("units", tensor, 0))] == [
            b[:2] for b in blocks(other.payload("units", tensor, 0))
        ]


def test_python_and_c_mean_the_same_places_of_what_is_counted() -> None:
    text = (library.LIBRARY.parent / "histogram.c").read_text(encoding="utf-8")
    body = text[text.index("typedef struct {") : text.index("} Counted;")]
    names = [line.split("//")[0].strip(" ;").split(" ")[-1].strip("*;") for line in body.splitlines()[1:]]
    assert tuple(name for name in names if name) == library._COUNTED.names
    assert library._COUNTED.itemsize == 8 * len(library._COUNTED.names)
    assert f"LONGEST = {library._LONGEST}" in text
