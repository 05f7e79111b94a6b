"""`/thumbnails`: what is seen in them is what numpy says of the arrays that were written."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from board import Board
from framed import framed, pictures

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.format import arrays
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.values import Axis
from tb_layerview.measure.host import measure
from tb_layerview.serving import cuts
from tb_layerview.serving.past import Past
from tb_layerview.serving.thumbnails import MOST_LEVELS, Thumbnails
from tb_layerview.writing.log_files import LogFiles

EXACT = Keep(activations=1 << 20, weights=1 << 20, precision="float32", units=False)


def asked(client: Any, tensors: str, step: int = 0, example: object = 0) -> tuple[dict[str, Any], list[Any]]:
    head, levels = framed(client, f"/thumbnails?run=.&step={step}&example={example}&tensors={tensors}")
    return head, pictures(head, levels)


def written(folder: Path, array: npt.ArrayLike, keep: Keep = EXACT, **described: Any) -> Any:
    """A client of a run with this one tensor."""
    with LayerWriter(folder, keep=keep) as writer:
        writer.write(0, {"layer": np.asarray(array)}, **described)
    return Board(folder).client


def assert_shows(levels: npt.NDArray[np.uint8], values: npt.NDArray[np.floating], lane: dict[str, Any]) -> None:
    """Each level is the whole number nearest to where the value lies between low and high."""
    assert levels.shape == values.shape
    place = 250 * np.clip((values.astype(np.float64) - lane["low"]) / (lane["high"] - lane["low"]), 0, 1)
    assert levels.max() <= 250
    np.testing.assert_allclose(levels, place, atol=0.5 + 1e-6)


def normal(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(list(shape)).normal(size=shape).astype(np.float32)


# --- Layouts ---------------------------------------------------------------------------------


def test_feature_maps_are_the_first_nine_channels_of_the_example(tmp_path: Path) -> None:
    array = normal(4, 6, 5, 12)
    head, (tiles,) = asked(written(tmp_path, array), "0", example=2)
    (lane,) = head["lanes"]
    assert (head["step"], head["example"], head["examples"], head["non_finite_examples"]) == (0, 2, 4, [])
    assert (lane["tensor"], lane["step"], lane["problem"], lane["non_finite"]) == (0, 0, "", 0)
    assert (lane["layout"], lane["count"], lane["of"], lane["width"], lane["height"]) == ("tiles", 9, 12, 5, 6)
    assert_shows(tiles, array[2, ..., :9].transpose(2, 0, 1), lane)


@pytest.mark.parametrize(
    ("shape", "axes", "values", "of"),
    [
        ((2, 5, 4, 3, 2), None, lambda a: a[1, 2].transpose(2, 0, 1), 2),  # the middle depth
        ((2, 4, 5), ("example", "row", "column"), lambda a: a[1:], 1),
        ((2, 3, 4, 5, 2), ("example", "timestep", "row", "column", "channel"), lambda a: a[1, 1].transpose(2, 0, 1), 2),
        ((2, 11, 4, 3), ("example", "head", "timestep", "unit"), lambda a: a[1, :9], 11),
        # The example axis elsewhere.
        ((4, 5, 3, 2), ("row", "column", "channel", "example"), lambda a: a[..., 1].transpose(2, 0, 1), None),
    ],
)
def test_what_has_pictures_is_tiles(
    tmp_path: Path, shape: tuple[int, ...], axes: tuple[str, ...] | None, values: Any, of: int | None
) -> None:
    array = normal(*shape)
    head, (tiles,) = asked(written(tmp_path, array, axes=axes), "0", example=1)
    (lane,) = head["lanes"]
    if of is None:  # three channels of what takes nothing are colours
        assert lane["layout"] == "rgb"
    else:
        assert (lane["layout"], lane["of"]) == ("tiles", of)
    assert_shows(tiles, values(array), lane)


def test_attention_is_scaled_by_what_even_attention_is(tmp_path: Path) -> None:
    logits = normal(2, 12, 7, 10)
    scores = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    axes = ("example", "head", "query", "key")
    head, (tiles,) = asked(written(tmp_path / "a", scores, axes=axes, name="scores"), "0", example=1)
    (lane,) = head["lanes"]
    assert (lane["layout"], lane["count"], lane["of"], lane["width"], lane["height"]) == ("tiles", 9, 12, 10, 7)
    p99 = np.quantile(scores, 0.99)
    assert p99 > 3 / 10 and lane["low"] == 0.0 and not lane["diverging"]
    assert lane["high"] == pytest.approx(p99, rel=0.07)
    assert_shows(tiles, scores[1, :9], lane)
    even = np.full((1, 1, 4, 10), 0.1, np.float32)
    head, (tiles,) = asked(written(tmp_path / "b", even, axes=axes, name="scores"), "0")
    assert (head["lanes"][0]["low"], head["lanes"][0]["high"]) == (0.0, pytest.approx(3 / 10))
    assert set(tiles.ravel()) == {83}


@pytest.mark.parametrize("axes", [None, ("example", "position", "channel"), ("example", "channel", "position")])
def test_a_sequence_runs_across_and_its_units_down(tmp_path: Path, axes: tuple[str, ...] | None) -> None:
    array = normal(2, 11, 5)
    head, (strip,) = asked(written(tmp_path, array, axes=axes), "0", example=1)
    (lane,) = head["lanes"]
    is_turned = axes is not None and axes[2] == "position"
    assert (lane["layout"], lane["count"], lane["of"]) == ("strip", 1, 11 if is_turned else 5)
    assert_shows(strip[0], array[1] if is_turned else array[1].T, lane)


def test_the_example_axis_may_be_any(tmp_path: Path) -> None:
    array = normal(7, 3, 4)
    array[2, 1, 3] = np.nan
    client = written(tmp_path, array, axes=("timestep", "example", "unit"))
    head, (strip,) = asked(client, "0", example=2)
    assert (head["examples"], head["non_finite_examples"], head["lanes"][0]["non_finite"]) == (3, [1], 0)
    assert_shows(strip[0], array[:, 2].T, head["lanes"][0])
    assert asked(client, "0", example=1)[0]["lanes"][0]["non_finite"] == 1


@pytest.mark.parametrize(
    ("units", "height", "width"), [(1, 1, 1), (10, 1, 10), (16, 1, 16), (100, 4, 25), (97, 3, 33), (512, 8, 64)]
)
def test_units_are_wrapped_in_reading_order(tmp_path: Path, units: int, height: int, width: int) -> None:
    array = normal(3, units)
    head, (strip,) = asked(written(tmp_path, array), "0", example=1)
    (lane,) = head["lanes"]
    assert (lane["layout"], lane["count"], lane["of"]) == ("strip", 1, units)
    assert (lane["height"], lane["width"]) == (height, width)
    assert_shows(strip.ravel()[:units], array[1], lane)
    assert (strip.ravel()[units:] == 251).all()


def test_one_number_an_example_is_one_place(tmp_path: Path) -> None:
    head, (strip,) = asked(written(tmp_path, [1.0, 3.0], axes=("example",)), "0", example=1)
    lane = head["lanes"][0]
    assert (lane["layout"], lane["of"], strip.shape) == ("strip", 1, (1, 1, 1))
    assert_shows(strip, np.full((1, 1, 1), 3.0), lane)


def test_weights_have_no_examples_and_are_shown_all_the_same(tmp_path: Path) -> None:
    kernel, matrix, bias = normal(3, 3, 4, 12), normal(6, 20), normal(40)
    matrix[0, 0] = np.inf
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        writer.write(0, {"conv": kernel, "dense": matrix}, kind="weight")
        writer.write(0, {"dense": bias}, kind="weight", name="bias")
    client = Board(tmp_path).client
    head, (tiles, strip, line) = asked(client, "0,1,2", example=7)
    assert (head["examples"], head["non_finite_examples"]) == (0, [])
    assert [(lane["layout"], lane["of"], lane["non_finite"]) for lane in head["lanes"]] == [
        ("tiles", 12, 0),
        ("strip", 20, 1),
        ("strip", 40, 0),
    ]
    assert_shows(tiles, kernel[:, :, 0, :9].transpose(2, 0, 1), head["lanes"][0])
    assert strip[0, 0, 0] == 253
    assert_shows(strip[0, 1:], matrix[1:], head["lanes"][1])
    assert_shows(line[0].ravel(), bias, head["lanes"][2])
    head, found = asked(client, "0", example="all")
    assert head["lanes"][0]["problem"] == "weight 'kernel' of layer 'conv' has no axis of examples."
    assert found[0].size == 0


def write_network(folder: Path, images: npt.NDArray[np.generic], others: npt.NDArray[np.generic]) -> Any:
    """A client of a run of an input and a layer that takes it."""
    layers = (Layer("image", "Input"), Layer("conv", "Conv2D", (0,)))
    axes = ("example", "row", "column", "channel")
    arrays = [images, others]
    tensors = [Tensor(i, "activation", "output", a.shape, a.dtype.name, axes=axes) for i, a in enumerate(arrays)]
    log = LogFiles(folder)
    log.describe(Model(layers, tuple(tensors)))
    kept = [[Axis(0, 1, size, size) for size in array.shape] for array in arrays]
    log.write(0, {i: measure(a, keep=k) for i, (a, k) in enumerate(zip(arrays, kept))}, precision="float32")
    log.close()
    return Board(folder).client


def test_an_input_of_three_channels_is_a_picture_in_colours(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(20, 250, (2, 6, 5, 3)).astype(np.uint8)
    client = write_network(tmp_path / "bytes", images, normal(2, 6, 5, 3))
    head, (colours, _) = asked(client, "0,1", example=1)
    image, conv = head["lanes"]
    assert (image["layout"], image["count"], image["of"], conv["layout"]) == ("rgb", 3, 3, "tiles")
    assert (image["low"], image["high"], image["diverging"]) == (0.0, images.max(), False)
    assert_shows(colours, images[1].transpose(2, 0, 1), image)
    # One that is brought around 0 is as dark where it is lowest.
    moved = normal(2, 6, 5, 3) + 0.5
    head, (colours, _) = asked(write_network(tmp_path / "moved", moved, normal(2, 6, 5, 3)), "0,1", example=1)
    assert (head["lanes"][0]["low"], head["lanes"][0]["high"]) == pytest.approx((moved.min(), moved.max()))
    assert not head["lanes"][0]["diverging"]
    assert_shows(colours, moved[1].transpose(2, 0, 1), head["lanes"][0])


def test_an_input_of_one_channel_reaches_from_its_smallest_to_its_largest_element(tmp_path: Path) -> None:
    image = np.zeros((2, 20, 20, 1), np.float32)
    image[0, 3, 4, 0] = 9.0  # less than a hundredth of all
    image[1, 3, 4, 0] = 8.0
    head, (tiles, _) = asked(write_network(tmp_path, image, normal(2, 6, 5, 3)), "0,1", example=1)
    lane = head["lanes"][0]
    assert (lane["layout"], lane["low"], lane["high"]) == ("tiles", 0.0, 9.0)
    assert_shows(tiles, image[1].transpose(2, 0, 1), lane)


def test_whole_numbers_are_shown_as_what_they_are(tmp_path: Path) -> None:
    tokens = np.arange(40).reshape(2, 20) * 50
    head, (strip,) = asked(written(tmp_path, tokens, axes=("example", "timestep")), "0", example=1)
    lane = head["lanes"][0]
    assert_shows(strip.ravel()[:20], tokens[1], lane)
    assert lane["low"] == 0.0


# --- Cut down --------------------------------------------------------------------------------


def means(picture: npt.NDArray[np.floating], rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Means over blocks, one after the other."""
    return np.array(
        [
            [picture[y : y + rows, x : x + columns].mean(dtype=np.float64) for x in range(0, picture.shape[1], columns)]
            for y in range(0, picture.shape[0], rows)
        ]
    )


