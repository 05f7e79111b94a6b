"""Who logs where several processes train one model, and where the probe cannot be run at all."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import tensorflow as tf

from tb_layerview.about import logger

# The jobs of a cluster whose first task is the chief: without one of them it is the first worker.
_CHIEFS = ("chief", "master")
_WHAT_TO_DO = "Train in one process, on CPU or GPU, to look into the model, or log arrays of your own with LayerWriter"


@dataclasses.dataclass(frozen=True)
class Task:
    """One process of a cluster.

    Attributes:
      job: What it is: `chief`, `worker`, `ps`, `evaluator`.
      index: Which of its job, from 0 on.
      jobs: All jobs of the cluster, as far as they are known.
    """

    job: str
    index: int
    jobs: tuple[str, ...] = ()

    @property
    def logs(self) -> bool:
        """Whether it logs: the chief does, and the evaluator, which trains nothing."""
        if self.job == "evaluator":
            return True
        has_chief = any(job in self.jobs for job in _CHIEFS)
        return self.index == 0 and self.job != "ps" and (self.job in _CHIEFS or not has_chief)

    def __str__(self) -> str:
        return f"{self.job} {self.index}"


def task_of(graph: Any) -> Task | None:
    """Which task of a cluster a graph is run by: what TF_CONFIG says, else what its operations' devices say.

    A hook is not told whether its session is the chief's. But between-graph replication puts the operations that are
    not on a parameter server on the worker's own devices.

    Returns:
      The task; None if there is no cluster, or several workers' devices in one graph.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    jobs = _configured_jobs(resolver)
    if jobs and resolver.task_type is not None:
        return Task(resolver.task_type, resolver.task_id or 0, jobs)
    tasks = {(device.job, device.task or 0) for device in _tasks_devices(graph) if device.job != "ps"}
    return Task(*tasks.pop()) if len(tasks) == 1 else None


def is_in_one_process(graph: Any) -> bool:
    """Whether a graph is run by this process alone, as far as TF_CONFIG and its operations' devices say."""
    return not _configured_jobs(tf.distribute.cluster_resolver.TFConfigClusterResolver()) and not _tasks_devices(graph)


def _configured_jobs(resolver: Any) -> tuple[str, ...]:
    """The jobs of the cluster that TF_CONFIG tells of."""
    with contextlib.suppress(ValueError):  # of a TF_CONFIG that is not for TensorFlow to read
        return tuple(resolver.cluster_spec().jobs)
    return ()


def _tasks_devices(graph: Any) -> list[Any]:
    """The devices of a cluster's tasks that a graph's operations name."""
    devices = [tf.DeviceSpec.from_string(name) for name in {operation.device for operation in graph.get_operations()}]
    return [device for device in devices if device.job not in (None, "localhost")]


def logs_graph(graph: Any) -> bool:
    """Whether this process logs a graph; if another one does, that is said."""
    task = task_of(graph)
    if task is not None and not task.logs:
        _say_who_logs(str(task))
        return False
    return True


def logs_model(model: Any) -> bool:
    """Whether this process logs a Keras model. If another one does, or if nobody can, that is said."""
    why_not = why_no_probe(model)
    if why_not is not None:
        logger.warning("tb_layerview: %s. Nothing is logged; the training goes on.", why_not)
        return False
    strategy = model.distribute_strategy
    if not strategy.extended.should_save_summary:
        resolver = strategy.cluster_resolver
        _say_who_logs("this process" if resolver is None else f"{resolver.task_type} {resolver.task_id}")
        return False
    return True


def why_no_probe(model: Any) -> str | None:
    """Why a Keras model cannot be logged by a probe that this process runs, and what to do; None if it can."""
    strategy = model.distribute_strategy
    name = type(strategy).__name__
    if getattr(strategy, "_should_use_with_coordinator", False):
        return f"{name} is not supported: other processes run its steps, at no fixed time. {_WHAT_TO_DO}"
    kinds = {tf.DeviceSpec.from_string(device).device_type for device in _devices(strategy)}
    others = ", ".join(sorted(kinds - {None, "CPU", "GPU"}))
    if others:
        return f"{name} is not supported: statistics are taken on CPU and GPU, not on {others}. {_WHAT_TO_DO}"
    return None


def has_other_processes(strategy: Any) -> bool:
    """Whether a distribution strategy has replicas in other processes, so that a reduction over all waits for them."""
    return int(strategy.num_replicas_in_sync) > max(1, len(_devices(strategy)))


def asks_other_processes(function: Any) -> list[str]:
    """The types of the operations of a traced function, and of those that it calls, that wait for other processes."""
    return sorted(name for name in operation_types(function) if "Collective" in name)


def operation_types(function: Any) -> frozenset[str]:
    """The types of the operations of a traced function, and of those that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return frozenset(node.op for node in nodes)


def _devices(strategy: Any) -> tuple[str, ...]:
    """The devices of this process on which replicas run."""
    try:
        return tuple(strategy.extended.worker_devices)
    except RuntimeError:  # where there is no strategy, its default stand-in has none
        return ()


def _say_who_logs(task: str) -> None:
    logger.info("tb_layerview: %s logs nothing: the chief does.", task)
