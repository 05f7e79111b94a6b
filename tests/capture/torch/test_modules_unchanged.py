"""A training of a PyTorch module is the same to the last bit when it is logged, in all that it leaves behind."""

from __future__ import annotations

import copy
import io
import os
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_networks as networks
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional
from torch_networks import IMAGES, LABELS, ROWS, STEPS, TOKENS, TRAININGS, Log, Training, bare, differing, trained

import tb_layerview as lv
from tb_layerview import Check, Keep, LayerReader, Select
from tb_layerview.format.model import KINDS

KEEP = Keep(activations=2**26, weights=2**26, gradients=2**26, examples=64, precision="float32")
OPTIONS: dict[str, Any] = {"schedule": 1, "keep": KEEP, "check": Check(replay=True)}
EVERYTHING = {**OPTIONS, "select": Select(kinds=KINDS)}


def by_recorder(folder: Path, **options: Any) -> Log:
    """Logs each step, and step 0 where that is under the same automatic casts as the others."""

    def log(training: Training, model: nn.Module, optimizers: list[Any]) -> Any:
        recorder = lv.LayerRecorder(
            model, folder, training.probe, loss=training.loss, optimizer=optimizers, **{**OPTIONS, **options}
        )
        if training.loop is not networks.under_autocast:
            recorder.record(0)

        def told(step: int, loss: Any, batch: Any) -> None:
            recorder.record(step, {"loss": loss}, batch=batch)

        return told, recorder.close

    return log


def by_watch(folder: Path, **options: Any) -> Log:
    """Has the optimizer tell of its steps."""

    def log(_: Training, model: nn.Module, optimizers: list[Any]) -> Any:
        watching = lv.watch(model, folder, optimizers, **{**EVERYTHING, **options})
        return networks.nothing, watching.close

    return log


WAYS: dict[str, Callable[[Path], Log]] = {
    "recorder": by_recorder,
    "recorder, optimizer": lambda folder: by_recorder(folder, **EVERYTHING),
    "watch": by_watch,
}
#: What `make test` runs; `make test-long` has the others.
CORE = (
    "resnet-*",
    "encoder, timesteps first-*",
    "decoder*",
    "GradScaler, fused-*",
    "state of Python-*",
    "a tensor that is no buffer-*",
    "an object of one's own-*",
    "a weight whose data are clamped-*",
    "lazy-*",
    "checkpoint, reentrant-*",
    "by name-*",
    "sparse-*",
)


#: What a training covers of the report's items, by its name.
COVERED = {
    "accumulation": pytest.mark.covers("Keras: gradient accumulation"),
    "autocast": pytest.mark.covers("Keras: mixed_bfloat16"),
    "GradScaler": pytest.mark.covers("Keras: mixed_float16"),
    "resnet": pytest.mark.covers("Keras: no attribute left behind"),
    "recurrent": pytest.mark.covers("Keras: LSTM, per timestep"),
    "encoder": pytest.mark.covers("Keras: MultiHeadAttention, output"),
    "lazy": pytest.mark.covers("Keras: layers created in call"),
}


def _as_parameter(name: str) -> Any:
    return pytest.param(name, marks=COVERED.get(name, ()))


@pytest.mark.core(*CORE)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", map(_as_parameter, TRAININGS))
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_training_is_the_same_to_the_last_bit_when_it_is_logged(name: str, way: str, tmp_path: Path) -> None:
    logged = trained(TRAININGS[name], WAYS[way](tmp_path))
    assert differing(bare(name), logged) == []
    run = LayerReader(tmp_path).run()
    assert {*range(1, STEPS + 1)} <= {*run.steps.tolist()}
    left_out = [note for note in run.model.notes if "left out" in note]
    if name == "checkpoint, reentrant" and way != "watch":
        assert len(left_out) == 1 and "use_reentrant=True" in left_out[0]
    else:
        assert left_out == []
        assert {tensor.kind for tensor in run.tensors} >= {"activation", "weight", "gradient", "update"}
        for tensor in run.tensors:
            assert (run.statistics("size")[tensor][1:] > 0).all(), tensor


