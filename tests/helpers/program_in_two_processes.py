"""One of two processes that train a module together: `python program_in_two_processes.py FOLDER RANK`.

It trains once for each way to log, and leaves what the training came to in `FOLDER/<way>-<rank>.npz`, and what was said
in `FOLDER/<rank>.json`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import tb_layerview as lv
from tb_layerview import Keep, Select
from tb_layerview.format.model import KINDS

STEPS, EXAMPLES, PROBE, BAD = 6, 16, 8, 1000.0
EXACT = Keep(activations=2**26, weights=2**26, gradients=2**26, examples=64, precision="float32")
Log = Callable[[nn.Module, Any, Any], Any]


class Network(nn.Module):
    """A convolution, a normalisation whose statistics each process has for itself, and a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.classes = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.drop(functional.relu(self.norm(self.conv(x)))).flatten(1))


class Gathering(Network):
    """Looks at the other processes' examples, as a contrastive loss does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = super().forward(x)
        mean = scores.detach().mean(0)
        torch.distributed.all_reduce(mean)
        return scores - 0.1 * mean


class Branching(Network):
    """Has an operation that takes functions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = super().forward(x)
        (found,) = torch.cond(scores.sum() > 0, lambda x: (torch.sin(x),), lambda x: (torch.cos(x),), (scores,))
        return found


def data(rank: int, step: int, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A step's examples of a process."""
    random = np.random.default_rng([rank, step])
    pictures = random.normal(size=(EXAMPLES, 1, 8, 8)).astype(np.float32)
    return torch.from_numpy(pictures) * scale, torch.from_numpy(random.integers(0, 3, EXAMPLES))


def trained(rank: int, log: Log, network: type[Network] = Network, scale: float = 1.0) -> dict[str, Any]:
    """All that a training comes to."""
    torch.manual_seed(7 + rank)
    model = network()
    # Each process has statistics of its own: those of the first one are not sent to the others.
    together = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = torch.optim.AdamW(together.parameters(), 1e-2)
    losses = []
    logged = log(together, optimizer, data(rank, 0, scale))
    if isinstance(logged, lv.LayerRecorder):
        logged.record(0)
    for step in range(1, STEPS + 1):
        x, y = data(rank, step, scale)
        optimizer.zero_grad()
        loss = functional.cross_entropy(together(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if isinstance(logged, lv.LayerRecorder):
            logged.record(step, {"loss": loss}, batch=(x, y))
    if logged is not None:
        logged.close()
    state = [value for one in optimizer.state.values() for value in one.values()]
    found = {
        "losses": losses,
        "drawn": torch.rand(3),
        **{f"state/{name}": value for name, value in model.state_dict().items()},
        **{f"gradient/{name}": value.grad for name, value in model.named_parameters()},
        **{f"kept/{i}": value for i, value in enumerate(state)},
    }
    return {name: np.array(value.detach() if torch.is_tensor(value) else value) for name, value in found.items()}


def recorder(folder: Path, **options: Any) -> Log:
    def log(model: nn.Module, optimizer: Any, batch: Any) -> lv.LayerRecorder:
        probe = tuple(part[:PROBE] for part in batch)
        loss = functional.cross_entropy
        return lv.LayerRecorder(model, folder, probe, loss=loss, optimizer=optimizer, schedule=1, **options)

    return log


def watch(folder: Path, **options: Any) -> Log:
    return lambda model, optimizer, _: lv.watch(model, folder, optimizer, schedule=1, **options)


def refused(make: Callable[[], nn.Module], folder: Path) -> str:
    """What is said of a model that cannot be logged."""
    try:
        lv.LayerRecorder(make(), folder, probe=data(0, 0)[0], ranks="all")
    except ValueError as error:
        return str(error)
    return ""


def sharded() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(Network(), mesh=init_device_mesh("cpu", (2,)))


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/met", rank=rank, world_size=2)
    everything = Select(kinds=KINDS)
    ways: dict[str, Log] = {
        "bare": lambda *_: None,
        "first": recorder(folder / "first", keep=EXACT, select=everything),
        "all": recorder(folder / "all", ranks="all"),
        "all, exact": recorder(folder / "exact", ranks="all", keep=EXACT, select=everything),
        "watch": watch(folder / "watch", ranks="all", keep=EXACT, select=everything),
    }
    for name, log in ways.items():
        np.savez(folder / f"{name}-{rank}.npz", **trained(rank, log))
    for name, log in {"bare": ways["bare"], "watch": watch(folder / "gathering", ranks="all")}.items():
        np.savez(folder / f"gathering, {name}-{rank}.npz", **trained(rank, log, Gathering))
    np.savez(folder / f"branching-{rank}.npz", **trained(rank, recorder(folder / "branching", ranks="all"), Branching))
    trained(rank, recorder(folder / "bad", ranks="all"), scale=BAD if rank else 1.0)
    said = {
        "gathering": refused(lambda: Gathering().train(), folder / "refused"),
        "SyncBatchNorm": refused(lambda: nn.SyncBatchNorm.convert_sync_batchnorm(Network()), folder / "refused"),
        "FSDP": refused(sharded, folder / "refused"),
    }
    (folder / f"{rank}.json").write_text(json.dumps(said))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
