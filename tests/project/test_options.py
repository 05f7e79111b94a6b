"""Options check themselves, and the schedule is the ladder that the documentation describes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_layerview import Keep, LayerReader, LayerViewCallback, Schedule, Select
from tb_layerview.options import CORE, as_schedule, interval, is_rung
from tb_layerview.reading.run import Run

LAYERS = [("conv1", "Conv2D"), ("conv2", "Conv2D"), ("head/dense", "Dense")]


@pytest.mark.covers("What and when: Schedule, the ladder")
def test_the_ladder_logs_527_of_10_000_steps_and_about_740_of_100_000() -> None:
    assert sum(Schedule().wants(step) for step in range(10_001)) == 527
    assert sum(Schedule().wants(step) for step in range(100_000)) == pytest.approx(740, abs=5)
    assert all(Schedule().wants(step) for step in range(128))
    assert [s for s in range(256, 280) if Schedule().wants(s)] == [256, 260, 264, 268, 272, 276]


@pytest.mark.covers("What and when: Schedule, the ladder")
def test_the_core_has_eight_steps_an_octave_and_no_gap_longer_than_a_seventh_of_the_training_so_far() -> None:
    core = [step for step in range(1_000_000) if is_rung(step, per_octave=CORE)]
    # The last step of a training, where it is no rung, comes besides.
    assert {n: sum(step < n for step in core) for n in (100, 286, 1_000)} == {100: 37, 286: 49, 1_000: 64}
    assert core[:16] == list(range(16))
    for octave in range(4, 19):
        assert sum(1 << octave <= step < 2 << octave for step in core) == 8
    assert all(later - step <= max(1, step / 7) for step, later in itertools.pairwise(core))
    assert all(Schedule().wants(step) for step in core)


@pytest.mark.parametrize("since", [1, 100, 10_000, 123_457])
def test_a_resumed_ladder_begins_anew_on_steps_of_one_that_was_not_interrupted(since: int) -> None:
    for per_octave in (CORE, 64):
        rungs = [step for step in range(since, since + 5_000) if is_rung(step, since, per_octave)]
        assert [step - since for step in rungs[: 2 * per_octave]] == list(range(2 * per_octave))
        counts = [len(rungs), sum(is_rung(step, per_octave=per_octave) for step in range(5_000))]
        assert abs(counts[0] - counts[1]) <= 1, "as many as of a new training"
        assert set(rungs) >= {s for s in range(since, since + 5_000) if is_rung(s, per_octave=per_octave)}
    assert [Schedule().wants(step, since) for step in range(since, since + 300)] == [
        is_rung(step, since) for step in range(since, since + 300)
    ]


def test_a_training_that_goes_back_behind_its_beginning_is_logged_as_one_from_0() -> None:
    assert [step for step in range(1_000) if Schedule().wants(step, 1_000)] == [
        step for step in range(1_000) if Schedule().wants(step)
    ]


def test_rungs_are_multiples_of_powers_of_two_and_those_of_later_octaves_nest_in_earlier_intervals() -> None:
    for step in range(1, 100_000, 37):
        rung = interval(step)
        assert rung & (rung - 1) == 0
        assert interval(step) <= interval(step + 1)


@pytest.mark.covers("What and when: Schedule, every N", "What and when: Schedule, given steps")
def test_an_explicit_interval_or_list_is_followed_exactly() -> None:
    assert [s for s in range(31) if as_schedule(10).wants(s)] == [0, 10, 20, 30]
    assert [s for s in range(31) if Schedule(steps=(3, 28, 28)).wants(s)] == [3, 28]


@pytest.mark.parametrize("interval", [0, -5])
def test_an_interval_below_one_is_refused(interval: int) -> None:
    with pytest.raises(ValueError, match=f"the step interval must be a whole number of at least 1, not {interval}"):
        as_schedule(interval)


@pytest.mark.parametrize("schedule", ["10", 2.5, None, True])
def test_a_schedule_of_another_type_is_refused(schedule: object) -> None:
    with pytest.raises(TypeError, match="schedule must be a Schedule or a number of steps"):
        as_schedule(schedule)  # type: ignore[arg-type]


def test_a_budget_is_a_share() -> None:
    with pytest.raises(ValueError, match="above 0 and up to 1, not 2"):
        Schedule(budget=2)


@pytest.mark.covers("What and when: Select, layer paths", "What and when: Select, layer classes")
def test_patterns_match_paths_and_class_names() -> None:
    select = Select(include=("Conv2D", "head/*"), exclude=("conv2",))
    assert [path for path, name in LAYERS if select.takes(path, name)] == ["conv1", "head/dense"]


def test_a_pattern_that_matches_nothing_is_refused_with_the_layers_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"include pattern 'dnese\*' matches none of the 3 layers: conv1, conv2, head/dense\."
    ):
        Select(include=("dnese*",)).check(LAYERS)


def test_a_string_in_place_of_a_tuple_is_refused_with_the_way_out() -> None:
    with pytest.raises(TypeError, match=r"give a tuple: include=\('conv1',\)"):
        Select(include="conv1")  # type: ignore[arg-type]


def test_an_unknown_kind_is_refused_with_the_kinds_there_are() -> None:
    there_are = "activation, weight, gradient, update, optimizer"
    with pytest.raises(ValueError, match=f"no kind 'weights'; the kinds are {there_are}"):
        Select(kinds=("weights",))  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["activations", "weights", "gradients", "examples", "max_bytes"])
def test_negative_amounts_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=rf"Keep\({field}=...\) must be a whole number of at least [01], not -1"):
        Keep(**{field: -1})


def test_whether_to_keep_places_is_true_or_false_and_comes_after_what_was_there_before() -> None:
    with pytest.raises(ValueError, match=r"Keep\(source=...\) must be True or False, not 'no'"):
        Keep(source="no")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Keep\(targets=...\) must be True or False, not 2"):
        Keep(targets=2)  # type: ignore[arg-type]
    by_place = Keep(1, 2, 3, 4, True, "float32", 5)
    assert (by_place.precision, by_place.max_bytes, by_place.source, by_place.targets) == ("float32", 5, True, True)


@pytest.fixture(scope="module")
def fit() -> Callable[..., Any]:
    """Trains a small convolutional model with the callback's options; returns what was logged, and the model."""
    from any_keras import keras, layers

    def train(folder: Path, **options: Any) -> tuple[Run, Any]:
        model = keras.Sequential(
            [
                keras.Input((12, 12, 3)),
                layers.Conv2D(16, 3, name="conv"),
                layers.Flatten(name="flat"),
                layers.Dense(20, name="logits"),
            ]
        )
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        x = np.random.default_rng(0).normal(size=(64, 12, 12, 3)).astype(np.float32)
        callback = LayerViewCallback(folder, **options)
        model.fit(x, np.arange(64) % 20, batch_size=8, epochs=3, verbose=0, callbacks=[callback])
        return LayerReader(folder).run(), model

    return train