def test_large_maps_are_means_over_square_blocks(tmp_path: Path) -> None:
    array = normal(1, 70, 64, 2)
    head, (tiles,) = asked(written(tmp_path, array), "0")
    lane = head["lanes"][0]
    assert tiles.shape == (2, 24, 22)  # blocks of 3, of which those at the end are smaller
    assert_shows(tiles, np.stack([means(array[0, ..., i], 3, 3) for i in range(2)]), lane)


def test_a_long_strip_is_means_over_blocks_that_need_not_be_square(tmp_path: Path) -> None:
    array = normal(1, 700, 100)
    head, (strip,) = asked(written(tmp_path, array), "0")
    assert strip.shape == (1, 25, 234)
    assert_shows(strip[0], means(array[0].T, 4, 3), head["lanes"][0])


def test_many_units_are_means_of_neighbours(tmp_path: Path) -> None:
    array = normal(1, 20_000)
    head, (strip,) = asked(written(tmp_path, array), "0")
    lane = head["lanes"][0]
    assert lane["of"] == 20_000 and lane["height"] <= 32 and lane["width"] <= 288
    expected = [array[0, i : i + 3].mean() for i in range(0, 20_000, 3)]
    assert_shows(strip.ravel()[: len(expected)], np.array(expected), lane)
    assert (strip.ravel()[len(expected) :] == 251).all()


