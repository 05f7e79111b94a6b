"""Options check themselves, and the schedule is the ladder that the documentation describes."""

from __future__ import annotations

import pytest

from tb_layerview import Keep, Schedule, Select
from tb_layerview.options import as_schedule, interval

LAYERS = [("conv1", "Conv2D"), ("conv2", "Conv2D"), ("head/dense", "Dense")]


@pytest.mark.covers("What and when: Schedule, the ladder")
def test_the_ladder_logs_527_of_10_000_steps_and_about_740_of_100_000() -> None:
    assert sum(Schedule().wants(step) for step in range(10_001)) == 527
    assert sum(Schedule().wants(step) for step in range(100_000)) == pytest.approx(740, abs=5)
    assert all(Schedule().wants(step) for step in range(128))
    assert [s for s in range(256, 280) if Schedule().wants(s)] == [256, 260, 264, 268, 272, 276]


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
    with pytest.raises(ValueError, match="no kind 'weights'; the kinds are activation, weight, gradient, update"):
        Select(kinds=("weights",))  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["activations", "weights", "gradients", "examples", "max_bytes"])
def test_negative_amounts_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=rf"Keep\({field}=...\) must be a whole number of at least [01], not -1"):
        Keep(**{field: -1})