def test_a_run_without_what_the_optimizer_keeps_has_the_state_before_the_first_step(tmp_path: Path) -> None:
    trained(TRAININGS["resnet"], by_watch(tmp_path, select=Select()))
    assert LayerReader(tmp_path).run().steps.tolist() == list(range(STEPS + 1))


def test_only_a_first_step_that_calls_the_model_is_said_to(tmp_path: Path) -> None:
    trained(TRAININGS["clipping"], by_watch(tmp_path / "plain"))
    trained(TRAININGS["LBFGS"], by_watch(tmp_path / "closure"))
    said = {run.name: [n for n in run.model.notes if "calls the model" in n] for run in LayerReader(tmp_path).runs()}
    assert len(said["closure"]) == 1
    assert said["plain"] == []


# That the comparison sees something.


def change_a_weight(model: nn.Module, _: Any) -> None:
    """By the smallest step that there is."""
    weight = next(model.parameters()).detach().view(-1)
    weight[0] = torch.nextafter(weight[0], torch.tensor(9.0))


def change_what_the_optimizer_keeps(_: nn.Module, optimizers: list[Any]) -> None:
    state = next(iter(optimizers[0].state.values()))
    next(value for value in state.values() if isinstance(value, torch.Tensor)).view(-1)[0] += 1


def leave_a_hook(model: nn.Module, _: Any) -> None:
    model.stem.register_forward_hook(lambda *_: None)


def leave_an_attribute(model: nn.Module, _: Any) -> None:
    model.left_behind = 1


TOUCHES: dict[str, Callable[[Any, Any], Any]] = {
    "Python's numbers": lambda *_: random.random(),
    "numpy's numbers": lambda *_: np.random.random(),
    "PyTorch's numbers": lambda *_: torch.rand(1),
    "a weight": change_a_weight,
    "what the optimizer keeps": change_what_the_optimizer_keeps,
    "a buffer": lambda model, _: next(model.buffers()).add_(1e-6),
    "a mode": lambda model, _: model.head.eval(),
    "a hook": leave_a_hook,
    "a hook of the optimizer": lambda _, optimizers: optimizers[0].register_step_post_hook(lambda *_: None),
    "an attribute": leave_an_attribute,
    "a gradient": lambda model, _: next(model.parameters()).grad.add_(1e-9),
}


@pytest.mark.parametrize("touched", TOUCHES)
def test_what_is_compared_shows_a_touch(touched: str) -> None:
    def log(_: Training, model: nn.Module, optimizers: list[Any]) -> Any:
        def told(step: int, *_: Any) -> None:
            if step == STEPS:
                TOUCHES[touched](model, optimizers)

        return told, networks.nothing

    assert differing(bare("resnet"), trained(TRAININGS["resnet"], log)) != []


# Trainings of other forms.


def gan(folder: Path | None, how: str) -> dict[str, Any]:
    """Two networks with an optimizer each, of which the discriminator's steps first."""
    networks.seed()
    generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, 6))
    discriminator = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(0.1), nn.Linear(8, 1))
    both = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    of_g = torch.optim.Adam(generator.parameters(), 1e-2)
    of_d = torch.optim.Adam(discriminator.parameters(), 1e-2)
    noise = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    ones = torch.ones(8, 1)
    logs: list[Any] = []
    lost = functional.binary_cross_entropy_with_logits
    if how == "recorders" and folder:
        logs = [
            lv.LayerRecorder(
                generator,
                folder / "g",
                noise,
                loss=lambda x: lost(discriminator(x), ones),
                optimizer=of_g,
                **EVERYTHING,
            ),
            lv.LayerRecorder(discriminator, folder / "d", (ROWS, ones), loss=lost, optimizer=of_d, **EVERYTHING),
        ]
    elif folder:
        logs = [
            lv.watch(generator, folder / "g", [of_g, of_d], **EVERYTHING),
            lv.watch(discriminator, folder / "d", [of_d, of_g], **EVERYTHING),
        ]
    losses = []
    for step in range(1, STEPS + 1):
        drawn = torch.randn(8, 3)
        of_d.zero_grad()
        loss = lost(discriminator(ROWS), ones) + lost(discriminator(generator(drawn).detach()), 0 * ones)
        loss.backward()
        of_d.step()
        of_g.zero_grad()
        other = lost(discriminator(generator(drawn)), ones)
        other.backward()
        of_g.step()
        losses += [networks.bits(loss), networks.bits(other)]
        if how == "recorders":
            for log, told, batch in zip(logs, (other, loss), (drawn, (ROWS, ones))):
                log.record(step, {"loss": told}, batch=batch)
    for log in logs:
        log.close()
    return {"losses": losses, **networks.left_by(both, of_g, of_d)}


