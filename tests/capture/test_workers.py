"""Trainings by several processes: the chief alone logs, what it logs is true, and nobody waits for it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from forks import Forks
from places import environment
from ports import free_ports

pytest.importorskip("tensorflow")

import programs_in_processes as program
import tensorflow as tf

from tb_layerview import LayerReader
from tb_layerview.reading.run import Run

LIMIT = 900  # seconds, for a training of seconds: only what hangs takes longer, however busy the machine is
NEEDS_KERAS_2 = pytest.mark.skipif(program.KERAS > 2, reason="Keras 3 cannot fit under it, see the test that shows it")


class Cluster:
    """Processes that train together; what one prints is in `output` by its name."""

    def __init__(self, folder: Path, jobs: dict[str, int], *arguments: str) -> None:
        self.folder, self.arguments = folder, arguments
        self.output: dict[str, str] = {}
        ports = iter(free_ports(sum(jobs.values())))
        self.jobs = {job: [f"127.0.0.1:{next(ports)}" for _ in range(count)] for job, count in jobs.items()}

    def train(self, waits_for: tuple[str, ...], evaluator: bool = False) -> None:
        """Runs all processes until those of the jobs named have ended, and ends the others."""
        tasks = [(job, i) for job, addresses in self.jobs.items() for i in range(len(addresses))]
        tasks += [("evaluator", 0)] if evaluator else []
        processes = {}
        try:
            for job, i in tasks:
                config = {"cluster": self.jobs, "task": {"type": job, "index": i}}
                with open(self.folder / f"{job}{i}.txt", "w") as out:
                    processes[job, i] = start(self.arguments, out, TF_CONFIG=json.dumps(config))
            until = time.monotonic() + LIMIT
            for (job, _), process in processes.items():
                if job in waits_for:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(max(1.0, until - time.monotonic()))
        finally:
            codes = {name: process.poll() for name, process in processes.items()}
            for process in processes.values():
                process.kill()
                process.wait()
        self.output = {f"{job}{i}": (self.folder / f"{job}{i}.txt").read_text() for job, i in tasks}
        failed = {name: code for name, code in codes.items() if name[0] in waits_for and code != 0}
        assert not failed, f"{failed} (None: hung)\n" + "\n".join(text[-3000:] for text in self.output.values())


def start(arguments: tuple[str, ...], out: object, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, program.__file__, *arguments],
        env=environment(CUDA_VISIBLE_DEVICES="", **variables),
        stdout=out,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Cluster]:
    """Two workers that ran a program; each once."""
    done: dict[str, Cluster] = {}

    def train(what: str) -> Cluster:
        if what not in done:
            folder = tmp_path_factory.mktemp(what)
            done[what] = Cluster(folder, {"worker": 2}, what, str(folder))
            done[what].train(waits_for=("worker",))
        return done[what]

    return train


def logged(run: Run, layer: str, step: int, kind: str = "activation", name: str = "output") -> np.ndarray:
    return run.values(run.tensor(layer, kind=kind, name=name), step).array


def hidden_by_hand(run: Run, x: np.ndarray, step: int) -> np.ndarray:
    kernel, bias = (logged(run, "hidden", step, "weight", name).astype(float) for name in ("kernel", "bias"))
    return np.tanh(x.astype(float) @ kernel + bias)


def payloads(folder: Path) -> list[Path]:
    return sorted(folder.glob("layers/*.payload"))


TWO_PROCESSES = pytest.mark.covers("More than one device: MultiWorkerMirroredStrategy, two processes")


@TWO_PROCESSES
@NEEDS_KERAS_2
@pytest.mark.parametrize("name", program.TRAININGS[1:])
def test_two_workers_train_to_the_same_bits_whoever_has_the_callback(
    name: str, trained: Callable[[str], Cluster]
) -> None:
    folder = trained("fit").folder
    for worker in ("worker0", "worker1"):
        bare, with_callback = (np.load(folder / f"{n}-{worker}.npz") for n in ("bare", name))
        assert sorted(bare.files) == sorted(with_callback.files)
        assert {"loss", "val_mae", "weight/hidden/kernel:0", "own/norm/moving_mean:0", "predicted"} <= set(bare.files)
        for array in bare.files:
            np.testing.assert_array_equal(bare[array], with_callback[array], err_msg=f"{worker} {array}")


@TWO_PROCESSES
@NEEDS_KERAS_2
def test_only_the_chief_of_two_workers_opens_a_log(trained: Callable[[str], Cluster]) -> None:
    cluster = trained("fit")
    for run in ("everyone-0", "shared", "chief-only"):
        assert len(payloads(cluster.folder / run)) == 1
    assert not (cluster.folder / "everyone-1").exists()
    assert "worker 1 logs nothing: the chief does" in cluster.output["worker1"]
    assert "steps logged" in cluster.output["worker0"] and "steps logged" not in cluster.output["worker1"]


@TWO_PROCESSES
@NEEDS_KERAS_2
@pytest.mark.parametrize(
    ("name", "examples"),
    [("everyone-0", 8), ("chief-only", 8), ("shared", program.PROBE)],
    ids=lambda value: str(value),
)
def test_the_chief_logs_what_is_true_of_its_probe_and_its_weights(
    name: str, examples: int, trained: Callable[[str], Cluster]
) -> None:
    folder = trained("fit").folder
    run = LayerReader(folder).run(name)
    assert ["several processes train the model" in note for note in run.model.notes] == [True]
    assert list(run.steps) == list(range(11))
    x = program.X[:examples]  # of a batch of sixteen the first worker has the first eight
    for step in (0, 4, 10):
        np.testing.assert_array_equal(logged(run, "input", step), x)
        np.testing.assert_allclose(logged(run, "hidden", step), hidden_by_hand(run, x, step), rtol=1e-4, atol=1e-6)
    with np.load(folder / f"{name.removesuffix('-0')}-worker0.npz") as saved:
        for layer, weight in (("hidden", "kernel"), ("hidden", "bias"), ("narrow", "kernel"), ("scores", "kernel")):
            np.testing.assert_array_equal(
                logged(run, layer, 10, "weight", weight), saved[f"weight/{layer}/{weight}:0"], err_msg=weight
            )
        for moving in ("moving_mean", "moving_variance"):
            # The mean over the workers would have to be asked for; each trains with its own.
            np.testing.assert_array_equal(logged(run, "norm", 10, "weight", moving), saved[f"own/norm/{moving}:0"])
            assert not np.array_equal(saved[f"own/norm/{moving}:0"], saved[f"weight/norm/{moving}:0"])
        for step in (1, 2, 3, 4, 6, 7, 8, 9):
            assert run.scalars["loss"][step] == np.float32(saved["batches"][step - 1])


@TWO_PROCESSES
@NEEDS_KERAS_2
def test_the_chief_logs_validation_evaluation_and_prediction(trained: Callable[[str], Cluster]) -> None:
    folder = trained("fit").folder
    evaluate, predict = (LayerReader(folder).run(f"everyone-0/{mode}") for mode in ("evaluate", "predict"))
    assert list(evaluate.steps) == [5, 10] and list(predict.steps) == [10]
    with np.load(folder / "everyone-worker0.npz") as saved:
        np.testing.assert_array_equal(
            logged(predict, "hidden", 10, "weight", "kernel"), saved["weight/hidden/kernel:0"]
        )
        x = logged(predict, "input", 10)
        np.testing.assert_array_equal(x, program.X[: len(x)])
        np.testing.assert_allclose(logged(predict, "scores", 10), logged_scores(predict, x, 10), rtol=1e-4, atol=1e-6)


def logged_scores(run: Run, x: np.ndarray, step: int) -> np.ndarray:
    """What the model predicts, by hand: batch normalisation in inference mode."""
    mean, variance = (
        logged(run, "norm", step, "weight", name).astype(float) for name in ("moving_mean", "moving_variance")
    )
    narrow = hidden_by_hand(run, x, step) @ logged(run, "narrow", step, "weight", "kernel").astype(float)
    normalised = (narrow - mean) / np.sqrt(variance + 1e-3)
    kernel, bias = (logged(run, "scores", step, "weight", name).astype(float) for name in ("kernel", "bias"))
    return normalised @ kernel + bias


@TWO_PROCESSES
@pytest.mark.once
def test_a_recorder_in_each_of_two_workers_logs_the_chief_alone(trained: Callable[[str], Cluster]) -> None:
    cluster = trained("loop")
    folder = cluster.folder
    for worker in ("worker0", "worker1"):
        for name in ("plain", "summed"):
            bare, recorded = (np.load(folder / f"{name}-{how}-{worker}.npz") for how in ("bare", "logged"))
            for array in bare.files:
                np.testing.assert_array_equal(bare[array], recorded[array], err_msg=f"{worker} {name} {array}")
    run = LayerReader(folder).run("plain-0")
    assert list(run.steps) == list(range(program.STEPS + 1))
    with np.load(folder / "plain-logged-worker0.npz") as saved:
        np.testing.assert_array_equal(logged(run, "hidden", program.STEPS, "weight", "kernel"), saved["kernel"])
    for step in (0, program.STEPS):
        np.testing.assert_allclose(
            logged(run, "hidden", step), hidden_by_hand(run, program.X, step), rtol=1e-4, atol=1e-6
        )
    assert not (folder / "plain-1").exists() and not (folder / "summed-1").exists()


@TWO_PROCESSES
@pytest.mark.once
def test_a_model_that_adds_up_over_workers_is_not_run_by_the_chief_alone(trained: Callable[[str], Cluster]) -> None:
    output = trained("loop").output["worker0"]
    assert "the model's own pass adds up over all workers" in output
    assert "Nothing is logged; the training goes on" in output


@TWO_PROCESSES
@pytest.mark.skipif(program.KERAS < 3, reason="Keras 2 can")
@pytest.mark.long
def test_keras_3_itself_cannot_fit_with_two_workers(tmp_path: Path) -> None:
    """Why the tests of `fit` need Keras 2. When this fails, they can do without."""
    cluster = Cluster(tmp_path, {"worker": 2}, "fit", str(tmp_path))
    with pytest.raises(AssertionError, match="PerReplica"):
        cluster.train(waits_for=("worker",))
    assert not list(tmp_path.glob("bare-*.npz"))


@pytest.fixture(scope="module")
def by_turns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an Estimator that a chief, a worker and a parameter server trained, without and with the hook."""
    folder = tmp_path_factory.mktemp("estimator")
    for name in ("bare", "hook"):
        cluster = Cluster(folder, {"ps": 1, "chief": 1, "worker": 1}, "estimator", str(folder), name)
        cluster.train(waits_for=("chief", "worker", "evaluator"), evaluator=name == "hook")
    return folder