def test_one_pixel_that_is_no_number_is_never_averaged_away(tmp_path: Path) -> None:
    array = normal(1, 96, 96, 4)
    clean = array.copy()
    array[0, 10, 20, 0] = np.nan
    array[0, 95, 0, 1] = np.inf
    array[0, 0, 95, 2] = -np.inf
    array[0, 30:33, 30, 3] = np.inf, -np.inf, np.nan  # of one block
    array[0, 60:62, 60, 3] = np.inf, -np.inf
    head, (tiles,) = asked(written(tmp_path, array), "0")
    lane = head["lanes"][0]
    assert (lane["non_finite"], head["non_finite_examples"]) == (8, [0])
    marks = {(0, 3, 6): 255, (1, 31, 0): 253, (2, 0, 31): 252, (3, 10, 10): 255, (3, 20, 20): 253}
    assert {tuple(map(int, at)): int(tiles[tuple(at)]) for at in np.argwhere(tiles > 250)} == marks
    others = tiles <= 250
    expected = np.stack([means(clean[0, ..., i], 3, 3) for i in range(4)])
    assert_shows(tiles[others], expected[others], lane)


def test_an_answer_has_a_million_levels_at_most(tmp_path: Path) -> None:
    arrays = {f"layer{i:03}": normal(1, 288, 32) + i for i in range(120)}
    arrays["units"] = normal(1, 90)
    arrays["odd"] = normal(1, 13, 7, 1)
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        writer.write(0, arrays)
    client = Board(tmp_path).client
    head, found = asked(client, ",".join(map(str, range(122))))
    assert sum(one.size for one in found) <= MOST_LEVELS < 120 * 288 * 32
    for i in (0, 119):
        assert found[i].shape == (1, 16, 144)
        assert_shows(found[i][0], means(arrays[f"layer{i:03}"][0].T, 2, 2), head["lanes"][i])
    fours = [arrays["units"][0, i : i + 4].mean() for i in range(0, 90, 4)]
    assert_shows(found[120].ravel()[: len(fours)], np.array(fours), head["lanes"][120])
    assert_shows(found[121][0], means(arrays["odd"][0, ..., 0], 2, 2), head["lanes"][121])
    # Asked for alone it is as large as it is.
    assert asked(client, "0")[1][0].shape == (1, 32, 288)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_what_is_made_smaller_is_the_mean_of_elements_and_not_of_means(factor: int) -> None:
    """At the end the blocks that are drawn together are of unlike sizes."""
    array = normal(2, 70, 64)
    kept = tuple(Axis(0, 1, size, size) for size in (1, 70, 64, 2))
    block = arrays.Block(array.transpose(1, 2, 0)[None], 0, "float32", 0)
    one = cuts.cut(block, kept, cuts.plan(("example", "row", "column", "channel")), None, 0, rgb=False)
    assert one.block == (3, 3)
    found = cuts.smaller(one, factor)
    assert found.array.shape == one.shape(factor)
    expected = np.stack([means(picture, 3 * factor, 3 * factor) for picture in array])
    np.testing.assert_allclose(found.array, expected, atol=1e-6)


