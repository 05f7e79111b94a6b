"""Several processes that train one module together: the first one logs, or each into a folder of its own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import program_in_two_processes
import pytest
import torch
from program_in_two_processes import BAD, EXAMPLES, PROBE, STEPS, data

import tb_layerview as lv
from tb_layerview import LayerReader, Schedule
from tb_layerview.capture.given import Given
from tb_layerview.capture.torch.processes import Process
from tb_layerview.format.statistics import SECTIONS

SCRIPT = Path(program_in_two_processes.__file__)
WAYS = ("first", "all", "all, exact", "watch")
Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = []
    for i in range(2):
        with (folder / f"{i}.out").open("wb") as out:
            command = [sys.executable, str(SCRIPT), str(folder), str(i)]
            both.append(subprocess.Popen(command, env=environment, stdout=out))
    assert [process.wait(timeout=600) for process in both] == [0, 0]
    return folder


def left(folder: Path, way: str, rank: int) -> Arrays:
    return dict(np.load(folder / f"{way}-{rank}.npz"))


def differing(one: Arrays, other: Arrays) -> list[str]:
    assert one.keys() == other.keys() and len(one) > 20
    return [name for name in one if one[name].tobytes() != other[name].tobytes()]


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_are_trained_the_same_to_the_last_bit(way: str, folder: Path) -> None:
    for rank in range(2):
        assert differing(left(folder, "bare", rank), left(folder, way, rank)) == []
    bare = [left(folder, "bare", rank) for rank in range(2)]
    # What they have together, and what each has for itself.
    assert {name.partition("/")[0] for name in differing(*bare)} == {"losses", "drawn", "state"}
    assert "state/norm.running_mean" in differing(*bare) and "state/conv.weight" not in differing(*bare)


def test_by_default_the_first_one_logs(folder: Path) -> None:
    assert [run.name for run in LayerReader(folder / "first").runs()] == ["."]


@pytest.mark.parametrize("name", ["all", "exact", "watch"])
def test_each_logs_into_a_folder_of_its_own(name: str, folder: Path) -> None:
    runs = list(LayerReader(folder / name).runs())
    assert [run.name for run in runs] == ["rank-0", "rank-1"]
    for run in runs:
        assert {*range(1, STEPS + 1)} <= {*run.steps.tolist()}
        assert [note for note in run.model.notes if "left out" in note] == []
    assert [tensor.layer for tensor in runs[0].tensors] == [tensor.layer for tensor in runs[1].tensors]


def test_the_first_one_prints_what_the_logs_hold(folder: Path) -> None:
    printed = [(folder / f"{i}.out").read_text() for i in range(2)]
    assert "steps logged" in printed[0] and "rank-0" in printed[0]
    assert "steps logged" not in printed[1]


@pytest.mark.parametrize(("name", "keeps"), [("all", False), ("exact", True)])
def test_statistics_alone_are_kept_unless_more_is_asked_for(name: str, keeps: bool, folder: Path) -> None:
    for run in LayerReader(folder / name).runs():
        kept = {section: [len(run.kept_steps(section, t.index)) for t in run.tensors] for section in SECTIONS}
        assert any(kept["values"]) == keeps
        assert any(kept["histogram"])


@pytest.mark.parametrize("rank", range(2))
def test_each_logs_what_it_has_itself(rank: int, folder: Path) -> None:
    trained = left(folder, "bare", rank)
    run = LayerReader(folder / "exact").run(f"rank-{rank}")

    def values(layer: str, kind: str, name: str) -> npt.NDArray[Any]:
        tensor = run.tensor(layer, kind=kind, name=name)  # type: ignore[arg-type]
        return run.values(tensor, STEPS).array.astype(np.float64)

    kernel, bias = trained["state/conv.weight"], trained["state/conv.bias"]
    np.testing.assert_array_equal(values("conv", "weight", "bias"), bias)
    np.testing.assert_array_equal(values("norm", "weight", "running_mean"), trained["state/norm.running_mean"])
    # Its own examples, by hand.
    pictures = data(rank, 0)[0][:PROBE, 0].numpy().astype(np.float64)
    patches = np.lib.stride_tricks.sliding_window_view(pictures, (3, 3), axis=(1, 2))
    by_hand = np.einsum("nyxij,kij->nyxk", patches, kernel[:, 0].astype(np.float64)) + bias
    np.testing.assert_allclose(values("conv", "activation", "output"), by_hand, rtol=1e-4, atol=1e-5)


def test_the_gradients_that_the_optimizers_are_given_are_those_of_all_processes(folder: Path) -> None:
    found = []
    for rank in range(2):
        run = LayerReader(folder / "watch").run(f"rank-{rank}")
        array = run.values(run.tensor("classes", kind="gradient", name="bias"), STEPS).array
        np.testing.assert_array_equal(array, left(folder, "bare", rank)["gradient/classes.bias"])
        found.append(array)
    np.testing.assert_array_equal(*found)


def test_a_model_that_asks_the_other_processes_is_not_run_by_one_alone(folder: Path) -> None:
    for rank in range(2):
        bare, watched = (left(folder, f"gathering, {way}", rank) for way in ("bare", "watch"))
        assert differing(bare, watched) == []
        run = LayerReader(folder / "gathering").run(f"rank-{rank}")
        assert {tensor.kind for tensor in run.tensors} == {"weight", "gradient", "update"}
        assert any("asks the training's other processes" in note for note in run.model.notes)


@pytest.mark.parametrize("rank", range(2))
def test_a_model_with_an_operation_that_takes_functions_is_run(rank: int, folder: Path) -> None:
    run = LayerReader(folder / "branching").run(f"rank-{rank}")
    assert {tensor.kind for tensor in run.tensors} >= {"activation", "weight", "gradient"}
    assert [note for note in run.model.notes if "left out" in note] == []


@pytest.mark.parametrize(
    ("what", "said"),
    [("gathering", "only this one runs it"), ("SyncBatchNorm", "SyncBatchNorm"), ("FSDP", "spread over several")],
)
def test_what_cannot_be_logged_is_refused_in_a_sentence(what: str, said: str, folder: Path) -> None:
    for rank in range(2):
        assert said in json.loads((folder / f"{rank}.json").read_text())[what]


def test_a_rank_whose_examples_are_of_another_size_stands_out(folder: Path) -> None:
    runs = list(LayerReader(folder / "bad").runs())
    sizes = [run.statistics("rms")[run.tensor("conv", kind="activation")][-1] for run in runs]
    assert sizes[1] / sizes[0] == pytest.approx(BAD, rel=0.5)
    weights = [run.statistics("rms")[run.tensor("conv", kind="weight", name="weight")][-1] for run in runs]
    assert weights[0] == weights[1]


def test_who_logs_beside_others_has_a_share_of_the_budget(tmp_path: Path) -> None:
    given = Given(ranks="all")
    folder, shared = Process(3, 4).place(str(tmp_path), given)
    assert (folder, shared.schedule.budget) == (str(tmp_path / "rank-3"), Schedule().budget / 4)
    every = Given(schedule=Schedule(every=5), ranks="all")
    assert Process(3, 4).place(str(tmp_path), every)[1] == every
    assert Process(3, 4).place(str(tmp_path), Given()) == (str(tmp_path), Given())


def test_folders_of_a_training_by_more_processes_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("rank-1", "rank-2", "rank-10", "rank-old"):
        (tmp_path / name).mkdir()
    with caplog.at_level(logging.WARNING):
        Process(1, 2).place(str(tmp_path), Given(ranks="all"))
        assert caplog.messages == []
        Process(0, 2).place(str(tmp_path), Given(ranks="all"))
    assert len(caplog.messages) == 1
    assert f"rank-2, rank-10 in {tmp_path} are of a training by more than the 2 processes" in caplog.messages[0]


def test_processes_that_are_not_joined_yet_are_those_that_torchrun_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Process.of_this() == Process(0, 1), "numbers of something else"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    assert Process.of_this() == Process(3, 4)


@pytest.mark.parametrize("ranks", ["some", 1, None])
def test_another_word_for_the_ranks_is_refused(ranks: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='ranks must be "first", which has one of several processes log, or "all"'):
        lv.LayerRecorder(torch.nn.Linear(2, 2), tmp_path, torch.zeros(1, 2), ranks=ranks)


def test_of_a_keras_model_the_chief_logs(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match='ranks="all" is for PyTorch modules'):
        lv.LayerRecorder(model, tmp_path, np.zeros((EXAMPLES, 2), "float32"), ranks="all")