@pytest.mark.parametrize("how", ["recorders", "watch"])
@pytest.mark.covers(
    "Keras: two models trained by turns",
)
def test_a_gan_is_the_same_to_the_last_bit_when_it_is_logged(how: str, tmp_path: Path) -> None:
    assert differing(gan(None, how), gan(tmp_path, how)) == []
    runs = list(LayerReader(tmp_path).runs())
    assert [run.name for run in runs] == ["d", "g"]
    for run in runs:
        assert run.steps.tolist() == list(range(1, STEPS + 1))
        assert {tensor.kind for tensor in run.tensors} == {*KINDS}
        assert not [note for note in run.model.notes if "left out" in note]


class Whole(nn.Module):
    """A generator and a discriminator in one."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6))
        self.discriminator = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return self.discriminator(self.generator(noise))


@pytest.mark.parametrize("how", ["recorder", "watch"])
def test_a_step_is_logged_between_a_forward_pass_and_its_backward_pass(how: str, tmp_path: Path) -> None:
    """As in the DCGAN of PyTorch's tutorials: the discriminator steps while the generator's graph is waited for."""

    def run(folder: Path | None) -> dict[str, Any]:
        networks.seed()
        model, lost = Whole(), functional.binary_cross_entropy_with_logits
        of_d = torch.optim.Adam(model.discriminator.parameters(), 1e-2)
        of_g = torch.optim.Adam(model.generator.parameters(), 1e-2)
        ones = torch.ones(8, 1)
        log: Any = None
        if folder and how == "watch":
            log = lv.watch(model, folder, [of_d, of_g], **OPTIONS)
        elif folder:
            log = lv.LayerRecorder(model, folder, (ROWS, ones), loss=lost, optimizer=[of_d, of_g], **OPTIONS)
        losses = []
        for step in range(1, STEPS + 1):
            fake = model.generator(torch.randn(8, 6))
            of_d.zero_grad()
            lost(model.discriminator(fake.detach()), 0 * ones).backward()
            if how == "watch" and step == 1:
                model(torch.randn(8, 6))
            of_d.step()
            if log and how == "recorder":
                log.record(step)
            of_g.zero_grad()
            loss = lost(model.discriminator(fake), ones)
            loss.backward()
            of_g.step()
            losses.append(networks.bits(loss))
        if log:
            log.close()
        return {"losses": losses, **networks.left_by(model, of_d, of_g)}

    without = run(None)
    assert differing(without, run(tmp_path)) == []


@pytest.mark.parametrize("how", ["mask", "frozen"])
def test_a_buffer_and_a_frozen_weight_that_a_graph_holds_are_not_written_to(how: str, tmp_path: Path) -> None:
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 4)
            self.register_buffer("mask", torch.rand(6))
            if how == "frozen":
                self.second.requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x) * self.mask if how == "mask" else self.first(x))

    networks.seed()
    model = Held()
    with lv.LayerRecorder(model, tmp_path, (ROWS, LABELS), loss=functional.cross_entropy, **OPTIONS) as recorder:
        for step in range(1, 3):
            loss = functional.cross_entropy(model(ROWS), LABELS)
            recorder.record(step, {"loss": loss})
            loss.backward()


def compiled(folder: Path | None, how: str) -> tuple[dict[str, Any], int]:
    """What a training of a compiled network leaves, and how many graphs were compiled."""
    torch._dynamo.reset()
    graphs = 0

    def backend(graph: Any, _: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    def make() -> nn.Module:
        made: Any = torch.compile(networks.ResNet(), backend=backend)
        return made

    training = Training(make, IMAGES, LABELS)
    return trained(training, None if folder is None else WAYS[how](folder)), graphs


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.covers(
    "Keras: jit_compile",
)
def test_a_compiled_module_is_trained_the_same_and_compiled_as_often(way: str, tmp_path: Path) -> None:
    (without, graphs), (logged, graphs_logged) = compiled(None, way), compiled(tmp_path, way)
    assert differing(without, logged) == []
    assert graphs_logged == graphs >= 1
    run = LayerReader(tmp_path).run()
    assert not [note for note in run.model.notes if "left out" in note]
    assert "blocks/0/conv1" in [tensor.layer for tensor in run.tensors if tensor.kind == "activation"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.covers(
    "Keras: jit_compile",
)
def test_a_module_that_compiles_itself_is_compiled_as_often(way: str, tmp_path: Path) -> None:
    def run(folder: Path | None) -> tuple[dict[str, Any], int]:
        torch._dynamo.reset()
        counter = CompileCounter()

        def make() -> nn.Module:
            made = networks.ResNet()
            made.compile(backend=counter)
            return made

        found = trained(Training(make, IMAGES, LABELS), None if folder is None else WAYS[way](folder))
        return found, counter.frame_count

    (without, graphs), (logged, graphs_logged) = run(None), run(tmp_path)
    assert differing(without, logged) == []
    assert graphs_logged == graphs >= 1
    assert not [note for note in LayerReader(tmp_path).run().model.notes if "left out" in note]


@pytest.fixture
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Joined with no other one, by gloo."""
    met = tmp_path_factory.mktemp("process") / "met"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group("gloo", init_method=f"file://{met}", rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("one_process")
def test_distributed_data_parallel_is_trained_the_same(way: str, tmp_path: Path) -> None:
    training = Training(lambda: nn.parallel.DistributedDataParallel(networks.ResNet()), IMAGES, LABELS)
    assert differing(trained(training), trained(training, WAYS[way](tmp_path))) == []
    run = LayerReader(tmp_path).run()
    assert not [note for note in run.model.notes if "left out" in note]
    assert "blocks/0/conv1" in [tensor.layer for tensor in run.tensors if tensor.kind == "activation"]


def test_a_step_is_logged_under_inference_mode(tmp_path: Path) -> None:
    def run(folder: Path | None) -> dict[str, Any]:
        networks.seed()
        model = networks.ResNet()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        recorder = folder and lv.LayerRecorder(
            model, folder, (IMAGES, LABELS), loss=functional.cross_entropy, optimizer=optimizer, **OPTIONS
        )
        losses = []
        for step in range(1, 4):
            loss = functional.cross_entropy(model.train()(IMAGES), LABELS)
            loss.backward()
            optimizer.step()
            with torch.inference_mode():
                losses.append(networks.bits(model.eval()(IMAGES)))
                if recorder:
                    recorder.record(step, {"loss": loss})
        if recorder:
            recorder.close()
        return {"losses": losses, **networks.left_by(model, optimizer)}

    assert differing(run(None), run(tmp_path)) == []
    found = LayerReader(tmp_path).run()
    assert [tensor.kind for tensor in found.tensors].count("gradient") > 0
    assert not [note for note in found.model.notes if "left out" in note]


def test_a_step_is_logged_under_other_casts_than_the_first_one(tmp_path: Path) -> None:
    networks.seed()
    model = networks.ResNet()
    with lv.LayerRecorder(model, tmp_path, (IMAGES, LABELS), loss=functional.cross_entropy, **OPTIONS) as recorder:
        recorder.record(0)
        with torch.autocast("cpu", torch.bfloat16):
            recorder.record(1)
        recorder.record(2)
    run = LayerReader(tmp_path).run()
    conv = run.tensor("blocks/0/conv1", kind="activation")
    assert (run.statistics("size")[conv] > 0).all(), run.model.notes


def test_modules_that_are_made_before_the_first_step_are_logged(tmp_path: Path) -> None:
    """A head that is put in after the recorder, but before the lazy module is called for the first time."""
    networks.seed()
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Identity())
    recorder = lv.LayerRecorder(model, tmp_path, (ROWS, LABELS), loss=functional.cross_entropy, **OPTIONS)
    model[2] = nn.Linear(8, 4)
    model(ROWS)
    recorder.record(0)
    recorder.close()
    run = LayerReader(tmp_path).run()
    found = [(t.layer, t.name) for t in run.tensors if t.kind == "gradient" and t.name != "output"]
    assert found == [("0", "weight"), ("0", "bias"), ("2", "weight"), ("2", "bias")]