def kept(run: Run, step: int = 0) -> dict[tuple[str, str, str], tuple[int, ...]]:
    """The shapes of the values that are kept of each tensor at a step; those without are left out."""
    return {
        (t.layer, t.kind, t.name): run.values(t, step).array.shape
        for t in run.tensors
        if step in run.kept_steps("values", t)
    }


@pytest.mark.covers("What and when: Keep, values per tensor and kind")
def test_the_values_that_are_kept_of_each_kind_are_at_most_as_many_as_asked_for(fit: Any, tmp_path: Path) -> None:
    run, _ = fit(tmp_path, keep=Keep(activations=500, weights=100, gradients=30))
    most = {"activation": 500, "weight": 100, "gradient": 30}
    sizes = {(layer, kind, name): np.prod(shape) for (layer, kind, name), shape in kept(run).items()}
    for tensor in run.tensors:
        if tensor.kind in most:
            size = sizes[tensor.layer, tensor.kind, tensor.name]
            assert size <= min(most[tensor.kind], np.prod(tensor.shape)), tensor
            assert size >= 0.4 * min(most[tensor.kind], np.prod(tensor.shape)), tensor


@pytest.mark.covers("What and when: Keep, values per tensor and kind")
def test_nothing_is_kept_of_a_kind_whose_budget_is_0(fit: Any, tmp_path: Path) -> None:
    run, _ = fit(tmp_path, keep=Keep(activations=0, weights=50))
    assert {kind for _, kind, _ in kept(run)} == {"weight"}
    assert np.isfinite(run.statistics("rms")[run.tensor("conv", kind="activation")]).all()