# --- Ranges ----------------------------------------------------------------------------------


def write_steps(folder: Path, steps: list[dict[str, npt.NDArray[np.generic]]]) -> Any:
    with LayerWriter(folder, keep=Keep(precision="float64")) as writer:
        for step, arrays in enumerate(steps):
            writer.write(step, arrays)
    return Board(folder).client


def test_a_range_is_that_of_the_healthy_past_at_every_step(tmp_path: Path) -> None:
    """Once another layer holds a NaN, what comes does not count."""
    rng = np.random.default_rng(0)
    healthy = [rng.normal(size=(2, 500)) * (1 + step) for step in range(4)]
    sick = np.array([[1.0, np.nan]])
    steps = [{"a": a.astype(np.float32), "b": np.ones((1, 2))} for a in healthy]
    steps += [{"a": np.full((2, 500), 1e6), "b": sick}, {"a": np.full((2, 500), 1e6), "b": np.ones((1, 2))}]
    client = write_steps(tmp_path, steps)
    lanes = [asked(client, "0", step)[0]["lanes"][0] for step in range(6)]
    assert len({(lane["low"], lane["high"]) for lane in lanes}) == 1
    extent = max(-min(np.quantile(a, 0.01) for a in healthy), max(np.quantile(a, 0.99) for a in healthy))
    assert lanes[0]["high"] == pytest.approx(extent, rel=0.07) and lanes[0]["diverging"]
    assert lanes[0]["low"] == -lanes[0]["high"]
    assert set(asked(client, "0", 4)[1][0].ravel()) <= {250, 251}


