"""PyTorch modules, how they are trained, and what a training leaves behind, down to the last bit."""

from __future__ import annotations

import collections
import dataclasses
import functools
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

EXAMPLES, STEPS, CLASSES, WORDS, UNITS = 8, 6, 4, 20, 8
#: Is told of a step: its number, its loss, and what it was trained on.
Told = Callable[[int, Any, Any], None]


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
      make: Makes it.
      x: What it is called with; a tuple are several, a dict are several by name.
      y: What it is to give; None where it knows its loss.
      loss: Of what it gives and of `y`.
      optimizers: What trains it.
      loop: Trains it.
    """

    make: Callable[[], nn.Module]
    x: Any
    y: Any = None
    loss: Callable[..., torch.Tensor] = functional.cross_entropy
    optimizers: Callable[[nn.Module], list[torch.optim.Optimizer]] = lambda model: [
        torch.optim.AdamW(model.parameters(), 1e-2)
    ]
    loop: Callable[[Training, nn.Module, list[torch.optim.Optimizer], Told], None] = lambda *given: plain(*given)

    @property
    def probe(self) -> Any:
        """As `LayerRecorder` takes it."""
        return self.x if self.y is None else (self.x, self.y)

    def batch(self, step: int) -> Any:
        """What a step is trained on, in the form of the probe."""
        return _mapped(lambda leaf: leaf.roll(step, 0), self.probe)

    def lost(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """The loss of a batch."""
        x, *rest = (batch,) if self.y is None else batch
        return self.loss(called(model, x), *rest)


def called(model: Any, x: Any) -> Any:
    """What a module gives of its inputs."""
    if isinstance(x, dict):
        return model(**x)
    return model(*x) if isinstance(x, tuple) else model(x)


def _mapped(function: Callable[[torch.Tensor], torch.Tensor], structure: Any) -> Any:
    if isinstance(structure, dict):
        return {key: _mapped(function, value) for key, value in structure.items()}
    if isinstance(structure, tuple):
        return tuple(_mapped(function, value) for value in structure)
    return function(structure)


# Loops.


def plain(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """As most people train."""
    for step in range(1, STEPS + 1):
        batch = training.batch(step)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = training.lost(model, batch)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        told(step, loss, batch)


def clipped(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """Gradients are clipped, and the rate has a schedule."""
    schedule = torch.optim.lr_scheduler.StepLR(optimizers[0], 2, 0.5)
    for step in range(1, STEPS + 1):
        batch = training.batch(step)
        optimizers[0].zero_grad()
        loss = training.lost(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizers[0].step()
        schedule.step()
        told(step, loss, batch)


def accumulated(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """Two backward passes to a step."""
    for step in range(1, STEPS + 1):
        for part in range(2):
            batch = training.batch(2 * step + part)
            loss = training.lost(model, batch) / 2
            loss.backward()
        optimizers[0].step()
        optimizers[0].zero_grad(set_to_none=False)
        told(step, loss, batch)


def scaled(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """By a `GradScaler` whose scale is too large for the first steps; those are none that the optimizer makes."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=3)
    done, skipped = 0, 0
    while done < STEPS:
        batch = training.batch(done)
        optimizers[0].zero_grad()
        loss = 8 * training.lost(model, batch)
        scaler.scale(loss).backward()
        before = scaler.get_scale()
        scaler.step(optimizers[0])
        scaler.update()
        if scaler.get_scale() < before:
            skipped += 1
            continue
        done += 1
        told(done, loss, batch)
    assert skipped >= 2


