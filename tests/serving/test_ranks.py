"""Several processes' runs beside each other: `/ranks` and `/rank_statistics`, over TensorBoard's own data provider."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from board import Board, Client, write_run

from tb_layerview import LayerWriter

RANKS = (0, 1, 2, 10)
BAD = 2
SINCE = 4


def array(rank: int, step: int, layer: str) -> npt.NDArray[np.float32]:
    """What a rank has: all alike, but for a NaN of the bad one."""
    found = np.random.default_rng([rank, step, len(layer)]).normal(size=(4, 3)).astype(np.float32)
    if rank == BAD and step >= SINCE and layer == "dense":
        found[0, 0] = np.nan
    return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    folder = tmp_path_factory.mktemp("logs")
    for rank in RANKS:
        with LayerWriter(folder / "run1" / f"rank-{rank}") as writer:
            for step in range(0, 10, 2 if rank == 1 else 1):
                layers = {name: array(rank, step, name) for name in ("conv", "dense") if (rank, name) != (10, "conv")}
                writer.write(step, layers)
    for name in ("run1", "run1/rank-x", "run1/rank-01", "rank-7", "run2/rank-0"):
        write_run(folder / name, range(2))
    return Board(folder).client


def test_the_ranks_of_a_training_stand_in_the_order_of_their_numbers(client: Client) -> None:
    found = client.json("/ranks?run=run1/rank-1")["ranks"]
    assert [(one["rank"], one["run"]) for one in found] == [(rank, f"run1/rank-{rank}") for rank in RANKS]
    assert [(one["steps"], one["last_step"]) for one in found] == [(10, 9), (5, 8), (10, 9), (10, 9)]
    assert [one["run"] for one in client.json("/ranks?run=rank-7")["ranks"]] == ["rank-7"]
    assert [one["run"] for one in client.json("/ranks?run=run2/rank-0")["ranks"]] == ["run2/rank-0"]


def test_what_is_wrong_with_a_rank_is_said_of_that_one_alone(client: Client) -> None:
    found = client.json("/ranks?run=run1/rank-0")["ranks"]
    assert [one["worst"] and one["worst"]["severity"] for one in found] == [None, None, "error", None]
    worst = found[RANKS.index(BAD)]["worst"]
    assert (worst["rule"], worst["first"], worst["since"]) == ("non_finite", SINCE, f"since step {SINCE}")
    assert "NaN" in worst["words"] and "'dense'" in worst["words"]
    moved = client.json("/ranks?run=run1/rank-0&threshold=non_finite.patience:99")["ranks"]
    assert [one["worst"] for one in moved] == [None] * len(RANKS)


def test_statistics_of_all_ranks_at_a_step_are_those_of_their_tensors(client: Client) -> None:
    found = client.json("/rank_statistics?run=run1/rank-2&kind=activation&statistic=rms&statistic=non_finite&step=5")
    assert (found["ranks"], found["steps"], found["tensors"]) == (list(RANKS), [5, 4, 5, 5], [0, 1])
    for rank, step, sizes, shares in zip(RANKS, found["steps"], *found["statistics"].values()):
        for name, size, share in zip(("conv", "dense"), sizes, shares):
            if (rank, name) == (10, "conv"):
                assert (size, share) == ("NaN", "NaN"), "it has none"
                continue
            values = array(rank, step, name).astype(np.float64)
            finite = values[np.isfinite(values)]
            assert size == pytest.approx(np.sqrt(np.mean(finite**2)), rel=1e-6)
            assert share == pytest.approx(1 - finite.size / values.size)


def test_a_rank_that_has_not_come_so_far_gives_nothing(client: Client) -> None:
    found = client.json("/rank_statistics?run=run1/rank-0&kind=activation&statistic=rms&step=-1")
    assert found["steps"] == [None] * len(RANKS)
    assert found["statistics"]["rms"] == [["NaN", "NaN"]] * len(RANKS)
    assert client.json("/rank_statistics?run=run1/rank-0&kind=gradient&statistic=rms&step=3")["tensors"] == []


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/ranks?run=run1", 404, "not one of several ranks"),
        ("/ranks?run=run1/rank-01", 404, "not one of several ranks"),
        ("/ranks?run=run1/rank-3", 404, "there is no run 'run1/rank-3'"),
        ("/ranks", 400, "run is missing"),
        ("/rank_statistics?run=run1/rank-0&kind=activation&statistic=rms", 400, "step is missing"),
        ("/rank_statistics?run=run1/rank-0&kind=activation&step=1", 400, "statistic is missing"),
        ("/rank_statistics?run=run1/rank-0&kind=weight&statistic=update_ratio&step=1", 400, "of updates alone"),
        ("/rank_statistics?run=run1&kind=activation&statistic=rms&step=1", 404, "not one of several ranks"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(client: Client, path: str, status: int, words: str) -> None:
    found: Any = client.error(path)
    assert found[0] == status
    assert words in found[1]