def test_what_is_larger_than_any_training_works_with_ends_the_healthy_past_too(tmp_path: Path) -> None:
    ones = np.linspace(0, 1, 100, dtype=np.float32).reshape(1, 100)
    wide = {"a": ones * 50, "b": np.full((1, 2), -3.4e38, np.float32)}
    client = write_steps(tmp_path, [{"a": ones, "b": np.ones((1, 2))}, wide])
    assert asked(client, "0", 1)[0]["lanes"][0]["high"] == pytest.approx(0.99, rel=0.07)
    lane = asked(client, "1", 1)[0]["lanes"][0]
    assert (lane["low"], lane["high"]) == (0.0, 1.0)


def test_without_a_healthy_past_all_plausible_steps_count_and_else_all_finite_ones(tmp_path: Path) -> None:
    sick = {"bad": np.array([[np.nan, np.nan]])}
    grows = [{"a": np.linspace(0, 1 + step, 200).reshape(1, 200), "huge": np.full((1, 2), 1e300)} for step in range(3)]
    client = write_steps(tmp_path, [{**sick, **one} for one in grows])
    names = [tensor.layer for tensor in next(iter(LayerReader(tmp_path).runs())).tensors]
    order = ",".join(str(names.index(name)) for name in ("bad", "a", "huge"))
    head, (bad, _, huge) = asked(client, order, 2)
    assert [(lane["low"], lane["high"]) for lane in head["lanes"]] == [
        (0.0, 1.0),
        (0.0, pytest.approx(3, rel=0.07)),
        (0.0, 1e300),
    ]
    assert set(bad.ravel()) == {255} and set(huge.ravel()) == {250}
    assert (head["lanes"][0]["non_finite"], head["non_finite_examples"]) == (2, [0])


def test_the_wildest_of_many_steps_does_not_count(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 100).reshape(1, 100)
    client = write_steps(tmp_path, [{"a": ramp * (1000 if step == 30 else 1)} for step in range(60)])
    assert asked(client, "0", 59)[0]["lanes"][0]["high"] == pytest.approx(0.99, rel=0.07)


