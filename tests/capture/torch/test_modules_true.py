"""What is logged of a PyTorch module is what its parts called by hand, `backward` and numpy give."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_networks as networks
from torch import nn
from torch.nn import functional
from torch_networks import IMAGES, LABELS, NEXT, PADDED, ROWS, STEPS, TOKENS, UNITS

import tb_layerview as lv
from tb_layerview import Keep, LayerReader, Select
from tb_layerview.format.model import KINDS
from tb_layerview.reading.run import Run

KEEP = Keep(activations=2**26, weights=2**26, gradients=2**26, examples=64, precision="float64")
OPTIONS: dict[str, Any] = {"schedule": 1, "keep": KEEP}
EVERYTHING = {**OPTIONS, "select": Select(kinds=KINDS)}
Named = dict[tuple[str, int], torch.Tensor]  # by layer and call


def kept(run: Run, layer: str, kind: Any, name: str = "output", step: int = 0, call: int = 0) -> np.ndarray:
    """All values of a tensor."""
    tensor = run.tensor(layer, kind=kind, name=name, call=call)
    array = run.values(tensor, step).array
    assert array.shape == tuple(tensor.shape)
    return array


def array(tensor: torch.Tensor) -> np.ndarray:
    """In float64, which holds all that there is."""
    return tensor.detach().to_dense().double().numpy()


def last(tensor: torch.Tensor) -> np.ndarray:
    """A picture's channels put last."""
    return array(tensor.movedim(1, -1) if tensor.dim() > 2 else tensor)


def turned(weight: torch.Tensor) -> np.ndarray:
    """Of a convolution [row, column, input, output], of a linear layer [input, output]."""
    return array(weight.permute(*range(2, weight.dim()), 1, 0) if weight.dim() > 1 else weight)


def recorded(model: nn.Module, folder: Path, probe: Any, **options: Any) -> Run:
    """The module as it is, logged once."""
    with lv.LayerRecorder(model, folder, probe, **{**OPTIONS, **options}) as recorder:
        recorder.record(0)
    return LayerReader(folder).run()


def feeding(run: Run) -> dict[str, list[str]]:
    """Who feeds whom."""
    return {layer.path: [run.layers[i].path for i in layer.inputs] for layer in run.layers}


# A network of convolutions, trained.


def by_hand(model: Any, x: torch.Tensor) -> Named:
    """What each call of a layer of a `ResNet` gives, nothing in place."""
    found: Named = {("stem/0", 0): model.stem[0](x)}
    found["stem/1", 0] = model.stem[1](found["stem/0", 0])
    h = found["stem/2", 0] = torch.relu(found["stem/1", 0])
    for i, block in enumerate(model.blocks):
        taken, path = h, f"blocks/{i}"
        h = found[f"{path}/conv1", 0] = block.conv1(h)
        h = found[f"{path}/norm1", 0] = block.norm1(h)
        h = found[f"{path}/relu", 0] = torch.relu(h)
        h = found[f"{path}/conv2", 0] = block.conv2(h)
        h = found[f"{path}/norm2", 0] = block.norm2(h)
        h = found[f"{path}/relu", 1] = torch.relu(h + taken)
    h = found["dropout", 0] = h.mean((2, 3)) * 1
    found["head", 0] = model.head(h)
    return found


class Trained:
    """A training, logged in both ways, and what it was like at each step."""

    def __init__(self, folder: Path) -> None:
        networks.seed()
        model = self.model = networks.ResNet(0.0)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2, amsgrad=True)
        self.at = [copy.deepcopy(model)]
        self.given: list[dict[str, torch.Tensor]] = [{}]
        self.states: list[dict[str, dict[str, torch.Tensor]]] = [{}]
        batches = [(IMAGES.roll(step, 0), LABELS.roll(step, 0)) for step in range(STEPS)]
        self.batches = batches
        recorder = lv.LayerRecorder(
            model, folder / "recorder", (IMAGES, LABELS), loss=functional.cross_entropy, optimizer=optimizer, **OPTIONS
        )
        recorder.record(0)
        watching = lv.watch(model, folder / "watch", optimizer, **EVERYTHING)
        for step, (x, y) in enumerate(batches, start=1):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            self.given.append({name: p.grad.clone() for name, p in model.named_parameters()})
            optimizer.step()
            recorder.record(step, {"loss": loss})
            self.at.append(copy.deepcopy(model))
            self.states.append({name: copy.deepcopy(optimizer.state[p]) for name, p in model.named_parameters()})
        recorder.close()
        watching.close()
        reader = LayerReader(folder)
        self.recorder, self.watch = reader.run("recorder"), reader.run("watch")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("logged"))


def place(name: str) -> tuple[str, str]:
    """Layer and name of a parameter."""
    path, _, own = name.rpartition(".")
    return path.replace(".", "/"), own


def test_there_is_nothing_to_say_and_nothing_is_left_out(trained: Trained) -> None:
    assert trained.recorder.model.notes == ()
    assert trained.recorder.steps.tolist() == list(range(STEPS + 1))
    for run, kind in ((trained.recorder, "weight"), (trained.watch, "weight"), (trained.watch, "gradient")):
        named = dict(trained.model.named_parameters())
        if kind == "weight":
            named |= {name: b for name, b in trained.model.named_buffers() if b.dim()}
        found = [(t.layer, t.name) for t in run.tensors if t.kind == kind and t.name != "output"]
        assert sorted(found) == sorted(map(place, named))


