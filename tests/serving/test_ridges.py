"""`/ridges`: the densities are those that numpy counts in the arrays that were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from board import Board
from framed import framed

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.format.histogram import Histogram
from tb_layerview.serving import ridges

NOTHING = Keep(activations=0, units=False)


def written(folder: Path, arrays: list[npt.NDArray[np.generic]]) -> Any:
    """A client of a run of one tensor, with an array a step."""
    with LayerWriter(folder, keep=NOTHING) as writer:
        for step, array in enumerate(arrays):
            writer.write(step, {"a": array})
    return Board(folder).client


def asked(client: Any, query: str = "tensors=0") -> tuple[dict[str, Any], list[npt.NDArray[np.uint8]]]:
    head, heights = framed(client, f"/ridges?run=.&{query}")
    sizes = [(len(lane["steps"]), lane["bins"]) for lane in head["lanes"]]
    assert len(heights) == sum(n * bins for n, bins in sizes)
    return head, [
        heights[lane["offset"] : lane["offset"] + n * bins].reshape(n, bins)
        for lane, (n, bins) in zip(head["lanes"], sizes)
    ]


def shares(array: npt.NDArray[np.floating], lane: dict[str, Any]) -> npt.NDArray[np.float64]:
    """The share of each place among what is finite and not 0, as numpy counts it."""
    found = array[np.isfinite(array) & (array != 0)].astype(np.float64)
    return np.histogram(found, 64, (lane["low"], lane["high"]))[0] / len(found)


def test_heights_are_the_densities_that_numpy_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(step / 4, 1 + step / 8, size=(200, 500)).astype(np.float32) for step in range(5)]
    client = written(tmp_path, arrays)
    head, (heights,) = asked(client)
    (lane,) = head["lanes"]
    assert (lane["steps"], lane["bins"], lane["zero"], lane["problem"]) == ([0, 1, 2, 3, 4], 64, [0.0] * 5, "")
    assert head["steps"] == 5 and head["generation"] == client.json("/steps?run=.")["generation"]
    expected = np.array([shares(array, lane) for array in arrays])
    # A bin of the log is 1/16 of its value wide at most, and in the tails wider.
    np.testing.assert_allclose(heights / 255, expected / expected.max(), atol=0.06)
    np.testing.assert_allclose(heights.sum(axis=1) / 255, expected.sum(axis=1) / expected.max(), rtol=0.02)
    assert heights.max() == 255
    low, high = min(np.quantile(a, 0.01) for a in arrays), max(np.quantile(a, 0.99) for a in arrays)
    assert lane["low"] == pytest.approx(low - 0.05 * (high - low), rel=0.1)
    assert lane["high"] == pytest.approx(high + 0.05 * (high - low), rel=0.1)
    for array, outside in zip(arrays, lane["outside"]):
        assert outside == pytest.approx(np.mean((array < lane["low"]) | (array > lane["high"])), abs=0.003)


def test_zeros_and_what_is_no_number_are_in_no_ridge(tmp_path: Path) -> None:
    array = np.maximum(np.random.default_rng(0).normal(size=(100, 100)), 0).astype(np.float32)
    sick = array.copy()
    sick[0, :50] = np.nan
    sick[1, :50] = np.inf
    head, (heights,) = asked(written(tmp_path, [array, sick]))
    (lane,) = head["lanes"]
    finite = sick[np.isfinite(sick)]
    assert lane["zero"] == pytest.approx([np.mean(array == 0), np.mean(finite == 0)])
    expected = np.array([shares(one, lane) for one in (array, sick)])
    np.testing.assert_allclose(heights / 255, expected / expected.max(), atol=0.12)


def test_a_wild_step_after_the_first_nan_presses_no_ridge_flat(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    usual = [rng.normal(size=(50, 50)) for _ in range(4)]
    with_nan = usual[0].copy()
    with_nan[0, 0] = np.nan
    wild = usual[1] * 1e9
    head, (heights,) = asked(written(tmp_path, [*usual, with_nan, wild]))
    (lane,) = head["lanes"]
    assert 2 < lane["high"] < 3.5 and -3.5 < lane["low"] < -2
    assert np.count_nonzero(heights[0]) > 40
    assert lane["outside"][5] == pytest.approx(1.0, abs=0.01) and heights[5].max() <= 2


def test_the_steps_are_spread_over_those_that_are_kept(tmp_path: Path) -> None:
    client = written(tmp_path, [np.arange(6.0).reshape(2, 3) + step for step in range(30)])
    for query, steps in (
        ("&ridges=4", [0, 10, 19, 29]),
        ("&ridges=1", [29]),
        ("&ridges=64", list(range(30))),
        ("", [round(i * 29 / 11) for i in range(12)]),
    ):
        assert asked(client, f"tensors=0{query}")[0]["lanes"][0]["steps"] == steps


@pytest.mark.parametrize("value", [0.0, 1.0, -7.0, 1e-30, 1e300, -1.7e308, 5e-324])
def test_a_tensor_that_is_constant_is_in_one_place(tmp_path: Path, value: float) -> None:
    head, (heights,) = asked(written(tmp_path, [np.full((3, 4), value)]))
    (lane,) = head["lanes"]
    assert lane["low"] < lane["high"]
    if value == 0.0:
        assert (lane["zero"], lane["outside"], heights.max()) == ([1.0], [0.0], 0)
    else:
        assert (lane["zero"], lane["outside"]) == ([0.0], [0.0])
        (at,) = np.flatnonzero(heights[0])
        assert heights[0, at] == 255
        place = (value / 2 - lane["low"] / 2) / (lane["high"] / 2 - lane["low"] / 2) * 64
        assert at - 1e-6 <= place <= at + 1 + 1e-6


def test_a_constant_start_does_not_press_what_is_learned_flat(tmp_path: Path) -> None:
    later = 1 + np.random.default_rng(0).normal(size=(50, 50)) / 10
    head, (heights,) = asked(written(tmp_path, [np.ones((50, 50)), later]))
    assert heights[0].max() == heights[1].max() == 255
    assert np.count_nonzero(heights[0]) == 1 < np.count_nonzero(heights[1])
    assert head["lanes"][0]["outside"][0] == 0.0


def test_a_start_that_is_nearly_constant_does_not_either(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    start = 1 + 1e-3 * rng.choice([-1, 1], size=(50, 50))
    later = [1 + rng.normal(size=(50, 50)) / 10 for _ in range(3)]
    _, (heights,) = asked(written(tmp_path, [start, *later]))
    assert 1 < np.count_nonzero(heights[0]) < 4 and heights[0].max() == 255
    assert heights[1:].max() == 255 and heights[1:].max(axis=1).min() > 180


def test_what_is_mostly_constant_does_not_press_the_rest_flat(tmp_path: Path) -> None:
    later = 1 + np.random.default_rng(0).normal(size=(50, 50)) / 10
    _, (heights,) = asked(written(tmp_path, [*[np.ones((50, 50))] * 5, later]))
    assert heights[:5].max(axis=1).tolist() == [255] * 5 and heights[5].max() == 255


def test_steps_that_left_the_range_cut_no_healthy_ridge_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    usual = [rng.normal(size=(50, 50)) for _ in range(3)]
    wild = [1e25 * rng.normal(size=(50, 50)) + one for one in (0, 1, 2, 3, 4)]
    _, (heights,) = asked(written(tmp_path, [*usual, *wild]))
    assert np.count_nonzero(heights[:3] == 255) == 1 and heights[3:].max() <= 2


def test_a_distribution_that_narrows_slowly_is_not_cut_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    _, (heights,) = asked(written(tmp_path, [rng.normal(size=(200, 200)) / (1 + step / 2) for step in range(6)]))
    peaks = heights.max(axis=1).tolist()
    assert peaks == sorted(peaks) and peaks[-1] == 255 and peaks[-2] < 255


def test_a_wide_bin_is_shared_out_over_the_places_that_it_covers() -> None:
    lower, upper = np.array([-4.0, 0.0, 1.0, 40.0]), np.array([0.0, 0.0, 33.0, 40.0])
    found = ridges.ridge(Histogram(lower, upper, np.array([40, 60, 320, 80])), 0.0, 64.0)
    # 10 a unit of width from 1 to 33, 80 at 40, and 40 below the range; the 60 zeros are in no place.
    expected = np.zeros(64)
    expected[1:33], expected[40] = 10, 80
    np.testing.assert_allclose(found.mass, expected / 440)
    assert (found.zero, found.outside) == (60 / 500, 40 / 500)


def test_what_is_not_kept_or_damaged_is_said_in_its_lane_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with LayerWriter(tmp_path, keep=NOTHING) as writer:
        for step in range(3):
            writer.write(step, {name: rng.normal(size=(20, 20)) for name in "abc"})
        writer.write(3, {"empty": np.zeros((0, 2))})
    run = next(iter(LayerReader(tmp_path).runs()))
    (path,) = (tmp_path / "layers").glob("*.payload")
    content = bytearray(path.read_bytes())
    for tensor, step in ((0, 1), (1, 0), (1, 1), (1, 2)):
        content[run.piece("histogram", tensor, step).offset + 20] ^= 4
    path.write_bytes(content)
    head, (a, b, c, _) = asked(Board(tmp_path).client, "tensors=0,1,2,3")
    assert [lane["steps"] for lane in head["lanes"][:3]] == [[0, 2], [], [0, 1, 2]]
    assert [len(one) for one in (a, b, c)] == [2, 0, 3]
    assert ["is damaged" in lane["problem"] for lane in head["lanes"][:3]] == [False, True, False]
    assert head["lanes"][0]["problem"] == ""


def test_the_smallest_numbers_have_ridges_too(tmp_path: Path) -> None:
    client = written(tmp_path, [np.array([[5e-324, 0.0, 1e-320]]), np.array([[5e-324, 2e-320, 1e-320]])])
    head, [heights] = asked(client)
    assert head["lanes"][0]["zero"] == pytest.approx([1 / 3, 0])
    assert heights.any(axis=1).all(), "each step has its ridge"


def test_ridges_that_were_made_before_are_the_same(tmp_path: Path) -> None:
    client = written(tmp_path, [np.random.default_rng(step).normal(size=(30, 30)) for step in range(5)])
    once = client.bytes("/ridges?run=.&tensors=0&ridges=3")
    assert client.bytes("/ridges?run=.&tensors=0&ridges=3") == once
    head, (heights,) = asked(client, "tensors=0&ridges=5")
    assert head["lanes"][0]["steps"] == [0, 1, 2, 3, 4]
    fresh, (again,) = asked(Board(tmp_path).client, "tensors=0&ridges=5")
    np.testing.assert_array_equal(heights, again)
    assert fresh["lanes"] == head["lanes"]


def test_what_is_asked_wrongly_is_refused_in_a_sentence(tmp_path: Path) -> None:
    client = written(tmp_path, [np.ones((2, 2))])
    assert client.error("/ridges?run=.&tensors=0&ridges=65") == (
        400,
        "ridges=65 is more than 64, which are the most of one tensor.",
    )
    assert client.error("/ridges?run=.&tensors=0&ridges=0")[0] == 400
    assert client.error("/ridges?run=.")[0] == 400
    assert client.error("/ridges?run=.&tensors=x")[0] == 400
    twice = (400, "tensors names one more than once; each is answered once.")
    assert client.error("/ridges?run=.&tensors=0,00") == twice
    assert client.error("/ridges?run=.&tensors=1") == (404, "run '.' has no tensor 1; it has 1, from 0 on.")
    assert client.error("/ridges?run=no&tensors=0")[0] == 404