CHIEF_AND_WORKER = pytest.mark.covers("More than one device: Estimator, chief and worker")


@pytest.mark.estimator
@CHIEF_AND_WORKER
@pytest.mark.long
def test_chief_and_worker_of_an_estimator_train_to_the_same_bits(by_turns: Path) -> None:
    for job, first in (("chief0", 1), ("worker0", 2)):
        bare, hook = (np.load(by_turns / f"{name}-{job}.npz") for name in ("bare", "hook"))
        assert bare["steps"][:4].tolist() == [first, first + 2, first + 4, first + 6]
        for array in bare.files:
            np.testing.assert_array_equal(bare[array], hook[array], err_msg=f"{job} {array}")
    bare, hook = (tf.train.load_checkpoint(str(by_turns / name / "model.ckpt-7")) for name in ("bare", "hook"))
    for name in bare.get_variable_to_shape_map():
        np.testing.assert_array_equal(bare.get_tensor(name), hook.get_tensor(name), err_msg=name)


@pytest.mark.estimator
@CHIEF_AND_WORKER
@pytest.mark.long
def test_the_chief_alone_logs_an_estimator_and_logs_what_its_checkpoints_hold(by_turns: Path) -> None:
    run = LayerReader(by_turns / "hook").run(".")
    assert len(payloads(by_turns / "hook")) == 1
    assert not (by_turns / "worker").exists()
    with np.load(by_turns / "hook-chief0.npz") as chief:
        assert list(run.steps) == chief["steps"].tolist()
        for step in run.steps:
            saved = tf.train.load_checkpoint(str(by_turns / "hook" / f"model.ckpt-{step}"))
            for layer in ("hidden", "scores"):
                for name in ("kernel", "bias"):
                    weight = logged(run, layer, step, "weight", name)
                    np.testing.assert_array_equal(weight, saved.get_tensor(f"{layer}/{name}"))
        np.testing.assert_array_equal(np.array(run.scalars["loss"], np.float32), chief["losses"].astype(np.float32))