@pytest.mark.parametrize("way", ["recorder", "watch"])
@pytest.mark.parametrize("step", [1, STEPS])
@pytest.mark.covers(
    "Keras: subclassed",
)
def test_activations_are_what_the_parts_give_that_are_called_by_hand(step: int, way: str, trained: Trained) -> None:
    run: Run = getattr(trained, way)
    x = IMAGES if way == "recorder" else trained.batches[0][0]
    np.testing.assert_array_equal(kept(run, "input", "activation", step=step), last(x))
    truths = by_hand(copy.deepcopy(trained.at[step]).train(), x)
    found = [(t.layer, t.call) for t in run.tensors if t.kind == "activation"]
    assert found == [("input", 0), *truths]
    for (layer, call), truth in truths.items():
        logged = kept(run, layer, "activation", step=step, call=call)
        np.testing.assert_allclose(logged, last(truth), rtol=1e-5, atol=1e-6, err_msg=f"{layer} {call}")
    assert (kept(run, "blocks/0/norm1", "activation", step=step) < 0).any()


@pytest.mark.parametrize("step", [0, STEPS])
def test_gradients_on_the_probe_are_those_of_backward(step: int, trained: Trained) -> None:
    model, run = copy.deepcopy(trained.at[step]).train(), trained.recorder
    model.zero_grad()
    loss = functional.cross_entropy(model(IMAGES), LABELS)
    loss.backward()
    for name, parameter in model.named_parameters():
        layer, own = place(name)
        found, truth = kept(run, layer, "gradient", own, step), turned(parameter.grad)
        np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-7, err_msg=name)
    assert run.scalars["probe_loss"][step] == pytest.approx(float(loss.detach()), rel=1e-6)


def test_gradients_of_outputs_are_those_that_backward_retains(trained: Trained) -> None:
    model, run = copy.deepcopy(trained.at[STEPS]).train(), trained.recorder
    truths = by_hand(model, IMAGES)
    for truth in truths.values():
        truth.retain_grad()
    functional.cross_entropy(truths["head", 0], LABELS).backward()
    logged = [(t.layer, t.call) for t in run.tensors if t.kind == "gradient" and t.name == "output"]
    if not logged:
        pytest.skip("gradients of outputs are not logged")
    assert logged == list(truths)
    for (layer, call), truth in truths.items():
        found = kept(run, layer, "gradient", step=STEPS, call=call)
        np.testing.assert_allclose(found, last(truth.grad), rtol=1e-5, atol=1e-7, err_msg=f"{layer} {call}")


def test_watched_gradients_are_there_from_the_first_step_that_is_logged_on(trained: Trained) -> None:
    run = trained.watch
    for tensor in run.tensors:
        if tensor.kind == "gradient" and tensor.name != "output":
            assert (run.statistics("size")[tensor] == math.prod(tensor.shape)).all(), tensor


def test_watched_gradients_are_those_that_the_optimizer_is_given(trained: Trained) -> None:
    for step in range(2, STEPS + 1):
        norm = 0.0
        for name, truth in trained.given[step].items():
            layer, own = place(name)
            found = kept(trained.watch, layer, "gradient", own, step)
            np.testing.assert_array_equal(found, turned(truth), err_msg=f"{step} {name}")
            norm += float((found**2).sum())
        assert math.sqrt(norm) == pytest.approx(0.1, rel=1e-3)  # they are clipped


@pytest.mark.parametrize("way", ["recorder", "watch"])
@pytest.mark.covers(
    "Keras: BatchNormalization, moving statistics",
    "What and when: kind update, callback",
)
def test_weights_buffers_and_updates_are_those_of_the_training(way: str, trained: Trained) -> None:
    run: Run = getattr(trained, way)
    for step in run.steps.tolist():
        now, before = trained.at[step].state_dict(), trained.at[max(0, step - 1)].state_dict()
        for name, tensor in now.items():
            layer, own = place(name)
            if own == "num_batches_tracked":
                continue
            found = kept(run, layer, "weight", own, step)
            np.testing.assert_array_equal(found, turned(tensor), err_msg=f"{step} {name}")
            if not own.startswith("running") and step > run.steps[0]:
                found = kept(run, layer, "update", own, step)
                truth = turned(tensor - before[name])
                np.testing.assert_array_equal(found, truth, err_msg=f"{step} {name}")
                assert truth.any()


@pytest.mark.covers(
    "What and when: kind optimizer, callback",
)
def test_what_the_optimizer_keeps_is_logged_as_its_weight_is(trained: Trained) -> None:
    names = {"exp_avg": "momentum", "exp_avg_sq": "velocity", "max_exp_avg_sq": "velocity_hat"}
    for step in range(1, STEPS + 1):
        for name, state in trained.states[step].items():
            layer, own = place(name)
            for key, called in names.items():
                found = kept(trained.watch, layer, "optimizer", f"{own}/{called}", step)
                np.testing.assert_array_equal(found, turned(state[key]), err_msg=f"{step} {name} {key}")
    assert not [t for t in trained.watch.tensors if "step" in t.name]


@pytest.mark.covers(
    "Keras: subclassed",
    "Keras: models nested three deep",
    "Keras: plain operations between layers",
)
def test_paths_classes_and_who_feeds_whom(trained: Trained) -> None:
    run = trained.recorder
    assert feeding(run) == {
        "input": [],
        "stem/0": ["input"],
        "stem/1": ["stem/0"],
        "stem/2": ["stem/1"],
        "blocks/0/conv1": ["stem/2"],
        "blocks/0/norm1": ["blocks/0/conv1"],
        "blocks/0/relu": ["stem/2", "blocks/0/norm1", "blocks/0/norm2"],
        "blocks/0/conv2": ["blocks/0/relu"],
        "blocks/0/norm2": ["blocks/0/conv2"],
        "blocks/1/conv1": ["blocks/0/relu"],
        "blocks/1/norm1": ["blocks/1/conv1"],
        "blocks/1/relu": ["blocks/0/relu", "blocks/1/norm1", "blocks/1/norm2"],
        "blocks/1/conv2": ["blocks/1/relu"],
        "blocks/1/norm2": ["blocks/1/conv2"],
        "dropout": ["blocks/1/relu"],
        "head": ["dropout"],
    }
    classes = {layer.path: layer.class_name for layer in run.layers}
    assert classes["input"] == "Input"
    for path, module in trained.model.named_modules():
        if (path := path.replace(".", "/")) in classes:
            assert classes[path] == type(module).__name__


