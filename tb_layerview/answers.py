"""What the routes answer, as data: see `docs/http_api.md`."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from tb_layerview import columns
from tb_layerview.model import Kind
from tb_layerview.payload_file import PayloadError
from tb_layerview.run import Run
from tb_layerview.shard import SECTIONS, Section


def runs(found: Sequence[Run]) -> dict[str, Any]:
    """`/runs`."""
    return {
        "runs": [
            {
                "run": run.name,
                "steps": len(run.steps),
                "last_step": int(run.steps[-1]),
                "tensors": len(run.tensors),
                "wall_time": float(run.wall_times[-1]),
            }
            for run in found
            if len(run.steps)
        ]
    }


def run(found: Run) -> dict[str, Any]:
    """`/run`."""
    place = {layer.path: i for i, layer in enumerate(found.layers)}
    return {
        "run": found.name,
        "layers": [dataclasses.asdict(layer) for layer in found.layers],
        "tensors": [
            {
                "layer": place[tensor.layer],
                "call": tensor.call,
                "kind": tensor.kind,
                "name": tensor.name,
                "shape": tensor.shape,
                "dtype": tensor.dtype,
                "axes": tensor.axes,
            }
            for tensor in found.tensors
        ],
        "probe": None if found.model.probe is None else dataclasses.asdict(found.model.probe),
        "notes": [*found.model.notes, *found.problems],
        "schedule": found.model.schedule,
        "software": found.model.software,
        "folder": None if found.folder is None else str(found.folder),
        "hidden": found.hidden,
        "cost": _cost(found),
    }


def steps(found: Run) -> dict[str, Any]:
    """`/steps`."""
    return {
        "generation": found.generation,
        "steps": found.steps.tolist(),
        "wall_times": found.wall_times.tolist(),
        "modes": found.modes,
        "scalars": {name: [scalars.get(name) for scalars in found.scalars_by_step] for name in found.scalars},
        "cost": _cost(found),
    }


def statistics(found: Run, kind: Kind, names: Sequence[str], since: int) -> bytes:
    """`/statistics`: float32 [statistics, tensors of that kind, steps from `since` on]."""
    tensors = np.array([tensor.index for tensor in found.tensors if tensor.kind == kind], np.int64)
    return b"".join(columns.by_step(found, name, tensors, since).tobytes() for name in names)


def tensor(found: Run, index: int, step: int) -> dict[str, Any]:
    """`/tensor`.

    Raises:
      NotLoggedError: There is no such tensor, or it was not logged at that step.
    """
    digest = found.digest(index, step)
    kept = {section: found.kept_steps(section, index) for section in SECTIONS}
    try:
        quantiles = found.stored_quantiles(index, step)
    except PayloadError:
        # The statistics are still true, and `/payload` says what is wrong with the histogram.
        quantiles = None
    earlier = kept["values"][kept["values"] <= step]
    near = earlier[-1:] if len(earlier) else kept["values"][:1]
    return {
        "step": step,
        **dataclasses.asdict(digest),
        "quantiles": quantiles,
        **{section: bool(step in kept[section]) for section in SECTIONS},
        "values_step": int(near[0]) if len(near) else None,
    }


def payload(found: Run, index: int, step: int, section: Section) -> bytes:
    """`/payload`.

    Raises:
      NotLoggedError: There is no such tensor, or it keeps no such section at that step.
      PayloadError: The payload file is missing, cut off or damaged.
    """
    return found.payload(section, index, step)


def histograms(found: Run, index: int, since: int) -> tuple[bytes, int]:
    """`/histograms`.

    Returns:
      The answer, and how many histograms are left out of it because they cannot be read.

    Raises:
      NotLoggedError: There is no such tensor.
      PayloadError: None of its histograms can be read.
    """
    pieces = found.pieces("histogram", index, since)
    parts: list[bytes] = []
    failed = 0
    failure: PayloadError | None = None
    for piece in pieces:
        data = b""
        if piece is not None:
            try:
                data = found.read(piece)
            except PayloadError as error:
                failed, failure = failed + 1, error
        parts.append(struct.pack("<I", len(data)) + data)
    if failure is not None and failed == sum(piece is not None for piece in pieces):
        raise failure
    return b"".join(parts), failed


def _cost(found: Run) -> dict[str, Any] | None:
    return None if found.cost is None else dataclasses.asdict(found.cost)