@pytest.mark.parametrize(
    ("values", "low", "high", "diverging"),
    [
        (np.zeros(300), 0.0, 1.0, False),
        (np.full(300, 5.0), 0.0, 5.0, False),
        (np.full(300, -5.0), -5.0, 5.0, True),
        (np.r_[np.zeros(299), 7.0], 0.0, 7.0, False),  # what matters lies beyond the percentiles
        (np.linspace(100, 110, 300), 100.1, 109.9, False),  # far from 0: its differences
        (np.linspace(1, 110, 300), 0.0, 108.9, False),
        (np.linspace(-30, 10, 300), -29.6, 29.6, True),
        (np.linspace(-30, -10, 300), -29.8, 29.8, True),
        (np.r_[-1e300, 1e300], -1e300, 1e300, True),
        (np.r_[-1.7e308, 1.7e308], -1.7e308, 1.7e308, True),
        (np.r_[0.0, 5e-324], 0.0, 5e-324, False),
    ],
)
def test_a_scale_is_that_of_the_picture_panel(
    tmp_path: Path, values: npt.NDArray[np.float64], low: float, high: float, diverging: bool
) -> None:
    keep = Keep(precision="float64")
    head, (strip,) = asked(written(tmp_path, values[None], keep), "0")
    lane = head["lanes"][0]
    assert (lane["low"], lane["high"], lane["diverging"]) == (
        pytest.approx(low, rel=0.01),
        pytest.approx(high, rel=0.01),
        diverging,
    )
    assert lane["low"] < lane["high"]
    shown = strip.ravel()[: len(values)]
    assert shown.max() <= 250
    if diverging:
        assert lane["low"] == -lane["high"]
        assert (shown[values == 0] == 125).all() and (shown[values < 0] <= 125).all()


def test_huge_numbers_have_means_and_levels(tmp_path: Path) -> None:
    array = np.full((1, 64, 64, 1), 1.6e308)
    array[0, :32] *= -1
    array[0, 32:34, :, 0] = 0
    (tiles,) = asked(written(tmp_path, array, Keep(precision="float64")), "0")[1]
    assert tiles.shape == (1, 32, 32)
    assert [set(tiles[0, rows].ravel()) for rows in (slice(16), slice(16, 17), slice(17, 32))] == [{0}, {125}, {250}]


# --- Steps, examples, damage -----------------------------------------------------------------


def test_the_latest_kept_values_are_shown_else_the_first_later_ones(tmp_path: Path) -> None:
    arrays = {step: normal(2, 4) + step for step in (3, 6)}
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        for step in range(9):
            if step in arrays:
                writer.write(step, {"a": arrays[step]})
            writer.write(step, {"b": np.ones((1, 1))})
    client = Board(tmp_path).client
    for step, shown in ((-5, 3), (0, 3), (5, 3), (6, 6), (8, 6), (1000, 6)):
        tensor = next(t.index for t in next(iter(LayerReader(tmp_path).runs())).tensors if t.layer == "a")
        head, (strip,) = asked(client, str(tensor), step)
        assert (head["step"], head["lanes"][0]["step"]) == (step, shown)
        assert_shows(strip[0, 0], arrays[shown][0], head["lanes"][0])


def test_steps_that_come_are_shown_when_they_are_asked_for(tmp_path: Path) -> None:
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        writer.write(0, {"a": normal(2, 4)})
        board = Board(tmp_path)
        assert asked(board.client, "0", 0)[0]["lanes"][0]["step"] == 0
        writer.write(1, {"a": normal(2, 4) * 2})
        board.reload()
        assert asked(board.client, "0", 1)[0]["lanes"][0]["step"] == 1


def test_examples_that_hold_what_is_no_number_are_told_whichever_is_shown(tmp_path: Path) -> None:
    a, b = normal(6, 4, 4, 12), normal(6, 5)
    a[3, 1, 1, 11] = np.nan  # of no channel that is shown
    a[5, 0, 0, 0] = a[5, 2, 2, 9] = np.inf
    b[1, 2] = -np.inf
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        writer.write(0, {"a": a, "b": b})
    client = Board(tmp_path).client
    for example, counts in ((0, [0, 0]), (3, [1, 0]), (5, [2, 0]), (1, [0, 1]), ("all", [3, 1])):
        for _ in range(2):  # the second time from what was made before
            head, _ = asked(client, "0,1", example=example)
            assert head["non_finite_examples"] == [1, 3, 5]
            assert [lane["non_finite"] for lane in head["lanes"]] == counts
    assert asked(client, "1")[0]["non_finite_examples"] == [1]


