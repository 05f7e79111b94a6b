"""What a person says of the log of a PyTorch module holds, in both ways; and what modules do that is seldom."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_networks as networks
from torch import nn
from torch.nn import functional
from torch_networks import IMAGES, LABELS, ROWS, TOKENS

import tb_layerview as lv
from tb_layerview import Keep, LayerReader, Schedule, Select
from tb_layerview.options import is_rung
from tb_layerview.reading.run import Run

WAYS = ("recorder", "watch")


def logged(way: str, folder: Path, model: nn.Module, steps: int, first: int = 0, **options: Any) -> Run:
    """Trains a module that takes rows or pictures, and logs it in one way."""
    x = IMAGES if isinstance(model, networks.ResNet) else ROWS
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    log: Any
    if way == "recorder":
        log = lv.LayerRecorder(
            model, folder, (x, LABELS), loss=functional.cross_entropy, optimizer=optimizer, **options
        )
    else:
        log = lv.watch(model, folder, optimizer, **options)
    with log:
        if way == "recorder":
            log.record(first)
        for step in range(first + 1, first + steps + 1):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), LABELS)
            loss.backward()
            optimizer.step()
            if way == "recorder":
                log.record(step, {"loss": loss})
    return LayerReader(folder).run()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.covers(
    "What and when: Select, layer paths", "What and when: Select, layer classes", "What and when: Select, kinds"
)
def test_only_what_is_selected_is_logged(way: str, tmp_path: Path) -> None:
    networks.seed()
    select = Select(include=("blocks/*", "Linear"), exclude=("*norm*", "ReLU"), kinds=("activation", "update"))
    run = logged(way, tmp_path, networks.ResNet(), 2, schedule=1, select=select)
    convolutions = {f"blocks/{i}/conv{j}" for i in (0, 1) for j in (1, 2)}
    assert {t.layer for t in run.tensors} == convolutions | {"head"}
    assert {t.kind for t in run.tensors} == {"activation", "update"}


@pytest.mark.parametrize("way", WAYS)
def test_a_pattern_that_matches_no_module_is_refused_before_the_training(way: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"include pattern 'blokcs/\*' matches none of the"):
        logged(way, tmp_path, networks.ResNet(), 0, select=Select(include=("blokcs/*",)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        pytest.param(4, [0, 4, 8, 11], marks=pytest.mark.covers("What and when: Schedule, every N")),
        pytest.param(
            Schedule(steps=(3, 7)), [0, 3, 7, 11], marks=pytest.mark.covers("What and when: Schedule, given steps")
        ),
        pytest.param(
            Schedule(budget=1.0),
            [step for step in range(12) if is_rung(step)],
            marks=pytest.mark.covers("What and when: Schedule, the ladder"),
        ),
    ],
    ids=["every", "steps", "ladder"],
)
def test_the_first_step_those_of_the_schedule_and_the_last_one_are_logged(
    schedule: Any, wanted: list[int], way: str, tmp_path: Path
) -> None:
    networks.seed()
    assert logged(way, tmp_path, networks.mlp(), 11, schedule=schedule).steps.tolist() == wanted


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.covers(
    "What and when: Keep, values per tensor and kind",
    "What and when: Keep, examples",
    "What and when: Keep, exact float32",
    "What and when: Keep, units",
)
def test_as_much_is_kept_as_is_asked_for(way: str, tmp_path: Path) -> None:
    networks.seed()
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
    keep = Keep(activations=20, weights=48, gradients=0, examples=2, units=False, precision="float32")
    run = logged(way, tmp_path, model, 1, schedule=1, keep=keep)
    kept = {t: run.values(t, 1).array for t in run.tensors if t.kind in ("activation", "weight")}
    assert {array.size for array in kept.values()} <= {*range(1, 49)}
    for tensor, array in kept.items():
        if tensor.kind == "activation":
            assert array.shape[0] >= 2 and array.size <= 20, tensor
    weight = kept[run.tensor("0", kind="weight", name="weight")]
    np.testing.assert_array_equal(weight, model[0].weight.detach().numpy().T)
    gradient = run.tensor("0", kind="gradient", name="weight")
    with pytest.raises(Exception, match="values"):
        run.values(gradient, 1)
    with pytest.raises(Exception, match="units"):
        run.units(run.tensor("1", kind="activation"), 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.covers("Keras: resuming from a checkpoint into the same folder", "Keras: fit called again")
def test_steps_that_are_trained_again_replace_those_of_before(way: str, tmp_path: Path) -> None:
    networks.seed()
    model = networks.mlp()
    logged("recorder", tmp_path, model, 6, schedule=1)
    run = logged("recorder", tmp_path, model, 4, first=4, schedule=1)
    assert run.steps.tolist() == list(range(9))
    assert len(set(run.writers[:4])) == 1 and set(run.writers[:4]).isdisjoint(run.writers[4:])
    run = logged(way, tmp_path, model, 3, first=0, schedule=1)
    assert run.steps.tolist() == list(range(4))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.covers("Keras: no reference that keeps the model or the probe alive", "Keras: no attribute left behind")
def test_after_the_training_nothing_holds_the_module_or_the_probe(way: str, tmp_path: Path) -> None:
    networks.seed()
    model, probe = networks.mlp(), ROWS.clone()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    attributes = [sorted(vars(module)) for module in model.modules()]
    log: Any
    if way == "recorder":
        log = lv.LayerRecorder(model, tmp_path, (probe, LABELS), loss=functional.cross_entropy, schedule=1)
    else:
        log = lv.watch(model, tmp_path, optimizer, schedule=1)
    for step in (1, 2):
        functional.cross_entropy(model(probe), LABELS).backward()
        optimizer.step()
        if way == "recorder":
            log.record(step)
    log.close()
    assert [sorted(vars(module)) for module in model.modules()] == attributes
    held = [weakref.ref(one) for one in (model, probe, *model.parameters())]
    del model, probe, optimizer, log
    gc.collect()
    assert [one() for one in held if one() is not None] == []


class Made(nn.Module):
    """Makes its head when it is first called."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(6, 8), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        if self.head is None:
            self.head = nn.Linear(hidden.shape[-1], networks.CLASSES)
        result: torch.Tensor = self.head(hidden)
        return result