def test_functions_axes_and_types(trained: Trained) -> None:
    for run in (trained.recorder, trained.watch):
        picture, kernel = ("example", "row", "column", "channel"), ("row", "column", "input_channel", "channel")
        assert {t.dtype for t in run.tensors} == {"float32"}
        for tensor in run.tensors:
            is_relu = tensor.layer.endswith("relu") or tensor.layer == "stem/2"
            if tensor.kind == "activation":
                assert tensor.function == ("relu" if is_relu else ""), tensor
                assert tensor.axes == (picture if len(tensor.shape) == 4 else ("example", "unit")), tensor
        for kind in ("weight", "gradient", "update"):
            conv = run.tensor("blocks/0/conv1", kind=kind, name="weight")
            assert (conv.shape, len(conv.axes)) == ((3, 3, 4, 4), 4)
            assert conv.axes[:2] == kernel[:2] and conv.axes[3] == "channel" and "channel" in conv.axes[2]
            head = run.tensor("head", kind=kind, name="weight")
            assert (head.shape, head.axes[-1]) == ((4, networks.CLASSES), "unit")


@pytest.mark.parametrize("way", ["recorder", "watch"])
def test_statistics_are_numpys(way: str, trained: Trained) -> None:
    run: Run = getattr(trained, way)
    assert {t.kind for t in run.tensors} >= {"activation", "weight", "gradient", "update"}
    for tensor in run.tensors:
        values = run.values(tensor, STEPS).array.astype(np.float64)
        digest = run.digest(tensor, STEPS)
        assert (digest.size, digest.zero, digest.negative) == (values.size, (values == 0).sum(), (values < 0).sum())
        assert (digest.nan, digest.pos_inf, digest.neg_inf) == (0, 0, 0)
        assert (digest.min, digest.max) == (values.min(), values.max())
        truth = values.mean(), values.std(), np.sqrt((values**2).mean())
        assert (digest.mean, digest.std, digest.rms) == pytest.approx(truth, rel=1e-6, abs=1e-12), tensor


# Attention.