def test_an_example_that_is_not_kept_is_said_in_its_lane_alone(tmp_path: Path) -> None:
    with LayerWriter(tmp_path, keep=Keep(activations=64, examples=1)) as writer:
        writer.write(0, {"large": normal(8, 6, 5), "small": normal(8, 3)})
    client = Board(tmp_path).client
    for example in (5, 2, 5):
        head, (large, small) = asked(client, "0,1", example=example)
        lane = head["lanes"][0]
        kept = head["examples"]
        assert kept == 8 and lane["step"] is None and large.size == 0
        words = f"example {example} of activation 'output' of layer 'large' is not kept at step 0: "
        assert lane["problem"].startswith(words)
        assert lane["problem"].endswith("of 8 are, 0 to 1.")
        assert (head["lanes"][1]["problem"], small.shape) == ("", (1, 1, 3))


def test_where_no_values_are_kept_a_lane_says_so(tmp_path: Path) -> None:
    head, (nothing,) = asked(written(tmp_path, normal(2, 3), Keep(activations=0)), "0")
    lane = head["lanes"][0]
    assert lane["problem"] == "activation 'output' of layer 'layer' keeps no values at any step."
    assert (lane["step"], lane["count"], nothing.size) == (None, 0, 0)


def test_a_tensor_without_elements_is_said(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"none": np.zeros((0, 3)), "flat": np.zeros((2, 0)), "good": np.ones((2, 2))})
    head, found = asked(Board(tmp_path).client, "0,1,2")
    assert [lane["problem"] != "" for lane in head["lanes"]] == [True, True, False]
    assert [one.size for one in found] == [0, 0, 2]