@pytest.mark.parametrize("examples", [1, 3])
@pytest.mark.covers("What and when: Keep, examples")
def test_so_many_examples_of_an_activation_are_kept_before_anything_else_is_left_out(
    fit: Any, tmp_path: Path, examples: int
) -> None:
    # One example of the convolution's output has 10 × 10 × 16 elements, and the probe has 8: more examples leave less
    # room for each.
    run, _ = fit(tmp_path, keep=Keep(activations=1600, examples=examples))
    shape = kept(run)["conv", "activation", "output"]
    assert shape[0] >= examples and np.prod(shape) <= 1600
    assert (shape == (1, 10, 10, 16)) == (examples == 1)


@pytest.mark.covers("What and when: Keep, exact float32")
def test_exact_float32_keeps_the_weights_bits_and_float16_does_not(fit: Any, tmp_path: Path) -> None:
    for precision, is_exact in (("float32", True), ("float16", False)):
        run, model = fit(tmp_path / precision, keep=Keep(weights=1 << 20, precision=precision))
        values = run.values(run.tensor("conv", kind="weight", name="kernel"), int(run.steps[-1]))
        assert values.precision == precision
        truth = model.get_layer("conv").get_weights()[0]
        assert np.array_equal(values.array, truth) == is_exact
        # Half a unit in the last place of 11 bits, and of the largest element for the small ones.
        assert np.allclose(values.array, truth, rtol=2**-11, atol=np.abs(truth).max() * 2**-29)


@pytest.mark.covers("What and when: Keep, units")
def test_units_are_left_out_where_they_are_not_wanted(fit: Any, tmp_path: Path) -> None:
    for units in (True, False):
        run, _ = fit(tmp_path / str(units), keep=Keep(units=units))
        tensor = run.tensor("conv", kind="weight", name="kernel")
        assert bool(len(run.kept_steps("units", tensor))) == units


@pytest.mark.covers("What and when: Keep, the byte cap")
def test_a_run_stays_below_its_cap_and_the_log_says_what_was_left_out(fit: Any, tmp_path: Path) -> None:
    keep = Keep(max_bytes=200_000)
    run, _ = fit(tmp_path, keep=keep, schedule=Schedule(budget=1.0))
    assert sum(path.stat().st_size for path in (tmp_path / "layers").iterdir()) <= keep.max_bytes
    assert any("to stay below 0.2 MB" in note for note in run.model.notes)
    given, _ = fit(tmp_path / "every", keep=keep, schedule=1)
    assert sum(path.stat().st_size for path in (tmp_path / "every" / "layers").iterdir()) <= keep.max_bytes
    assert list(given.steps) == list(range(len(given.steps)))


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [(5, [0, 5, 10, 15, 20, 24]), (Schedule(steps=(0, 7, 11)), [0, 7, 11, 24]), (Schedule(steps=(7,)), [0, 7, 24])],
)
@pytest.mark.covers("What and when: Schedule, every N", "What and when: Schedule, given steps")
def test_given_steps_and_the_last_one_are_logged(fit: Any, tmp_path: Path, schedule: Any, steps: list[int]) -> None:
    run, _ = fit(tmp_path, schedule=schedule)
    assert list(run.steps) == steps


@pytest.mark.covers(
    "What and when: Select, layer paths", "What and when: Select, layer classes", "What and when: Select, kinds"
)
def test_only_selected_layers_and_kinds_are_logged(fit: Any, tmp_path: Path) -> None:
    select = Select(include=("conv", "Dense", "flat"), exclude=("Flatten",), kinds=("weight", "gradient"))
    run, _ = fit(tmp_path, select=select)
    assert {(t.layer, t.kind) for t in run.tensors} == {
        (layer, kind) for layer in ("conv", "logits") for kind in ("weight", "gradient")
    }