@pytest.mark.covers(
    "Keras: data sets",
)
def test_the_probe_may_be_a_list_as_data_loaders_make_them(tmp_path: Path) -> None:
    data = torch.utils.data.TensorDataset(ROWS, LABELS)
    batch = next(iter(torch.utils.data.DataLoader(data, batch_size=4)))
    assert isinstance(batch, list)
    options = {"loss": functional.cross_entropy, **OPTIONS}
    with lv.LayerRecorder(networks.mlp(), tmp_path, batch, **options) as recorder:
        recorder.record(0)
        recorder.record(1, {"loss": 1.0}, batch=batch)
    run = LayerReader(tmp_path).run()
    assert run.tensor("input").shape == (4, 6)
    assert np.isfinite(run.scalars["probe_loss"]).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_part_that_is_compiled_by_torchscript_is_logged_as_one_layer(way: str, tmp_path: Path) -> None:
    def make() -> nn.Module:
        part = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
        return nn.Sequential(nn.Linear(6, 8), part, nn.Linear(8, networks.CLASSES))

    training = Training(make, ROWS, LABELS)
    assert differing(trained(training), trained(training, WAYS[way](tmp_path))) == []
    run = LayerReader(tmp_path).run()
    assert {"0", "1", "2"} <= {tensor.layer for tensor in run.tensors if tensor.kind == "activation"}