@pytest.mark.covers("Keras: layers created in call")
def test_a_module_that_is_made_in_the_first_call_is_logged(tmp_path: Path) -> None:
    networks.seed()
    model = Made()
    model(ROWS)
    with lv.LayerRecorder(model, tmp_path, (ROWS, LABELS), loss=functional.cross_entropy, schedule=1) as recorder:
        recorder.record(0)
    run = LayerReader(tmp_path).run()
    found = run.values(run.tensor("head", kind="activation"), 0).array
    np.testing.assert_allclose(found, model(ROWS).detach().numpy(), rtol=2e-3, atol=1e-3)
    assert run.tensor("head", kind="gradient", name="weight").shape == (8, networks.CLASSES)


class Both(nn.Module):
    """A recurrent layer in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(networks.WORDS, 6)
        self.lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.lstm(self.embedding(tokens))[0]
        return result


EXACT: dict[str, Any] = {"schedule": 1, "keep": Keep(activations=2**20, examples=64, precision="float32")}


@pytest.mark.covers("Keras: Bidirectional")
def test_a_recurrent_layer_in_both_directions_gives_both_at_each_timestep(tmp_path: Path) -> None:
    networks.seed()
    model = Both()
    with lv.LayerRecorder(model, tmp_path, TOKENS, **EXACT) as recorder:
        recorder.record(0)
    run = LayerReader(tmp_path).run()
    whole = next(t for t in run.tensors if t.layer == "lstm" and t.kind == "activation")
    assert (whole.shape, whole.axes) == ((8, 6, 8), ("example", "timestep", "unit"))
    # Backward: what the same cell gives of the sequence turned round.
    x, own = model.embedding(TOKENS), dict(model.lstm.named_parameters())
    turned = nn.LSTM(6, 4, batch_first=True)
    turned.load_state_dict({name: own[f"{name}_reverse"] for name in dict(turned.named_parameters())})
    found = run.values(whole, 0).array
    np.testing.assert_allclose(found[..., 4:], turned(x.flip(1))[0].flip(1).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert {t.name for t in run.tensors if t.layer == "lstm" and t.kind == "weight"} == set(own)


@pytest.mark.covers("Keras: Dropout")
def test_what_a_dropout_leaves_is_scaled_and_the_rest_is_zero(tmp_path: Path) -> None:
    networks.seed()
    model = nn.Sequential(nn.Linear(6, 64), nn.Dropout(0.25))
    with lv.LayerRecorder(model, tmp_path, ROWS, **EXACT) as recorder:
        recorder.record(0)
    run = LayerReader(tmp_path).run()
    taken, given = (run.values(run.tensor(path, kind="activation"), 0).array for path in ("0", "1"))
    is_left = given != 0
    assert 0.6 < is_left.mean() < 0.9
    np.testing.assert_allclose(given[is_left], taken[is_left] / 0.75, rtol=1e-6)


class Decides(nn.Module):
    """Gives a class, and whether it is sure."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.decide = nn.Linear(6, 4), Deciding()

    def forward(self, x: torch.Tensor) -> Any:
        return self.decide(self.inner(x))