def test_a_damaged_payload_fails_its_own_lane_alone(tmp_path: Path) -> None:
    arrays = {name: normal(2, 30, 4) + i for i, name in enumerate("abc")}
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        writer.write(0, arrays)
    run = next(iter(LayerReader(tmp_path).runs()))
    piece = run.piece("values", 1, 0)
    (path,) = (tmp_path / "layers").glob("*.payload")
    content = bytearray(path.read_bytes())
    content[piece.offset + piece.length // 2] ^= 16
    path.write_bytes(content)
    board = Board(tmp_path)
    head, found = asked(board.client, "0,1,2")
    assert [lane["step"] for lane in head["lanes"]] == [0, None, 0]
    assert "is damaged" in head["lanes"][1]["problem"] and path.name in head["lanes"][1]["problem"]
    for i, name in ((0, "a"), (2, "c")):
        assert_shows(found[i][0], arrays[name][0].T, head["lanes"][i])
    # What was made is there still when the file is not; what was not made is said.
    path.unlink()
    head, again = asked(board.client, "0,1,2")
    assert [lane["step"] for lane in head["lanes"]] == [0, None, 0]
    np.testing.assert_array_equal(again[2], found[2])
    assert "is missing" in head["lanes"][1]["problem"]
    assert "is missing" in asked(board.client, "0", example=1)[0]["lanes"][0]["problem"]


def test_a_run_that_was_logged_anew_is_read_anew(tmp_path: Path) -> None:
    first, second = normal(2, 5), normal(2, 6)
    with LayerWriter(tmp_path / "run", keep=EXACT) as writer:
        writer.write(0, {"a": first})
    board = Board(tmp_path)
    path = "/thumbnails?run=run&step=0&example=0&tensors=0"
    head, levels = framed(board.client, path)
    (tmp_path / "run").rename(tmp_path / "gone")
    with LayerWriter(tmp_path / "run", keep=EXACT) as writer:
        writer.write(0, {"a": second})
    board.reload()
    head, levels = framed(board.client, path.replace("example=0", "example=1"))
    (strip,) = pictures(head, levels)
    assert_shows(strip[0, 0], second[1], head["lanes"][0])


# --- All examples ----------------------------------------------------------------------------


def test_all_examples_stand_beside_each_other(tmp_path: Path) -> None:
    maps, rows, sequences = normal(70, 6, 5, 2), normal(70, 40), normal(70, 9, 40)
    with LayerWriter(tmp_path, keep=Keep(activations=1 << 20, precision="float32")) as writer:
        writer.write(0, {"maps": maps, "rows": rows, "sequences": sequences})
    head, (tiles, lines, strips) = asked(Board(tmp_path).client, "0,1,2", example="all")
    assert (head["example"], head["examples"]) == ("all", 70)
    assert {(lane["layout"], lane["count"], lane["of"]) for lane in head["lanes"]} == {("tiles", 64, 70)}
    assert_shows(tiles, maps[:64, ..., 0], head["lanes"][0])
    assert_shows(lines.reshape(64, -1)[:, :40], rows[:64], head["lanes"][1])
    assert (lines.reshape(64, -1)[:, 40:] == 251).all() and max(lines.shape[1:]) <= 32
    expected = np.stack([means(one.T, 2, 1) for one in sequences[:64]])
    assert_shows(strips, expected, head["lanes"][2])


def test_all_examples_in_colours_are_three_pictures_each(tmp_path: Path) -> None:
    images = normal(4, 6, 5, 3)
    head, (tiles, _) = asked(write_network(tmp_path, images, normal(4, 6, 5, 3)), "0,1", example="all")
    lane = head["lanes"][0]
    assert (lane["layout"], lane["count"], lane["of"]) == ("rgb", 12, 4)
    assert_shows(tiles.reshape(4, 3, 6, 5), images.transpose(0, 3, 1, 2), lane)


# --- Requests, and what is kept of answers ---------------------------------------------------


def test_what_is_asked_wrongly_is_refused_in_a_sentence(tmp_path: Path) -> None:
    client = written(tmp_path, normal(2, 3))
    ask = "/thumbnails?run=.&step=0&example=0&tensors="
    many = ",".join(["0"] * 513)
    assert client.error(ask + many) == (400, "tensors names 513; 512 are the most that are answered at a time.")
    for wrong in ("", "0,", "0,,0", "a", "-1", "1.5"):
        code, sentence = client.error(ask + wrong)
        assert code == 400 and "is not a whole number from 0 on" in sentence
    assert client.error("/thumbnails?run=.&step=0&example=0")[0] == 400
    assert client.error("/thumbnails?run=.&step=0&tensors=0")[0] == 400
    assert client.error("/thumbnails?run=.&step=0&example=-1&tensors=0")[0] == 400
    assert client.error(ask + "0,9") == (404, "run '.' has no tensor 9; it has 1, from 0 on.")
    assert client.error("/thumbnails?run=no&step=0&example=0&tensors=0")[0] == 404
    assert client.error(ask + ",".join(map(str, range(512))))[0] == 404, "so many may be asked for"
    assert client.error(ask + "0,0") == (400, "tensors names one more than once; each is answered once.")


def test_what_is_kept_of_answers_stays_within_its_bytes_and_is_right(tmp_path: Path) -> None:
    arrays = [normal(2, 20, 20, 9) + step for step in range(12)]
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        for step, array in enumerate(arrays):
            writer.write(step, {"a": array})
    run = next(iter(LayerReader(tmp_path).runs()))
    size = 20 * 20 * 9 * 4
    thumbnails = Thumbnails(Past(), most=4 * size)
    fresh = [Thumbnails(Past()).answer(run, step, 1, [0]) for step in range(12)]
    for step in (*range(12), *range(11, -1, -1)):
        assert thumbnails.answer(run, step, 1, [0]) == fresh[step]
        assert thumbnails._made.total <= 4 * size


def test_many_may_ask_at_once(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(4):
            writer.write(step, {f"l{i}": normal(4, 16, 16, 4) + step for i in range(20)})
    run = next(iter(LayerReader(tmp_path).runs()))
    alone = {step: Thumbnails(Past()).answer(run, step, 2, range(20)) for step in range(4)}
    shared, wrong = Thumbnails(Past(), most=100_000), []

    def ask(start: int) -> None:
        for step in (*range(start, 4), *range(start)):
            if shared.answer(run, step, 2, range(20)) != alone[step]:
                wrong.append(step)

    threads = [threading.Thread(target=ask, args=(i % 4,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