class Jagged(nn.Module):
    """Examples of two lengths, in one nested tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(6, 8), nn.Linear(8, networks.CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nested = torch.nested.nested_tensor([x[:3], x[3:]], layout=torch.jagged)
        return self.head(self.inner(nested).values())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.covers(
    "Keras: ragged input",
)
def test_a_nested_tensor_within_a_module_does_no_harm(way: str, tmp_path: Path) -> None:
    training = Training(Jagged, ROWS, LABELS)
    assert differing(trained(training), trained(training, WAYS[way](tmp_path))) == []
    run = LayerReader(tmp_path).run()
    assert "head" in {tensor.layer for tensor in run.tensors if tensor.kind == "activation"}


# What is made of a module while it is watched, and afterwards.


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Any]:
    networks.seed()
    model = networks.ResNet(0.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    keys = list(model.state_dict())
    with lv.watch(model, tmp_path, optimizer, **EVERYTHING) as watching:
        yield model, optimizer, watching
        assert list(model.state_dict()) == keys


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    functional.cross_entropy(model(IMAGES), LABELS).backward()
    optimizer.step()


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
@pytest.mark.covers(
    "Keras: save and load afterwards",
    "Keras: clone_model afterwards",
)
def test_a_copy_of_a_watched_module_knows_nothing_of_it(how: str, steps: int, watched: Any) -> None:
    model, optimizer, watching = watched
    for _ in range(steps):
        step(model, optimizer)
    if how == "deepcopy":
        copied = copy.deepcopy(model)
    elif how == "pickle":
        data = pickle.dumps(model)
        assert b"tb_layerview" not in data
        copied = pickle.loads(data)
    else:
        buffer = io.BytesIO()
        torch.save(model, buffer)
        assert b"tb_layerview" not in buffer.getvalue()
        buffer.seek(0)
        copied = torch.load(buffer, weights_only=False)
    torch.testing.assert_close(copied.eval()(IMAGES), model.eval()(IMAGES), rtol=0, atol=0)
    model.train()
    before = watching.step
    step(copied.train(), torch.optim.SGD(copied.parameters(), 0.1))
    assert watching.step == before == steps


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.covers(
    "Keras: pickling of the optimizer state afterwards",
)
def test_a_copy_of_a_watched_optimizer_tells_nothing(steps: int, watched: Any) -> None:
    model, optimizer, watching = watched
    for _ in range(steps):
        step(model, optimizer)
    data = pickle.dumps(optimizer)
    assert b"tb_layerview" not in data
    both = copy.deepcopy((model, optimizer))
    step(*both)
    assert watching.step == steps


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("how", ["export", "trace", "script"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_watched_module_is_exported(how: str, steps: int, watched: Any) -> None:
    model, optimizer, _ = watched
    for _ in range(steps):
        step(model, optimizer)
    for mode in (True, False):
        model.train(mode)
        state = copy.deepcopy(model.state_dict())
        if how == "export":
            made: Any = torch.export.export(model, (IMAGES,)).module()
        else:
            made = torch.jit.trace(model, IMAGES) if how == "trace" else torch.jit.script(model)
        model.load_state_dict(state)
        given, wanted = made(IMAGES), copy.deepcopy(model)(IMAGES)
        torch.testing.assert_close(given, wanted)


def test_a_module_is_exported_after_it_was_logged(tmp_path: Path) -> None:
    networks.seed()
    model = networks.Decoder()
    with lv.LayerRecorder(model, tmp_path, (TOKENS, TOKENS), **OPTIONS) as recorder:
        recorder.record(0)
    model.eval()
    wanted = model(TOKENS)
    torch.testing.assert_close(torch.export.export(model, (TOKENS,)).module()(TOKENS), wanted)
    torch.testing.assert_close(torch.jit.trace(model, TOKENS)(TOKENS), wanted)
    assert b"tb_layerview" not in pickle.dumps(model)


def late(folder: Path | None, how: str, own: bool) -> tuple[list[str], int]:
    """The losses of a training whose module is compiled after `watch`, first evaluated; how many graphs that makes."""
    torch._dynamo.reset()
    counter = CompileCounter()
    networks.seed()
    made = networks.ResNet() if own else nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.Dropout(), nn.Linear(8, 4))
    made(IMAGES)
    optimizer = torch.optim.Adam(made.parameters())
    watching = None if folder is None else lv.watch(made, folder, optimizer=optimizer, schedule=1)
    if how == "in place":
        made.compile(backend=counter, fullgraph=own)  # of torch's own modules it compiles nothing
    called: Any = made if how == "in place" else torch.compile(made, backend=counter, fullgraph=True)
    losses = []
    for _ in range(2):
        with torch.no_grad():
            made.eval()
            losses.append(called(IMAGES).sum().item().hex())
        made.train()
        for _ in range(2):
            optimizer.zero_grad()
            loss = called(IMAGES).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item().hex())
    if watching is not None:
        watching.close()
    return losses, counter.frame_count


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("how", ["in place", "around"])
def test_a_module_that_is_compiled_after_watch_is_heard_and_compiled_as_often(
    how: str, own: bool, tmp_path: Path
) -> None:
    assert late(tmp_path, how, own) == late(None, how, own)
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == [0, 1, 2, 3, 4]
    assert {tensor.kind for tensor in run.tensors} >= {"activation", "weight", "gradient", "update"}


def test_an_optimizer_whose_step_is_compiled_is_not_compiled_with_what_logs_it(tmp_path: Path) -> None:
    def run(folder: Path | None) -> tuple[list[str], int]:
        torch._dynamo.reset()
        counter = CompileCounter()
        networks.seed()
        model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 4))
        optimizer = torch.optim.Adam(model.parameters())
        if folder is not None:
            lv.watch(model, folder, optimizer=optimizer, schedule=1)
        step = torch.compile(lambda: optimizer.step(), backend=counter)
        losses = []
        for _ in range(2):
            loss = functional.cross_entropy(model(ROWS), LABELS)
            loss.backward()
            step()
            losses.append(loss.item().hex())
        return losses, counter.frame_count

    assert run(tmp_path) == run(None)