def heads(x: torch.Tensor) -> torch.Tensor:
    """[example, timestep, unit] by two heads: [example, head, timestep, unit]."""
    return x.unflatten(-1, (2, UNITS // 2)).transpose(1, 2)


def scores_of(attention: nn.MultiheadAttention, x: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
    """Softmax of query times key, [example, head, query, key], in float64."""
    weight, bias = attention.in_proj_weight.double(), attention.in_proj_bias.double()
    q, k, _ = functional.linear(x.double(), weight, bias).chunk(3, -1)
    logits = heads(q) @ heads(k).transpose(-1, -2) / math.sqrt(UNITS // 2)
    if padding is not None:
        logits = logits.masked_fill(padding[:, None, None], -torch.inf)
    return logits.softmax(-1)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("way", ["recorder", "watch"])
@pytest.mark.covers(
    "Keras: MultiHeadAttention, output",
    "Keras: MultiHeadAttention, scores per head",
    "Keras: MultiHeadAttention, masks respected",
    "Keras: masked input",
)
def test_attention_scores_of_an_encoder_are_worked_out_by_hand(batch_first: bool, way: str, tmp_path: Path) -> None:
    networks.seed()
    model = networks.Encoder(batch_first, dropout=0.0)
    if way == "recorder":
        run = recorded(model, tmp_path, (PADDED, LABELS), loss=functional.cross_entropy)
    else:
        optimizer = torch.optim.SGD(model.parameters(), 0.0)
        with lv.watch(model, tmp_path, optimizer, **OPTIONS):
            functional.cross_entropy(model(PADDED), LABELS).backward()
            optimizer.step()
        run = LayerReader(tmp_path).run()
    x, padding = model.embedding(PADDED), PADDED == 0
    np.testing.assert_array_equal(kept(run, "embedding", "activation"), array(x))
    for i, layer in enumerate(model.encoder.layers):
        truth = scores_of(layer.self_attn, x, padding)
        path = f"encoder/layers/{i}/self_attn"
        tensor = run.tensor(path, kind="activation", name="scores")
        assert tensor.axes == ("example", "head", "query", "key")
        np.testing.assert_allclose(kept(run, path, "activation", "scores"), array(truth), rtol=1e-4, atol=1e-6)
        attended = layer.self_attn.out_proj(
            (truth.float() @ heads(functional.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
                                   .chunk(3, -1)[2])).transpose(1, 2).flatten(2)
        )  # fmt: skip
        np.testing.assert_allclose(kept(run, path, "activation"), array(attended), rtol=1e-4, atol=1e-5)
        x = layer.norm1(x + attended)
        np.testing.assert_allclose(kept(run, f"encoder/layers/{i}/norm1", "activation"), array(x), rtol=1e-4, atol=1e-5)
        hidden = layer.linear1(x)
        x = layer.norm2(x + layer.linear2(torch.relu(hidden)))
        for name in ("self_attn", "norm1", "linear1", "norm2"):
            axes = run.tensor(f"encoder/layers/{i}/{name}", kind="activation", name="output").axes
            assert axes == ("example", "timestep", "unit"), name
        np.testing.assert_allclose(kept(run, f"encoder/layers/{i}/norm2", "activation"), array(x), rtol=1e-4, atol=1e-5)


class Looking(nn.Module):
    """Attention that gives what it looks at, too, or its mean over the heads."""

    def __init__(self, **how: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(networks.WORDS, UNITS)
        self.attention = nn.MultiheadAttention(UNITS, 2, batch_first=True)
        self.how = how

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        return self.attention(x, x, x, **self.how)[0].mean(1)


@pytest.mark.parametrize(
    "how",
    [
        {"need_weights": False},
        {"need_weights": True},
        {"need_weights": True, "average_attn_weights": False},
    ],
    ids=["not asked for", "the mean", "of each head"],
)
def test_attention_scores_are_of_each_head_whatever_is_asked_for(how: dict[str, bool], tmp_path: Path) -> None:
    networks.seed()
    model = Looking(**how)
    run = recorded(model, tmp_path, TOKENS)
    truth = scores_of(model.attention, model.embedding(TOKENS), None)
    assert run.tensor("attention", kind="activation", name="scores").axes == ("example", "head", "query", "key")
    found = kept(run, "attention", "activation", "scores")
    np.testing.assert_allclose(found, array(truth), rtol=1e-4, atol=1e-6)
    x = model.embedding(TOKENS)
    output = model.attention(x, x, x)[0]
    name = next(t.name for t in run.tensors if t.layer == "attention" and t.kind == "activation" and "output" in t.name)
    np.testing.assert_allclose(kept(run, "attention", "activation", name), array(output), rtol=1e-4, atol=1e-6)


def test_attention_scores_of_a_function_called_by_hand(tmp_path: Path) -> None:
    networks.seed()
    model = networks.Decoder().eval()
    model.train()
    for block in model.blocks:
        block.drop.p = 0.0

    def loss(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(scores.flatten(0, 1), y.flatten())

    run = recorded(model, tmp_path, (TOKENS, NEXT), loss=loss)
    x = model.wte(TOKENS) + model.wpe(torch.arange(6))
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    for i, block in enumerate(model.blocks):
        path = f"blocks/{i}/attn"
        q, k, v = (heads(part) for part in block.attn.qkv(block.ln_1(x)).double().chunk(3, -1))
        truth = (q @ k.transpose(-1, -2) / math.sqrt(UNITS // 2)).masked_fill(~causal, -torch.inf).softmax(-1)
        found = kept(run, path, "activation", "scores")
        np.testing.assert_allclose(found, array(truth), rtol=1e-4, atol=1e-6)
        assert run.tensor(path, kind="activation", name="scores").axes == ("example", "head", "query", "key")
        assert not np.triu(found, 1).any()
        x = x + block.attn.out((truth @ v).transpose(1, 2).flatten(2).float())
        x = x + block.mlp(block.ln_2(x))
    np.testing.assert_allclose(kept(run, "head", "activation"), array(model.head(model.ln_f(x))), rtol=1e-4, atol=1e-5)
    fed = feeding(run)
    assert fed["blocks/0/ln_1"] == ["wte", "wpe"] and fed["blocks/0/attn/qkv"] == ["blocks/0/ln_1"]
    assert fed["blocks/0/ln_2"] == ["wte", "wpe", "blocks/0/attn"]  # a dropout of 0 hands on what it takes
    assert run.tensor("blocks/0/mlp/1", kind="activation").function == "gelu"
    # The weight that two layers share is logged once, and its gradient is that of both.
    of_weight = [(t.layer, t.name) for t in run.tensors if t.kind == "weight" and t.shape == (networks.WORDS, UNITS)]
    assert len(of_weight) == 1
    assert not [t for t in run.tensors if t.kind == "weight" and t.shape == (UNITS, networks.WORDS)]
    loss(model(TOKENS), NEXT).backward()
    found = kept(run, of_weight[0][0], "gradient", "weight")
    np.testing.assert_allclose(found, array(model.wte.weight.grad), rtol=1e-4, atol=1e-6)


# Recurrent layers.


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.covers(
    "Keras: LSTM, per timestep",
    "Keras: GRU, per timestep",
)
def test_recurrent_layers_give_examples_first(batch_first: bool, tmp_path: Path) -> None:
    networks.seed()
    model = networks.Recurrent(batch_first)
    model.lstm.dropout = 0.0
    run = recorded(model, tmp_path, (TOKENS, LABELS), loss=functional.cross_entropy)
    x = model.embedding(TOKENS)
    whole, (hidden, cell) = model.lstm(x if batch_first else x.transpose(0, 1))
    names = [t.name for t in run.tensors if t.layer == "lstm" and t.kind == "activation"]
    assert len(names) == 3
    truths = (whole if batch_first else whole.transpose(0, 1), hidden.transpose(0, 1), cell.transpose(0, 1))
    for name, truth in zip(names, truths):
        assert run.tensor("lstm", kind="activation", name=name).axes[0] == "example"
        found = kept(run, "lstm", "activation", name)
        np.testing.assert_allclose(found, array(truth), rtol=1e-5, atol=1e-6, err_msg=name)
    assert run.tensor("lstm", kind="activation", name=names[0]).axes == ("example", "timestep", "unit")
    state = model.gru(whole)[1].transpose(0, 1)
    tensor = run.tensor("gru", kind="activation", name="output 1")
    assert (tensor.shape, tensor.axes[0], tensor.axes[2]) == ((8, 1, 4), "example", "unit")
    np.testing.assert_allclose(kept(run, "gru", "activation", "output 1"), array(state), rtol=1e-5, atol=1e-6)
    for name, parameter in model.lstm.named_parameters():
        np.testing.assert_array_equal(kept(run, "lstm", "weight", name), turned(parameter), err_msg=name)
    assert feeding(run)["head"] == ["gru"] and feeding(run)["gru"] == ["lstm"]


def test_the_state_of_packed_sequences_has_examples_first(tmp_path: Path) -> None:
    networks.seed()

    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, [3, 2, 2, 1], batch_first=True)
            return self.lstm(packed)[1][0][-1]

    model, x = Packed(), torch.randn(4, 3, 6)
    run = recorded(model, tmp_path, x)
    states = [t for t in run.tensors if t.layer == "lstm" and t.kind == "activation" and len(t.shape) == 3]
    assert [(t.shape, t.axes[0], t.axes[2]) for t in states] == 2 * [((4, 1, 4), "example", "unit")]
    np.testing.assert_allclose(kept(run, "lstm", "activation", states[0].name)[:, 0], array(model(x)), rtol=1e-5)


@pytest.mark.parametrize("cell", ["LSTMCell", "GRUCell", "RNNCell"])
def test_a_cells_weights_have_units_last(cell: str, tmp_path: Path) -> None:
    networks.seed()

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, cell)(6, 5)

        def forward(self, x: torch.Tensor) -> Any:
            return self.cell(x)

    model = Loop()
    run = recorded(model, tmp_path, ROWS)
    for name, parameter in model.cell.named_parameters():
        np.testing.assert_array_equal(kept(run, "cell", "weight", name), turned(parameter), err_msg=name)


# Weights of other layouts.


def _as_is(weight: torch.Tensor) -> np.ndarray:
    return array(weight)


@pytest.mark.parametrize(
    ("make", "x", "order"),
    [
        (lambda: nn.Conv1d(3, 5, 2), torch.randn(4, 3, 6), (2, 1, 0)),
        (lambda: nn.Conv3d(2, 5, 2), torch.randn(4, 2, 3, 3, 3), (2, 3, 4, 1, 0)),
        (lambda: nn.ConvTranspose2d(3, 5, 2), torch.randn(4, 3, 6, 6), (2, 3, 0, 1)),
        (lambda: nn.Conv2d(4, 8, 3, groups=2), torch.randn(4, 4, 6, 6), (2, 3, 1, 0)),
        (lambda: nn.Embedding(9, 5), torch.randint(0, 9, (4, 3)), (0, 1)),
        (lambda: nn.Bilinear(3, 3, 5), (torch.randn(4, 3), torch.randn(4, 3)), (1, 2, 0)),
    ],
    ids=["Conv1d", "Conv3d", "ConvTranspose2d", "groups", "Embedding", "Bilinear"],
)
@pytest.mark.covers(
    "Keras: functional, several inputs and outputs",
)
def test_weights_are_turned_so_that_outputs_come_last(
    make: Callable[[], Any], x: Any, order: Any, tmp_path: Path
) -> None:
    model = nn.ModuleDict({"part": make()})
    part = model["part"]

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = part

        def forward(self, *taken: torch.Tensor) -> torch.Tensor:
            return self.part(*taken)

    run = recorded(Around(), tmp_path, (x,))
    np.testing.assert_array_equal(kept(run, "part", "weight", "weight"), array(part.weight.permute(order)))


# Types, forms and calls.


@pytest.mark.covers(
    "Keras: layers shared or called in a loop",
)
def test_a_module_that_is_called_by_two_names(tmp_path: Path) -> None:
    networks.seed()
    model = networks.TwoNames()
    run = recorded(model, tmp_path, (ROWS, LABELS), loss=functional.cross_entropy)
    outputs, x = [], ROWS
    for i in range(3):
        x = model.first(x if not i else torch.tanh(x))
        outputs.append(x)
    for i, truth in enumerate(outputs):
        found = kept(run, "first", "activation", call=i)
        np.testing.assert_allclose(found, array(truth), rtol=1e-5, atol=1e-6)
    assert [t.call for t in run.tensors if t.layer == "act" and t.kind == "activation"] == [0, 1]
    assert {t.function for t in run.tensors if t.layer == "act" and t.kind == "activation"} == {"tanh"}
    assert {t.layer for t in run.tensors} == {"input", "first", "act", "head"}
    assert feeding(run) == {"input": [], "first": ["input", "act"], "act": ["first"], "head": ["first"]}
    functional.cross_entropy(model(ROWS), LABELS).backward()
    found = kept(run, "first", "gradient", "weight")
    np.testing.assert_allclose(found, turned(model.first.weight.grad), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("way", ["recorder", "watch"])
def test_a_scalar_is_logged_whatever_its_type(way: str, tmp_path: Path) -> None:
    """A module in bfloat16 has a loss in bfloat16, which numpy does not have."""
    networks.seed()
    model = networks.mlp()
    types = (torch.bfloat16, torch.float8_e5m2, torch.float16, torch.float64, torch.int64)
    told: dict[str, Any] = {str(dtype): torch.tensor(3.0, requires_grad=True).to(dtype) for dtype in types}
    told |= {"number": 3, "none": torch.ones(2)}
    if way == "recorder":
        with lv.LayerRecorder(model, tmp_path, (ROWS, LABELS), schedule=1) as recorder:
            recorder.record(1, told)
    else:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with lv.watch(model, tmp_path, optimizer, schedule=1) as watching:
            functional.cross_entropy(model(ROWS), LABELS).backward()
            watching.told = told
            optimizer.step()
    run = LayerReader(tmp_path).run()
    assert run.steps[-1] == 1
    assert {run.scalars[name][-1] for name in (*map(str, types), "number")} == {3.0}
    assert "none" not in run.scalars


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.covers(
    "Keras: Sequential",
    "Keras: float64",
)
def test_values_of_other_types_are_the_modules_own(dtype: torch.dtype, tmp_path: Path) -> None:
    networks.seed()
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)
    x = ROWS.to(dtype)
    run = recorded(model, tmp_path, (x, LABELS), loss=functional.cross_entropy)
    assert {t.dtype for t in run.tensors if t.kind != "update"} == {str(dtype).removeprefix("torch.")}
    given = x
    for i, part in enumerate(model):
        given = part(given)
        np.testing.assert_array_equal(kept(run, str(i), "activation"), array(given))
    functional.cross_entropy(given, LABELS).backward()
    for i in (0, 2):
        np.testing.assert_array_equal(kept(run, str(i), "weight", "weight"), turned(model[i].weight))
        np.testing.assert_array_equal(kept(run, str(i), "gradient", "weight"), turned(model[i].weight.grad))


@pytest.mark.covers(
    "Keras: mixed_bfloat16",
)
def test_what_is_watched_under_automatic_casts_is_logged_under_them(tmp_path: Path) -> None:
    networks.seed()
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with lv.watch(model, tmp_path, optimizer, **OPTIONS):
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(ROWS), LABELS)
        loss.backward()
        given = model[0].weight.grad.clone()
        optimizer.step()
        with torch.autocast("cpu", torch.bfloat16):
            truth = model[0](ROWS)
    run = LayerReader(tmp_path).run()
    assert run.tensor("0", kind="activation").dtype == "bfloat16"
    np.testing.assert_array_equal(kept(run, "0", "activation", step=1), array(truth))
    np.testing.assert_array_equal(kept(run, "0", "gradient", "weight", step=1), turned(given))


@pytest.mark.parametrize("is_fused", [True, False])
@pytest.mark.covers(
    "Keras: mixed_float16",
)
def test_gradients_are_unscaled_and_skipped_steps_are_none(is_fused: bool, tmp_path: Path) -> None:
    networks.seed()
    model = networks.mlp()
    model[2].p = 0.0
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, fused=is_fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    truths, skipped = [], 0
    with lv.watch(model, tmp_path, optimizer, **OPTIONS):
        while len(truths) < 3:
            optimizer.zero_grad()
            loss = 8 * functional.cross_entropy(model(ROWS), LABELS)
            (truth,) = torch.autograd.grad(loss, [model[0].weight], retain_graph=True)
            scaler.scale(loss).backward()
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            if scaler.get_scale() < before:
                skipped += 1
            else:
                truths.append(turned(truth))
    assert skipped
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == [0, 1, 2, 3]
    for step, truth in enumerate(truths, start=1):
        np.testing.assert_allclose(kept(run, "0", "gradient", "weight", step), truth, rtol=1e-5, atol=1e-8)


@pytest.mark.covers("Keras: Embedding, gradient not densified")
def test_a_sparse_gradient_on_the_probe_is_of_the_rows_that_were_looked_up(tmp_path: Path) -> None:
    networks.seed()
    model, x, y = networks.Sparse(), TOKENS[:2], LABELS[:2]
    run = recorded(model, tmp_path, (x, y), loss=functional.cross_entropy)
    functional.cross_entropy(model(x), y).backward()
    rows = x.unique()  # in the order in which PyTorch joins them
    assert 0 < len(rows) < networks.WORDS and model.embedding.weight.grad.is_sparse
    found = kept(run, "embedding", "gradient", "weight")
    np.testing.assert_allclose(found, array(model.embedding.weight.grad)[rows], rtol=1e-6, atol=1e-9)


class TwoOptimizers:
    """A training with one optimizer for the embedding, and one for the head, which steps after it."""

    def __init__(self, folder: Path) -> None:
        networks.seed()
        model: Any = networks.Sparse()
        of_embedding, of_head = networks.TRAININGS["sparse"].optimizers(model)
        self.weights, self.given, self.states = [copy.deepcopy(model)], [{}], [{}]
        with lv.watch(model, folder, [of_embedding, of_head], **EVERYTHING):
            for _ in range(3):
                of_embedding.zero_grad()
                of_head.zero_grad()
                functional.cross_entropy(model(TOKENS[:2]), LABELS[:2]).backward()
                self.given.append({name: turned(p.grad.to_dense()) for name, p in model.named_parameters()})
                of_embedding.step()
                of_head.step()
                self.weights.append(copy.deepcopy(model))
                self.states.append(
                    {
                        "embedding": array(of_embedding.state[model.embedding.weight]["exp_avg"]),
                        "head": turned(of_head.state[model.head.weight]["momentum_buffer"]),
                    }
                )
        self.run = LayerReader(folder).run()


@pytest.fixture(scope="module")
def two_optimizers(tmp_path_factory: pytest.TempPathFactory) -> TwoOptimizers:
    return TwoOptimizers(tmp_path_factory.mktemp("two"))


def test_a_sparse_gradient_is_that_of_all_rows_when_watched(two_optimizers: TwoOptimizers) -> None:
    run, of = two_optimizers.run, two_optimizers
    assert run.tensor("embedding", kind="weight").axes == ("token", "unit")
    for step in (2, 3):
        given = of.given[step]["embedding.weight"].T  # which is not turned
        np.testing.assert_allclose(kept(run, "embedding", "gradient", "weight", step), given, rtol=1e-6, atol=1e-9)
        weight = array(of.weights[step].embedding.weight)
        np.testing.assert_array_equal(kept(run, "embedding", "weight", "weight", step), weight)
        found = kept(run, "embedding", "optimizer", "weight/momentum", step)
        np.testing.assert_array_equal(found, of.states[step]["embedding"])


def test_what_a_second_optimizer_keeps_is_logged_too(two_optimizers: TwoOptimizers) -> None:
    kept_of = {tensor.layer for tensor in two_optimizers.run.tensors if tensor.kind == "optimizer"}
    assert kept_of == {"embedding", "head"}, two_optimizers.run.model.notes


def test_what_a_second_optimizer_does_in_a_step_belongs_to_that_step(two_optimizers: TwoOptimizers) -> None:
    run, of = two_optimizers.run, two_optimizers
    for step in (2, 3):
        weight = of.weights[step].head.weight
        np.testing.assert_array_equal(kept(run, "head", "weight", "weight", step), turned(weight))
        np.testing.assert_array_equal(kept(run, "head", "gradient", "weight", step), of.given[step]["head.weight"])
        update = turned(weight - of.weights[step - 1].head.weight)
        np.testing.assert_array_equal(kept(run, "head", "update", "weight", step), update)


@pytest.mark.covers(
    "Keras: inputs and outputs as dicts",
    "Keras: inputs and outputs as tuples",
)
def test_the_parts_of_a_structure_have_its_names(tmp_path: Path) -> None:
    networks.seed()
    for kind in (dict, networks.Outputs, networks.Given2):
        model = networks.Routed(kind)
        run = recorded(model, tmp_path / kind.__name__, ROWS)
        hidden = model.routes["left"](ROWS) * model.routes["right"](ROWS)
        name = "output hidden" if kind is not networks.Given2 else "output 1"
        found = [t for t in run.tensors if t.layer == "Routed" and t.kind == "activation"]
        assert [t.name for t in found] == [name], kind
        np.testing.assert_allclose(kept(run, "Routed", "activation", name), array(hidden), rtol=1e-5, atol=1e-6)
        assert run.tensor("routes/right/1", kind="activation").function == "silu"
        assert feeding(run)["Routed"] == ["routes/left", "routes/right/1"]


@pytest.mark.covers(
    "Keras: functional, several inputs and outputs",
    "Keras: inputs and outputs as dicts",
)
def test_a_module_that_is_called_by_names_and_knows_its_loss(tmp_path: Path) -> None:
    networks.seed()
    training = networks.TRAININGS["by name"]
    model: Any = training.make()
    model.dropout.p = 0.0
    run = recorded(model, tmp_path, training.probe, loss=training.loss)
    assert run.model.notes == ()
    loss = model(**training.x)["loss"]
    loss.backward()
    assert run.scalars["probe_loss"][0] == pytest.approx(float(loss.detach()), rel=1e-6)
    found = kept(run, "classifier", "gradient", "weight")
    np.testing.assert_allclose(found, turned(model.classifier.weight.grad), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(kept(run, "input/attention_mask", "activation"), array(training.x["attention_mask"]))


@pytest.mark.parametrize("way", ["recorder", "watch"])
def test_a_normalisation_that_is_kept_in_inference_mode_is_so_on_the_probe(way: str, tmp_path: Path) -> None:
    """Though the module is in inference mode as a whole whenever a step is logged."""
    networks.seed()
    model = networks.ResNet(0.0)
    model.stem[1].running_mean.fill_(0.5)
    model.stem[1].eval()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    if way == "recorder":
        recorder = lv.LayerRecorder(model, tmp_path, (IMAGES, LABELS), loss=functional.cross_entropy, **OPTIONS)
        functional.cross_entropy(model(IMAGES), LABELS).backward()
        optimizer.step()
        model.eval()
        recorder.record(1)
        recorder.close()
    else:
        with lv.watch(model, tmp_path, optimizer, **OPTIONS):
            functional.cross_entropy(model(IMAGES), LABELS).backward()
            model.eval()
            optimizer.step()
    run = LayerReader(tmp_path).run()
    truth = model.stem[1].eval()(model.stem[0](IMAGES))
    np.testing.assert_allclose(kept(run, "stem/1", "activation", step=1), last(truth), rtol=1e-4, atol=1e-5)
    other = model.blocks[0].norm1.train()(model.blocks[0].conv1(torch.relu(truth)))
    np.testing.assert_allclose(kept(run, "blocks/0/norm1", "activation", step=1), last(other), rtol=1e-4, atol=1e-4)


def test_weights_that_parametrizations_make_are_logged_by_what_they_are_made_of(tmp_path: Path) -> None:
    networks.seed()
    model: Any = networks.spectral()
    twin = copy.deepcopy(model)
    run = recorded(model, tmp_path, (ROWS, LABELS), loss=functional.cross_entropy)
    assert run.model.notes == ()
    given = ROWS
    functional.cross_entropy(model(ROWS), LABELS).backward()
    for i, part in enumerate(twin):
        given = part(given)
        np.testing.assert_allclose(kept(run, str(i), "activation"), array(given), rtol=1e-5, atol=1e-6)
    original = model[0].parametrizations.weight.original
    np.testing.assert_array_equal(kept(run, "0", "weight", "weight original"), turned(original))
    found = kept(run, "0", "gradient", "weight original")
    np.testing.assert_allclose(found, turned(original.grad), rtol=1e-5, atol=1e-7)
    for name in ("original0", "original1"):
        truth = getattr(model[2].parametrizations.weight, name)
        np.testing.assert_array_equal(kept(run, "2", "weight", f"weight {name}"), turned(truth))


FUNCTIONS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "relu": (torch.relu, "relu"),
    "F.relu": (functional.relu, "relu"),
    "tanh": (torch.tanh, "tanh"),
    "method tanh": (lambda x: x.tanh(), "tanh"),
    "sigmoid": (torch.sigmoid, "sigmoid"),
    "gelu": (functional.gelu, "gelu"),
    "silu": (functional.silu, "silu"),
    "leaky_relu": (functional.leaky_relu, "leaky_relu"),
    "elu": (functional.elu, "elu"),
    "selu": (functional.selu, "selu"),
    "softplus": (functional.softplus, "softplus"),
    "softsign": (functional.softsign, "softsign"),
    "softmax": (lambda x: x.softmax(-1), "softmax"),
    "relu6": (functional.relu6, "relu6"),
    "hardtanh": (functional.hardtanh, "hard_tanh"),
    "hardswish": (functional.hardswish, "hard_silu"),
    "hardsigmoid": (functional.hardsigmoid, "hard_sigmoid"),
    "mish": (functional.mish, "mish"),
    "logsigmoid": (functional.logsigmoid, "log_sigmoid"),
    "log_softmax": (lambda x: x.log_softmax(-1), "log_softmax"),
    "ReLU": (nn.ReLU(), "relu"),
    "GELU": (nn.GELU(), "gelu"),
    "ReLU6": (nn.ReLU6(), "relu6"),
    "Hardtanh": (nn.Hardtanh(), "hard_tanh"),
    "LogSigmoid": (nn.LogSigmoid(), "log_sigmoid"),
    "none": (lambda x: x * 2, ""),
}


class Ending(nn.Module):
    """A layer that ends with an activation function."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.inner, self.function = nn.Linear(6, 8), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.inner(x))


def test_activation_functions_are_told_by_keras_names(tmp_path: Path) -> None:
    found = {}
    for number, (name, (function, _)) in enumerate(FUNCTIONS.items()):
        run = recorded(nn.Sequential(Ending(function)), tmp_path / str(number), ROWS)
        outputs = [t for t in run.tensors if t.kind == "activation" and t.layer not in ("input", "0/inner")]
        assert len(outputs) == 1, name
        found[name] = outputs[0].function
    assert found == {name: truth for name, (_, truth) in FUNCTIONS.items()}


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (nn.ReLU6(), -math.inf, 6.0),
        (functional.relu6, -math.inf, 6.0),
        (nn.Hardtanh(), -1.0, 1.0),
        (nn.Hardtanh(-2.0, 2.0), -2.0, 2.0),
        (lambda x: functional.hardtanh(x, -2.0, 2.0), -2.0, 2.0),
    ],
    ids=["ReLU6", "relu6", "Hardtanh", "Hardtanh of other bounds", "hardtanh of other bounds"],
)
def test_what_is_saturated_is_at_the_functions_bounds(function: Any, low: float, high: float, tmp_path: Path) -> None:
    run = recorded(nn.Sequential(Ending(function)), tmp_path, 10 * ROWS)
    output = next(t for t in run.tensors if t.kind == "activation" and t.layer not in ("input", "0/inner"))
    values = run.values(output, 0).array
    assert (values >= high).any()
    found = run.statistics("saturated")[output][0]
    truth = ((values <= low) | (values >= high)).mean()
    assert math.isnan(found) or found == pytest.approx(truth, rel=1e-5)


def test_a_weight_that_no_loss_depends_on_and_a_module_that_is_not_called_are_told(tmp_path: Path) -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.aside, self.never = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.aside(x)
            return self.used(x)

    run = recorded(Unused(), tmp_path, (ROWS, LABELS), loss=functional.cross_entropy)
    notes = "\n".join(run.model.notes)
    assert "aside: the loss does not depend on weight" in notes
    assert "Their activations are left out: never" in notes
    unused = [(t.layer, t.name) for t in run.tensors if t.kind == "weight" and t.layer == "Unused"]
    assert unused == [("Unused", "never/weight"), ("Unused", "never/bias")]
    assert [t.layer for t in run.tensors if t.kind == "gradient" and t.name == "weight"] == ["used"]


@pytest.mark.covers(
    "Keras: models with no loss",
)
def test_without_a_loss_activations_and_weights_are_logged_and_that_is_said(tmp_path: Path) -> None:
    run = recorded(networks.mlp(), tmp_path, ROWS)
    assert {t.kind for t in run.tensors} == {"activation", "weight", "update"}
    assert [note for note in run.model.notes if "no loss" in note]


def test_targets_of_the_probe_are_those_that_were_given(tmp_path: Path) -> None:
    model = nn.Linear(6, 3)
    several = {"kind": LABELS[:4], "size": torch.arange(4, dtype=torch.bfloat16) / 4, "share": 0.5, "name": "a"}
    run = recorded(model, tmp_path / "several", (ROWS[:4], several))
    found = run.targets()
    assert sorted(found) == ["kind", "share", "size"] and found["share"].shape == ()
    np.testing.assert_array_equal(found["kind"], LABELS[:4].numpy())
    assert found["size"].dtype == np.float32 and found["size"].tolist() == [0, 0.25, 0.5, 0.75]
    assert "the probe's target 'name' is left out: it is a str, no array of numbers" in run.model.notes
    run = recorded(model, tmp_path / "sparse", (ROWS[:4], torch.eye(4).to_sparse()))
    assert run.targets() == {}
    assert "the probe's target is left out: it is a sparse or nested tensor" in run.model.notes
    run = recorded(model, tmp_path / "complex", (ROWS[:4], torch.ones(4, dtype=torch.complex64)))
    assert "the probe's target is left out: it is of dtype complex64" in run.model.notes
    assert recorded(model, tmp_path / "none", ROWS).targets() == {}