class Deciding(nn.Module):
    """The largest of the scores, and whether that is more than 0.5."""

    def forward(self, scores: torch.Tensor) -> Any:
        return scores.argmax(-1, keepdim=True), scores > 0.5


@pytest.mark.covers("Keras: integer and boolean outputs", "Keras: inputs and outputs as tuples")
def test_integer_and_boolean_outputs_are_logged(tmp_path: Path) -> None:
    networks.seed()
    model = Decides()
    with lv.LayerRecorder(model, tmp_path, ROWS, **EXACT) as recorder:
        recorder.record(0)
    run = LayerReader(tmp_path).run()
    scores = model.inner(ROWS).detach().numpy()
    outputs = [t for t in run.tensors if t.layer == "decide" and t.kind == "activation"]
    assert [t.dtype for t in outputs] == ["int64", "bool"]
    largest, is_sure = (run.values(tensor, 0).array for tensor in outputs)
    np.testing.assert_array_equal(largest[:, 0], scores.argmax(-1))
    np.testing.assert_array_equal(is_sure.astype(bool), scores > 0.5)


@pytest.mark.parametrize("way", [*WAYS, "lightning", "trainer"])
@pytest.mark.parametrize("logdir", ["nowhere://bucket/run", Path("s3://bucket/run"), "logs/gs://bucket"])
def test_an_address_that_cannot_be_opened_is_refused_and_makes_no_folder(
    way: str, logdir: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    callbacks = {"lightning": lv.LightningCallback, "trainer": lv.TrainerCallback}
    with pytest.raises(ValueError, match="is not a folder on this machine"):
        callbacks[way](logdir) if way in callbacks else logged(way, logdir, nn.Linear(4, 2), 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("way", ["recorder", "watch"])
def test_what_is_closed_keeps_no_module_no_optimizer_and_no_probe_alive(way: str, tmp_path: Path) -> None:
    model, probe = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), torch.randn(8, 3)
    optimizer = torch.optim.Adam(model.parameters())
    made: Any
    if way == "watch":
        made = lv.watch(model, tmp_path, optimizer=optimizer)
    else:
        made = lv.LayerRecorder(model, tmp_path, probe, loss=lambda out: out.mean(), optimizer=optimizer)
    for step in range(3):
        model(probe).mean().backward()
        optimizer.step()
        if way == "recorder":
            made.record(step)
    made.close()
    found = [weakref.ref(one) for one in (model, optimizer, probe)]
    del model, optimizer, probe
    gc.collect()
    assert [one() for one in found] == [None] * 3
    made.close()
    assert not made.should_stop