def under_autocast(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """All in bfloat16 but the weights; the step is told within."""
    for step in range(1, STEPS + 1):
        batch = training.batch(step)
        optimizers[0].zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = training.lost(model, batch)
            loss.backward()
            optimizers[0].step()
            told(step, loss, batch)


def by_closure(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """The optimizer calls the model, as often as it likes."""
    for step in range(1, STEPS + 1):
        batch = training.batch(step)

        def closure() -> torch.Tensor:
            optimizers[0].zero_grad()
            loss = training.lost(model, batch)  # noqa: B023
            loss.backward()
            return loss

        told(step, optimizers[0].step(closure), batch)


def evaluating(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """The step is told while the model is in inference mode, as after a validation."""
    for step in range(1, STEPS + 1):
        batch = training.batch(step)
        model.train()
        optimizers[0].zero_grad()
        loss = training.lost(model, batch)
        loss.backward()
        optimizers[0].step()
        model.eval()
        with torch.no_grad():
            loss = training.lost(model, batch)
            told(step, loss, batch)


def in_backward(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """Each weight has an optimizer of its own, which steps as soon as its gradient is there."""
    of = {id(optimizer.param_groups[0]["params"][0]): optimizer for optimizer in optimizers}

    def apply(parameter: torch.Tensor) -> None:
        of[id(parameter)].step()
        of[id(parameter)].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(apply)
    for step in range(1, STEPS + 1):
        batch = training.batch(step)
        loss = training.lost(model, batch)
        loss.backward()
        told(step, loss, batch)


def thawed(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """The first layer is trained from the third step on alone."""
    first = next(iter(model.children()))
    first.requires_grad_(False)

    def told_and_thawed(step: int, loss: Any, batch: Any) -> None:
        told(step, loss, batch)
        if step == 2:
            first.requires_grad_(True)

    plain(training, model, optimizers, told_and_thawed)


def frozen(training: Training, model: nn.Module, optimizers: list[torch.optim.Optimizer], told: Told) -> None:
    """The normalisations stay in inference mode."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.requires_grad_(False)
    plain(training, model, optimizers, told)


# Networks.


class Block(nn.Module):
    """Two convolutions beside which what it takes is passed on; one ReLU, in place, called twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        h += x
        return self.relu(h)


class ResNet(nn.Module):
    """A small one."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(Block(4), Block(4))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.blocks(self.stem(x))
        return self.head(self.dropout(h.mean((2, 3))))


class Encoder(nn.Module):
    """A transformer's encoder; tokens of 0 are padding."""

    def __init__(self, batch_first: bool, dropout: float = 0.1, norm_first: bool = False) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.embedding = nn.Embedding(WORDS, UNITS)
        layer = nn.TransformerEncoderLayer(UNITS, 2, 16, dropout, batch_first=batch_first, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(UNITS, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = tokens == 0
        x = self.embedding(tokens)
        if not self.batch_first:
            x = x.transpose(0, 1)
        x = self.encoder(x, src_key_padding_mask=mask)
        return self.head(x.mean(1 if self.batch_first else 0))


class Attention(nn.Module):
    """Causal attention by hand, on PyTorch's one function."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(UNITS, 3 * UNITS)
        self.out = nn.Linear(UNITS, UNITS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        examples, length, units = x.shape
        shape = (examples, length, self.heads, units // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(examples, length, units))


class DecoderBlock(nn.Module):
    """Of a decoder as in GPT."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(UNITS), Attention()
        self.ln_2, self.mlp = nn.LayerNorm(UNITS), nn.Sequential(nn.Linear(UNITS, 16), nn.GELU(), nn.Linear(16, UNITS))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.drop(self.attn(self.ln_1(x)))
        return x + self.mlp(self.ln_2(x))


class Decoder(nn.Module):
    """As GPT: embeddings, blocks in a list, and a head that has the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(WORDS, UNITS), nn.Embedding(6, UNITS)
        self.blocks = nn.ModuleList([DecoderBlock(), DecoderBlock()])
        self.ln_f, self.head = nn.LayerNorm(UNITS), nn.Linear(UNITS, WORDS, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_f(x))


class Recurrent(nn.Module):
    """An LSTM of two layers and both directions, and a GRU."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.embedding = nn.Embedding(WORDS, UNITS)
        self.lstm = nn.LSTM(UNITS, 4, 2, dropout=0.2, bidirectional=True, batch_first=batch_first)
        self.gru = nn.GRU(8, 4, batch_first=batch_first)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        x, _ = self.lstm(x if self.batch_first else x.transpose(0, 1))
        _, state = self.gru(x)
        return self.head(state[-1])


class TwoNames(nn.Module):
    """One module by two names, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = self.first
        self.act = nn.Tanh()
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.act(self.first(self.act(self.first(x))))))


def spectral() -> nn.Module:
    """What PyTorch computes weights of today: parametrizations."""
    new = nn.utils.parametrizations
    return nn.Sequential(
        new.spectral_norm(nn.Linear(6, 8)), nn.ReLU(), new.weight_norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 4)
    )


def old_spectral() -> nn.Module:
    """The same by hooks, which write to buffers, and set an attribute, at each call."""
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 4))


def lazy() -> nn.Module:
    """Modules that make their parameters when they are first called, by random numbers."""
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))


class Checkpointed(nn.Module):
    """Computes its inner part once more in the backward pass."""

    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.ReLU(inplace=True))
        self.head = nn.Linear(8, CLASSES)
        self.use_reentrant = use_reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(checkpoint(self.inner, self.stem(x), use_reentrant=self.use_reentrant))


class Constrained(nn.Module):
    """Bounds its weights past autograd, whenever it is called, as is often done: by `data`."""

    def __init__(self, how: str, units: int) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(6, units), nn.Linear(units, CLASSES)
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.inner.weight
        if self.how == "assigned":
            weight.data = torch.renorm(weight.data, 2, 0, 0.5)
        elif self.how == "clamped":
            weight.data.clamp_(-0.2, 0.2)
        else:
            with torch.no_grad():
                weight.clamp_(-0.2, 0.2)
        return self.head(torch.tanh(self.inner(x)))


class Bounded(nn.Module):
    """An embedding that bounds the rows that are looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, UNITS, max_norm=1.0)
        self.head = nn.Linear(UNITS, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens).mean(1))


class Sparse(nn.Module):
    """An embedding whose gradient has few rows."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, UNITS, sparse=True)
        self.head = nn.Linear(UNITS, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens).mean(1))


class Stateful(nn.Module):
    """Keeps all that Python has, and computes with it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, CLASSES)
        self.calls = 0
        self.seen: dict[str, list[int]] = {"calls": []}
        self.last: collections.deque[int] = collections.deque(maxlen=3)
        self.random, self.numbers = random.Random(3), np.random.default_rng(3)
        self.generator = torch.Generator().manual_seed(3)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("hidden", torch.zeros(6), persistent=False)
        self.array = np.zeros(6, np.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen["calls"].append(self.calls)
        self.last.append(self.calls)
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        self.hidden.mul_(0.9).add_(x.detach().mean(0))
        self.array += x.detach().mean(0).numpy()
        noise = self.random.random() + float(self.numbers.random()) + float(torch.rand([], generator=self.generator))
        own = len(self.seen["calls"]) + sum(self.last) + noise + self.hidden + torch.from_numpy(self.array.copy())
        return self.inner((x - self.mean) * (1 + 0.01 * own))


class Remembering(nn.Module):
    """Keeps a tensor that is no buffer, and writes to it: as a cache, or an average of one's own."""

    def __init__(self, within: Any) -> None:
        super().__init__()
        self.inner = nn.Linear(6, CLASSES)
        self.kept = within(torch.zeros(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = self.kept if isinstance(self.kept, torch.Tensor) else next(iter(_values(self.kept)))
        with torch.no_grad():
            kept.mul_(0.9).add_(x.mean(0))
        return self.inner(x + kept.clone())


class Average:
    """An object of somebody's own."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.calls = tensor, 0


class Counting(nn.Module):
    """Keeps an object of somebody's own, which counts."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, CLASSES)
        self.average = Average(torch.zeros(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.average.calls += 1
        self.average.tensor = 0.9 * self.average.tensor + x.detach().mean(0)
        return self.inner(x * (1 + 0.01 * self.average.calls) - self.average.tensor)


def _values(kept: Any) -> Any:
    return kept.values() if isinstance(kept, dict) else kept


class Outputs(NamedTuple):
    """What a module gives, by name."""

    scores: torch.Tensor
    hidden: torch.Tensor


@dataclasses.dataclass
class Given2:
    """The same as a dataclass."""

    scores: torch.Tensor
    hidden: torch.Tensor


class Routed(nn.Module):
    """A dict of modules, and a structure that is given back."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.routes = nn.ModuleDict({"left": nn.Linear(6, 8), "right": nn.Sequential(nn.Linear(6, 8), nn.SiLU())})
        self.head = nn.Linear(8, CLASSES)
        self.kind = kind

    def forward(self, x: torch.Tensor) -> Any:
        hidden = self.routes["left"](x) * self.routes["right"](x)
        return self.kind(scores=self.head(hidden), hidden=hidden)


def _loss_of_routed(given: Any, y: torch.Tensor) -> torch.Tensor:
    scores = given["scores"] if isinstance(given, dict) else given.scores
    hidden = given["hidden"] if isinstance(given, dict) else given.hidden
    return functional.cross_entropy(scores, y) + 0.01 * hidden.square().mean()


class Given(collections.OrderedDict[str, Any]):
    """A dict that is read by attributes, too, as Hugging Face's."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class ByName(nn.Module):
    """A model as those of Hugging Face: called by names, and given labels it knows its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, UNITS)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(UNITS, CLASSES)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, labels: torch.Tensor | None = None
    ) -> Given:
        hidden = self.embedding(input_ids)
        if attention_mask is not None:
            hidden = hidden * attention_mask[..., None]
        logits = self.classifier(self.dropout(hidden.mean(1)))
        if labels is None:
            return Given(logits=logits)
        return Given(loss=functional.cross_entropy(logits, labels), logits=logits)


# Data.


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


IMAGES = torch.randn(EXAMPLES, 3, 6, 6, generator=_generator(0))
ROWS = torch.randn(EXAMPLES, 6, generator=_generator(1))
TOKENS = torch.randint(1, WORDS, (EXAMPLES, 6), generator=_generator(2))
PADDED = TOKENS.where(torch.arange(6) < torch.tensor([6, 3, 4, 5, 6, 2, 6, 1])[:, None], 0)
LABELS = torch.randint(0, CLASSES, (EXAMPLES,), generator=_generator(3))
NEXT = TOKENS.roll(-1, 1)


def _of_tokens(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(scores.flatten(0, 1), y.flatten())


def _sgd(model: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)]


def _fused(model: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.AdamW(model.parameters(), 1e-2, fused=True)]


def _lbfgs(model: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.LBFGS(model.parameters(), 0.1, max_iter=4)]


def _sparse(model: nn.Module) -> list[torch.optim.Optimizer]:
    assert isinstance(model, Sparse)
    return [
        torch.optim.SparseAdam(model.embedding.parameters(), 1e-2),
        torch.optim.SGD(model.head.parameters(), 0.1, momentum=0.9),
    ]


def _each(model: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD([parameter], 0.1, momentum=0.9) for parameter in model.parameters()]


def mlp() -> nn.Module:
    """Two layers, and dropout."""
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, CLASSES))


def _rows(make: Callable[[], nn.Module], **more: Any) -> Training:
    return Training(make, ROWS, LABELS, **more)


#: By name.
TRAININGS: dict[str, Training] = {
    "resnet": Training(ResNet, IMAGES, LABELS, optimizers=_sgd),
    "encoder": Training(lambda: Encoder(True), PADDED, LABELS),
    "encoder, timesteps first": Training(lambda: Encoder(False), PADDED, LABELS),
    "encoder, norm first": Training(lambda: Encoder(True, norm_first=True), PADDED, LABELS),
    "decoder with tied weights": Training(Decoder, TOKENS, NEXT, _of_tokens),
    "recurrent": Training(lambda: Recurrent(True), TOKENS, LABELS),
    "recurrent, timesteps first": Training(lambda: Recurrent(False), TOKENS, LABELS),
    "two names": _rows(TwoNames),
    "parametrizations": _rows(spectral),
    "old spectral norm": _rows(old_spectral),
    "lazy": Training(lazy, IMAGES, LABELS, optimizers=_sgd),
    "checkpoint": _rows(lambda: Checkpointed(False)),
    "checkpoint, reentrant": _rows(lambda: Checkpointed(True)),
    "accumulation": _rows(mlp, loop=accumulated),
    "clipping": _rows(mlp, loop=clipped),
    "GradScaler": _rows(mlp, loop=scaled),
    "GradScaler, fused": _rows(mlp, loop=scaled, optimizers=_fused),
    "autocast": Training(ResNet, IMAGES, LABELS, loop=under_autocast),
    "autocast, encoder": Training(lambda: Encoder(True), PADDED, LABELS, loop=under_autocast),
    "sparse": Training(Sparse, TOKENS, LABELS, optimizers=_sparse),
    "max_norm": Training(Bounded, TOKENS, LABELS),
    "a weight that is clamped": _rows(lambda: Constrained("in place", 8)),
    "a weight whose data are clamped": _rows(lambda: Constrained("clamped", 8)),
    "a weight whose data are assigned": _rows(lambda: Constrained("assigned", 8)),
    "a large weight that is clamped": _rows(lambda: Constrained("in place", 4096)),
    "a large weight whose data are clamped": _rows(lambda: Constrained("clamped", 4096)),
    "thawed": _rows(mlp, loop=thawed),
    "optimizers in the backward pass": _rows(mlp, optimizers=_each, loop=in_backward),
    "frozen normalisation": Training(ResNet, IMAGES, LABELS, loop=frozen),
    "LBFGS": _rows(mlp, optimizers=_lbfgs, loop=by_closure),
    "state of Python": _rows(Stateful),
    "a tensor that is no buffer": _rows(lambda: Remembering(lambda tensor: tensor)),
    "a tensor in a dict": _rows(lambda: Remembering(lambda tensor: {"kept": tensor})),
    "a tensor in a list": _rows(lambda: Remembering(lambda tensor: [tensor])),
    "an object of one's own": _rows(Counting),
    "a dict": _rows(lambda: Routed(dict), loss=_loss_of_routed),
    "a dataclass": _rows(lambda: Routed(Given2), loss=_loss_of_routed),
    "a named tuple": _rows(lambda: Routed(Outputs), loss=_loss_of_routed),
    "by name": Training(
        ByName,
        {"input_ids": TOKENS, "attention_mask": (PADDED > 0).float(), "labels": LABELS},
        loss=lambda out: out["loss"],
    ),
    "in eval": Training(ResNet, IMAGES, LABELS, loop=evaluating),
    "DataParallel": Training(lambda: nn.DataParallel(ResNet()), IMAGES, LABELS),
}


# What a training leaves behind.


#: Makes what a training tells of its steps, of the network and its optimizers; and what ends that.
Log = Callable[[Training, nn.Module, list[torch.optim.Optimizer]], tuple[Told, Callable[[], None]]]


def seed() -> None:
    """Of all random numbers."""
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)


def trained(training: Training, log: Log | None = None) -> dict[str, Any]:
    """Trains a network from the beginning; what that leaves behind, by name."""
    seed()
    model = training.make()
    optimizers = training.optimizers(model)
    told, close = (nothing, nothing) if log is None else log(training, model, optimizers)
    losses: list[Any] = []

    def tell(step: int, loss: Any, batch: Any) -> None:
        losses.append(bits(loss))
        told(step, loss, batch)

    training.loop(training, model, optimizers, tell)
    close()
    return {"losses": tuple(losses), **left_by(model, *optimizers)}


def nothing(*_: Any) -> None:
    """Is told, and does nothing."""


def left_by(model: nn.Module, *optimizers: torch.optim.Optimizer) -> dict[str, Any]:
    """All that a network, its optimizers and the process hold, by name."""
    found: dict[str, Any] = {"keys": tuple(model.state_dict())}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found[name] = bits(parameter), parameter.requires_grad
        found[f"gradient of {name}"] = bits(parameter.grad)
    for name, buffer in model.named_buffers(remove_duplicate=False):
        found[name] = bits(buffer)
    for name, module in model.named_modules(remove_duplicate=False):
        found |= {f"{key} of module {name}": value for key, value in _of_module(module)}
    for number, optimizer in enumerate(optimizers):
        found |= {f"optimizer {number}: {key}": value for key, value in _of_optimizer(optimizer)}
    return found | of_process()


def _of_module(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if "_hooks" in name:
            yield name, len(value or ())
        elif name not in ("_parameters", "_buffers", "_modules", "_compiled_call_impl", "_torchdynamo_wrapper_id"):
            yield name, plainly(value)


def _of_optimizer(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any]]:
    yield from ((name, plainly(value)) for name, value in optimizer.state_dict().items())
    for name, value in vars(optimizer).items():
        if "_hooks" in name:
            yield name, len(value)


def plainly(value: Any) -> Any:
    """What can be compared, of whatever an object holds."""
    if isinstance(value, torch.Tensor):
        return bits(value)
    if isinstance(value, Mapping):
        return {str(key): plainly(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, collections.deque)):
        return [plainly(one) for one in value]
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    if isinstance(value, torch.Generator):
        return bits(value.get_state())
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, Average):
        return plainly(vars(value))
    return value if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__


def of_process() -> dict[str, Any]:
    """What everybody shares: random numbers, modes, and what may have been put in the place of PyTorch's functions."""
    kind, keys, *rest = np.random.get_state()
    everywhere = {
        name: len(value)
        for name, value in vars(nn.modules.module).items()
        if name.startswith("_global_") and isinstance(value, dict)
    }
    return {
        "PyTorch's numbers": bytes(torch.get_rng_state().numpy()),
        "numpy's numbers": (kind, bytes(keys), *rest),
        "Python's numbers": random.getstate(),
        "modes": (
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.is_inference_mode_enabled(),
            torch.is_anomaly_enabled(),
            torch.backends.mha.get_fastpath_enabled(),
        ),
        "functions": (nn.Module.__call__.__qualname__, functional.scaled_dot_product_attention.__module__),
        "hooks of all modules": everywhere,
    }


def bits(value: Any) -> Any:
    """Type, layout, shape and bytes of a tensor."""
    if not isinstance(value, torch.Tensor):
        return value
    dense = value.detach()
    dense = dense.to_dense() if dense.layout != torch.strided else dense
    return str(value.dtype), str(value.layout), tuple(value.shape), _bytes(dense)


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8).numpy().tobytes()


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of what is not the same in two trainings."""
    names = list(dict.fromkeys([*one, *other]))
    return [name for name in names if name not in one or name not in other or one[name] != other[name]]


@functools.cache
def bare(name: str) -> dict[str, Any]:
    """What a training leaves that nobody logs."""
    return trained(TRAININGS[name])
