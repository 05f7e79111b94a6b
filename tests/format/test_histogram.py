"""The quantiles of what is stored against numpy's of the data."""

from __future__ import annotations

import numpy as np
import pytest

from tb_layerview.format import histogram
from tb_layerview.measure.host import measure

N = 200_000
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
rng = np.random.default_rng(0)

DISTRIBUTIONS = {
    "normal": rng.normal(size=N),
    "uniform": rng.random(N),
    "ReLU-sparse": np.maximum(rng.normal(size=N) - 1, 0),
    "almost all zero": np.where(rng.random(N) < 0.97, 0, rng.random(N)),
    "log-normal": rng.lognormal(size=N),
    "wide log-normal": rng.lognormal(sigma=4, size=N),
    "Cauchy": rng.standard_cauchy(N),
    "two narrow peaks": rng.choice([-1, 1], N) + 0.001 * rng.normal(size=N),
    "1 ± 0.01": 1 + 0.01 * rng.normal(size=N),
    "100 ± 0.5": 100 + 0.5 * rng.normal(size=N),
    "-3e-6 ± 1e-9": -3e-6 + 1e-9 * rng.normal(size=N),
    "a constant": np.full(N, 0.3),
    "all zero": np.zeros(N),
    "integers 0 to 9": rng.integers(0, 10, N).astype(float),
    "few": rng.normal(size=100),
    "one": np.array([-2.5]),
    "both signs, 70 decades": np.exp(np.clip(30 * rng.normal(size=N), -80, 80)) * rng.choice([-1, 1], N),
}


def _encoded(array: np.ndarray) -> bytes:
    measured = measure(array)
    assert measured.counted is not None
    return histogram.encode(*measured.counted)


def _assert_quantiles(array: np.ndarray) -> None:
    encoded = _encoded(array)
    assert len(encoded) <= 1024
    stored = histogram.decode(encoded)
    finite = np.asarray(array, np.float64)
    finite = finite[np.isfinite(finite)]
    truth = np.quantile(finite, QUANTILES)
    allowed = np.maximum(0.05 * finite.std(), 0.07 * np.abs(truth)) + 1e-12 * np.abs(truth)
    error = np.abs(stored.quantiles(QUANTILES) - truth)
    assert (error <= allowed).all(), f"{error} is more than {allowed}"
    assert stored.counts.sum() == finite.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_quantiles_are_near_those_of_the_data(name: str, dtype: type) -> None:
    _assert_quantiles(DISTRIBUTIONS[name].astype(dtype))


@pytest.mark.parametrize("name", ["normal", "ReLU-sparse", "1 ± 0.01", "integers 0 to 9"])
def test_quantiles_of_half_precision_are_near_those_of_the_data(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype in (np.float16, ml_dtypes.bfloat16):
        _assert_quantiles(DISTRIBUTIONS[name].astype(dtype))


@pytest.mark.parametrize("name", ["normal", "100 ± 0.5", "ReLU-sparse"])
def test_nan_and_infinities_leave_the_quantiles_of_the_others_alone(name: str) -> None:
    array = DISTRIBUTIONS[name].astype(np.float32)
    array[::7], array[1::70], array[2::90] = np.nan, np.inf, -np.inf
    _assert_quantiles(array)


@pytest.mark.parametrize("scale", [1e-150, 1e-60, 1e60, 1e150])
def test_float64_beyond_the_range_of_float32_keeps_its_quantiles(scale: float) -> None:
    _assert_quantiles(DISTRIBUTIONS["normal"] * scale)


def test_ten_million_elements_still_fit_into_a_kilobyte() -> None:
    for draw in (rng.standard_normal, rng.standard_cauchy):
        _assert_quantiles(draw(10_000_000).astype(np.float32))


def test_every_bin_counts_exactly_what_lies_between_its_edges() -> None:
    array = DISTRIBUTIONS["Cauchy"].astype(np.float32)
    stored = histogram.decode(_encoded(array))
    magnitudes = np.sort(array.astype(np.float64))
    assert (stored.lower[1:] >= stored.upper[:-1]).all()
    for lower, upper, count in zip(stored.lower, stored.upper, stored.counts):
        # Edges belong to the bin that is further from zero.
        left = np.searchsorted(magnitudes, lower, "left" if lower > 0 else "right")
        right = np.searchsorted(magnitudes, upper, "left" if upper > 0 else "right")
        if lower < upper:
            assert right - left == count


def test_the_format_is_what_the_documentation_says() -> None:
    # Worked by hand from docs/http_api.md: 1.0 has the float32 bits 0x3f800000, so its cell is 0x3f800000 >> 19 = 2032.
    codes = np.zeros(histogram.CODES, np.int64)
    codes[0], codes[2032], codes[4096 + 2032] = 5, 300, 1
    data = histogram.encode(histogram.Cells.of(codes))
    assert data[:12] == bytes(8) + b"\0\0" + b"\3\0"
    # Cells -2032, 0 and 2032; gaps 4080 - 2032 = 2048, then 2031 twice; as varints of 2 * gap; counts 1, 5 and 300.
    assert data[12:] == bytes([0x80, 0x20, 1, 0xDE, 0x1F, 5, 0xDE, 0x1F, 0xAC, 0x02])
    stored = histogram.decode(data)
    assert stored.lower.tolist() == [-1.0625, 0.0, 1.0]
    assert stored.upper.tolist() == [-1.0, 0.0, 1.0625]
    assert stored.counts.tolist() == [1, 5, 300]


@pytest.mark.parametrize("cut", [0, 5, 11, 13, -1])
def test_a_histogram_that_is_cut_off_is_an_error(cut: int) -> None:
    data = _encoded(DISTRIBUTIONS["normal"].astype(np.float32))
    with pytest.raises(ValueError, match="histogram"):
        histogram.decode(data[:cut])


def test_no_bytes_make_it_crash_or_allocate() -> None:
    good = _encoded(DISTRIBUTIONS["normal"].astype(np.float32))
    for seed in range(3000):
        damage = np.random.default_rng(seed)
        data = bytearray(good)
        for _ in range(damage.integers(1, 6)):
            data[damage.integers(len(data))] = damage.integers(256)
        try:
            assert len(histogram.decode(bytes(data)).counts) <= len(data)
        except ValueError:
            continue
