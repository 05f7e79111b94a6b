"""Which steps before are kept, how many fit, and whether keeping them is worth its time."""

from __future__ import annotations

import pytest

from tb_layerview.capture.ages import MOST, OLDEST, RECENT, CostTrial, RecentSteps, Room

pytestmark = pytest.mark.once


@pytest.mark.parametrize("last", [0, 1, 7, 63, 64, 100, 1000, 4311])
def test_of_the_last_steps_each_is_kept_and_of_each_octave_before_just_one(last: int) -> None:
    ages: RecentSteps[str] = RecentSteps()
    for step in range(last + 1):
        ages.push(step, f"weights of {step}")
    found = [last - step for step, _ in ages.kept]
    assert found == sorted(found, reverse=True)
    assert [age for age in found if age < RECENT] == list(range(min(RECENT, last + 1)))[::-1]
    low = RECENT
    while low < OLDEST and low <= last:
        octave = [age for age in found if low <= age < 2 * low]
        assert len(octave) == 1 or 2 * low > last, (low, found)
        low *= 2
    assert len(found) <= MOST
    assert all(value == f"weights of {step}" for step, value in ages.kept)


def test_the_oldest_go_first_where_there_is_room_for_few() -> None:
    ages: RecentSteps[int] = RecentSteps(most=2)
    for step in range(100):
        ages.push(step, step)
    assert ages.kept == ((98, 98), (99, 99))
    ages.forget()
    assert ages.kept == ()


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (10_000, Room(MOST, RECENT)),
        (100 * 5 + 10 * 4, Room(5, 4)),
        (100 * 2 + 10 * 2, Room(2, 2)),
        (110, Room(1, 1)),
        (109, Room(0, 0)),
    ],
)
def test_the_memory_goes_to_the_last_step_first(memory: int, expected: Room) -> None:
    assert Room.of(memory, weights=100, batch=10) == expected


def test_what_would_take_more_than_its_share_of_the_steps_is_told() -> None:
    cheap, dear = CostTrial(0.02, cost=0.001, steps=3), CostTrial(0.02, cost=0.001, steps=3)
    assert [cheap.saw(seconds) for seconds in (0.1, 0.06, 9.0, 0.001)] == [None] * 4
    assert [dear.saw(seconds) for seconds in (0.01, 0.02, 0.01, 0.01)] == [None, None, pytest.approx(0.1), None]


def test_steps_that_are_quick_once_the_first_are_over_are_looked_at_again() -> None:
    slow_at_first, slow = CostTrial(0.02, cost=0.001), CostTrial(0.02, cost=0.001)
    told = [slow_at_first.saw(0.1 if step < 32 else 0.01) for step in range(100)]
    assert [(step, share) for step, share in enumerate(told) if share is not None] == [(39, pytest.approx(0.1))]
    assert not any(slow.saw(0.1) for _ in range(100))