@pytest.mark.estimator
@CHIEF_AND_WORKER
@pytest.mark.long
def test_the_evaluator_logs_into_a_run_of_its_own(by_turns: Path) -> None:
    run = LayerReader(by_turns / "hook").run("eval")
    assert len(run.steps) >= 1
    for step in run.steps:
        saved = tf.train.load_checkpoint(str(by_turns / "hook" / f"model.ckpt-{step}"))
        np.testing.assert_array_equal(
            logged(run, "hidden", step, "weight", "kernel"), saved.get_tensor("hidden/kernel")
        )
        np.testing.assert_allclose(
            logged(run, "hidden", step), hidden_by_hand(run, program.X[:8], step), rtol=1e-4, atol=1e-6
        )


@pytest.mark.once
def test_without_tf_config_a_graphs_devices_tell_who_is_the_chief(forks: Forks, tmp_path: Path) -> None:
    ports = ",".join(map(str, free_ports(3)))
    _, output = forks.run(program.__file__, "monitored", tmp_path, seconds=LIMIT, PORTS=ports)
    assert list(LayerReader(tmp_path).run("0").steps) == [1, 2, 3]
    assert not (tmp_path / "1").exists()
    assert "worker 1 logs nothing: the chief does" in output


NOT_SUPPORTED = pytest.mark.covers("More than one device: a strategy that is not supported is said")


@NOT_SUPPORTED
@pytest.mark.long
def test_a_parameter_server_strategy_is_said_to_be_unsupported_and_trains_unlogged(
    forks: Forks, tmp_path: Path
) -> None:
    ports = ",".join(map(str, free_ports(2)))
    _, output = forks.run(program.__file__, "coordinator", tmp_path, seconds=LIMIT, PORTS=ports)
    assert "ParameterServerStrategyV2 is not supported" in output
    assert not (tmp_path / "recorder").exists() and not (tmp_path / "callback").exists()
    if program.KERAS == 2:
        assert output.count("Nothing is logged; the training goes on") == 2
        bare, with_callback = (np.load(tmp_path / f"{name}.npz") for name in ("bare", "logged"))
        np.testing.assert_array_equal(bare["loss"], with_callback["loss"])
