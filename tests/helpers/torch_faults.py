"""Faults that are planted in small trainings of PyTorch modules, and what is known of each.

Each is a function that makes the training with the fault, or its twin without.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch_trainings import BATCH, Case, batch_number, in_words, linear, problem, stack

from tb_layerview.format.model import USUAL_KINDS, Kind
from tb_layerview.health.finding import Finding

STEPS = 24
SGD, Adam = torch.optim.SGD, torch.optim.Adam


def sgd(rate: float, **options: Any) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda parameters: SGD(parameters, rate, **options)


def adam(rate: float) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda parameters: Adam(parameters, rate)


# Numbers that are none.


class Share(nn.Module):
    """Divides by the largest of what it takes: by zero where an example is all zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.abs().amax(1, keepdim=True)


def an_empty_example(is_faulty: bool) -> Case:
    """One example of the eighth batch is all zeros; a module in the middle divides by its largest element."""
    x, y = problem(STEPS)
    if is_faulty:
        x[batch_number(7)][5] = 0
    features = nn.Linear(8, 16, bias=False)
    model = stack(features=features, share=Share(), hidden=linear(16, 16), act=nn.Tanh(), score=linear(16, 1))
    return Case(model, x, y)


# Units.


def _hidden(units: int, low: int, rate: float = 0.1) -> Case:
    """ReLUs of which the first so many have a bias of -50."""
    model = stack(hidden=linear(8, units), relu=nn.ReLU(), second=linear(units, 16), act=nn.Tanh(), score=linear(16, 1))
    model.hidden.bias.data[:low] = -50
    return Case(model, *problem(STEPS), optimizer=sgd(rate))


def biases_far_below_zero(is_faulty: bool) -> Case:
    """All biases before a ReLU start at -50."""
    return _hidden(16, 16 * is_faulty)


def most_units_dead(is_faulty: bool) -> Case:
    """Of 64 ReLUs 60 have a bias of -50."""
    return _hidden(64, 60 * is_faulty)


def six_in_ten_units_dead(is_faulty: bool) -> Case:
    """Of 60 ReLUs 36 have a bias of -50: too few to call the layer silent."""
    return _hidden(60, 36 * is_faulty)


def all_units_alike(is_faulty: bool) -> Case:
    """A layer's weights start at one number, and so do those of the next one."""
    model = stack(hidden=linear(8, 16), act=nn.Tanh(), alike=linear(16, 16), act_2=nn.Tanh(), score=linear(16, 1))
    if is_faulty:
        for layer in (model.alike, model.score):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)
    return Case(model, *problem(STEPS), optimizer=sgd(0.1))


# Activations.


def a_gate_that_is_always_open(is_faulty: bool) -> Case:
    """A gate's biases are 100: its sigmoid is 1 whatever it is given."""
    model = stack(hidden=linear(8, 16), act=nn.Tanh(), gate=linear(16, 16), open=nn.Sigmoid(), score=linear(16, 1))
    if is_faulty:
        nn.init.constant_(model.gate.bias, 100.0)
    return Case(model, *problem(STEPS), optimizer=sgd(0.1))


class Pool(nn.Module):
    """The mean over the timesteps; or over the examples, by a wrong number of the axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(self.axis, keepdim=True) + 0 * x


def examples_averaged_away(is_faulty: bool) -> Case:
    """A module takes its mean over the examples instead of the timesteps: all examples become the same."""
    x = torch.randn(STEPS * BATCH, 6, 8, generator=torch.Generator().manual_seed(0))
    parts = {"act": nn.Tanh(), "pool": Pool(0 if is_faulty else 1), "flatten": nn.Flatten(), "score": linear(96, 1)}
    return Case(stack(features=linear(8, 16), **parts), x, x[:, 0, :1], optimizer=sgd(0.01))


def inputs_not_scaled(is_faulty: bool) -> Case:
    """The features are of thousands, and go into a tanh."""
    x, y = problem(STEPS)
    model = stack(hidden=linear(8, 16), act=nn.Tanh(), score=linear(16, 1))
    return Case(model, 1000 * x if is_faulty else x, y)


def weights_start_too_small(is_faulty: bool) -> Case:
    """The weights of six layers start at a hundredth of what is right, and their biases at zero."""
    parts: dict[str, Any] = {}
    for i in range(6):
        parts |= {f"hidden_{i}": linear(16, 16), f"act_{i}": nn.Tanh()}
    model = stack(**parts, score=linear(16, 1))
    for i in range(6):
        layer = getattr(model, f"hidden_{i}")
        nn.init.normal_(layer.weight, std=0.002 if is_faulty else 0.3)
        nn.init.zeros_(layer.bias)
    return Case(model, *problem(STEPS, 16), optimizer=sgd(0.01))


def moving_statistics_that_do_not_move(is_faulty: bool) -> Case:
    """A BatchNorm's momentum of 1e-6 (PyTorch's, of what is new) never learns what it needs in inference mode."""
    x, y = problem(64)
    norm = nn.BatchNorm1d(8, momentum=1e-6 if is_faulty else 0.1)
    return Case(stack(norm=norm, hidden=linear(8, 16), act=nn.ReLU(), score=linear(16, 1)), 30 * x + 100, y)


# Gradients.


class Gain(nn.Module):
    """Gives what it is given; the gradient that comes back is multiplied by a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach() + self.factor * (x - x.detach())


def _with_gain(at_first: float, factors: Mapping[int, float], optimizer: Any) -> Case:
    """Two layers with a gain between them, whose factor is set when so many steps have been made."""
    gain = Gain(at_first)
    model = stack(hidden=linear(8, 16), act=nn.Tanh(), gain=gain, score=linear(16, 1))

    def before(step: int, _: Any) -> None:
        gain.factor = factors.get(step, gain.factor)

    return Case(model, *problem(STEPS), optimizer=optimizer, before=before)


def a_product_with_zero(is_faulty: bool) -> Case:
    """Between two layers the gradient is multiplied by zero; Adam's momentum has something to go on with, at first."""
    return _with_gain(1.0, {9: 0.0} if is_faulty else {}, adam(1e-3))


def gradient_lost_between_two_layers(is_faulty: bool) -> Case:
    """Between two layers the gradient is multiplied by 1e-8."""
    return _with_gain(1e-8 if is_faulty else 1.0, {}, sgd(0.01))


def gradient_that_a_gate_closes_on(is_faulty: bool) -> Case:
    """From the tenth step on the first layer's gradient is 8 millionths of what it was, that of the last is not."""
    return _with_gain(1.0, {9: 8e-6} if is_faulty else {}, adam(1e-3))


def gradient_that_doubles(is_faulty: bool) -> Case:
    """From the tenth step on a gradient is twice as large at each; Adam's steps are no larger for that."""
    return _with_gain(1.0, {k: 2.0 ** (k - 9) for k in range(9, STEPS)} if is_faulty else {}, adam(1e-3))


def gradient_that_jumps_once(is_faulty: bool) -> Case:
    """At the 16th step a gradient is 1,000 times too large; Adam's steps are hardly larger for that."""
    return _with_gain(1.0, {15: 1000.0, 16: 1.0} if is_faulty else {}, adam(1e-3))


# Weights.


def an_optimizer_of_another_head(is_faulty: bool) -> Case:
    """The optimizer is made before the head is replaced: it trains one that is no longer there."""
    model = stack(hidden=linear(8, 16), act=nn.Tanh(), head=linear(16, 1))
    optimizer = None if not is_faulty else Adam(model.parameters(), 1e-3)
    model.head = nn.Linear(16, 1)
    return Case(model, *problem(STEPS), optimizer=optimizer or adam(1e-3))


def weight_decay_far_too_large(is_faulty: bool) -> Case:
    """A weight decay of 6 at a learning rate of 0.1: each step takes 60 % of each weight."""
    model = stack(hidden=linear(8, 16), act=nn.Tanh(), second=linear(16, 16), act_2=nn.Tanh(), score=linear(16, 1))
    return Case(model, *problem(STEPS), optimizer=sgd(0.1, weight_decay=6.0 if is_faulty else 1e-4))


def a_rate_that_jumps(is_faulty: bool) -> Case:
    """After the 16th step the learning rate is 300 times what it was."""

    def before(step: int, optimizer: torch.optim.Optimizer) -> None:
        if step == 16 and is_faulty:
            optimizer.param_groups[0]["lr"] *= 300

    model = stack(hidden=linear(8, 16), act=nn.Tanh(), score=linear(16, 1))
    return Case(model, *problem(STEPS), optimizer=sgd(1e-4), before=before)


def a_rate_far_too_low(is_faulty: bool) -> Case:
    """Adam at a rate of a billionth."""
    model = stack(hidden=linear(8, 16), act=nn.Tanh(), score=linear(16, 1))
    return Case(model, *problem(STEPS), optimizer=adam(1e-9 if is_faulty else 1e-3))


# Attention.

TOKENS, WIDTH, HEADS = 8, 16, 4


class Attends(nn.Module):
    """Has to find whether a token is there, by attention to the other tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(20, WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.score = nn.Linear(WIDTH, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.embedding(tokens))
        result: torch.Tensor = self.score((x + self.attention(x, x, x, need_weights=False)[0]).mean(1))
        return result


def _attending(
    spoil: Callable[..., None] | None,
    optimizer: Any = Adam,
    steps: int = STEPS,
    kinds: tuple[Kind, ...] = USUAL_KINDS,
) -> Case:
    """`spoil` changes the weights of queries, keys, values [WIDTH, WIDTH] each, and of the output."""
    torch.manual_seed(3)
    model = Attends()
    tokens = torch.rand(steps * BATCH, 20).argsort(1)[:, :TOKENS]  # no token twice in an example
    if spoil is not None:
        with torch.no_grad():
            spoil(*model.attention.in_proj_weight.chunk(3), model.attention.out_proj.weight)
    return Case(model, tokens, (tokens == 3).any(1, keepdim=True).float(), optimizer=optimizer, kinds=kinds)


def attention_on_one_position(is_faulty: bool) -> Case:
    """The queries' weights start 1,000 times too large: every query looks at one position."""

    def spoil(q: torch.Tensor, *_: Any) -> None:
        q.mul_(1000)

    return _attending(spoil if is_faulty else None)


def attention_that_stays_even(is_faulty: bool) -> Case:
    """The weights of queries and keys start thirty times too small, and plain gradient descent leaves them so."""

    def spoil(q: torch.Tensor, k: torch.Tensor, *_: Any) -> None:
        q.mul_(0.03)
        k.mul_(0.03)

    return _attending(spoil if is_faulty else None, sgd(0.01), steps=112, kinds=("activation",))


def attention_whose_heads_are_alike(is_faulty: bool) -> Case:
    """All heads start from the same numbers, and so they stay alike."""

    def spoil(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, out: torch.Tensor) -> None:
        for weight in (q, k, v):
            heads = weight.unflatten(0, (HEADS, -1))
            heads.copy_(2 * heads[:1].clone().expand_as(heads))
        heads = out.unflatten(1, (HEADS, -1))
        heads.copy_(heads[:, :1].clone().expand_as(heads))

    return _attending(spoil if is_faulty else None)


# More of them, as people make them in PyTorch.


def relus_in_place_far_below_zero(is_faulty: bool) -> Case:
    """All biases before a ReLU start at -50, which writes its zeros over what it takes."""
    case = _hidden(16, 16 * is_faulty)
    case.model.relu.inplace = True
    return case


class Shared(nn.Module):
    """One ReLU, in place, behind two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.second, self.score = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.score(self.relu(self.second(self.relu(self.hidden(x)))))
        return result


def the_second_call_of_a_relu(is_faulty: bool) -> Case:
    """All biases of the second layer are -50: of a ReLU that both layers have the second call is silent."""
    model = stack(net=Shared).net
    if is_faulty:
        nn.init.constant_(model.second.bias, -50.0)
    return Case(model, *problem(STEPS), optimizer=sgd(0.1))


class Encoded(nn.Module):
    """An encoder, and a score of what it gives."""

    def __init__(self, is_detached: bool, is_frozen: bool) -> None:
        super().__init__()
        self.encoder, self.score = nn.Linear(8, 16), nn.Linear(16, 1)
        self.encoder.requires_grad_(not is_frozen)
        self.is_detached = is_detached

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.encoder(x))
        result: torch.Tensor = self.score(hidden.detach() if self.is_detached else hidden)
        return result


def an_encoder_that_is_detached(is_faulty: bool) -> Case:
    """What the encoder gives is detached. Its twin's is frozen, on purpose: `requires_grad_(False)` is no fault."""
    return Case(stack(net=lambda: Encoded(is_faulty, not is_faulty)).net, *problem(STEPS), optimizer=sgd(0.1))


def a_rate_of_zero(is_faulty: bool) -> Case:
    """The learning rate is zero: no weight moves at all."""
    return _hidden(16, 0, 0.0 if is_faulty else 0.1)


def updates_lost_in_bfloat16(is_faulty: bool) -> Case:
    """Weights in bfloat16 are trained at a rate whose steps are less than their last bit."""
    x, y = (given.bfloat16() for given in problem(STEPS))
    model = stack(hidden=linear(8, 16), act=nn.Tanh(), score=linear(16, 1)).bfloat16()
    return Case(model, x, y, optimizer=sgd(1e-4 if is_faulty else 0.1))


class Recurrent(nn.Module):
    """A recurrence of ReLUs, whose state is read at the end."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.rnn, self.score = nn.RNN(2, 8, nonlinearity="relu", batch_first=True), nn.Linear(8, 1)
        with torch.no_grad():
            self.rnn.weight_hh_l0.copy_(gain * torch.eye(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.score(self.rnn(x)[0][:, -1])
        return result


def a_recurrence_that_overflows(is_faulty: bool) -> Case:
    """A recurrence multiplies its state by 30 at each of 60 timesteps."""
    model = stack(net=lambda: Recurrent(30.0 if is_faulty else 0.5)).net
    x = torch.randn(STEPS * BATCH, 60, 2, generator=torch.Generator().manual_seed(0))
    return Case(model, x, x[:, -1, :1], optimizer=sgd(0.01))


class Length(nn.Module):
    """The length of each example: its gradient at zero is 0 times infinity."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sqrt((x * x).sum(-1, keepdim=True))


def the_gradient_of_a_root_at_zero(is_faulty: bool) -> Case:
    """One example of the probe is all zeros, and so is its length."""
    x, y = problem(STEPS)
    if is_faulty:
        x[4] = 0
    model = stack(features=nn.Linear(8, 16, bias=False), length=Length(), score=linear(1, 1))
    return Case(model, x, y, optimizer=sgd(1e-3))


def a_bad_label_in_the_probe(is_faulty: bool) -> Case:
    """One label of the first batch is NaN: all activations are finite, the gradient of what is lost is not."""
    case = _hidden(16, 0)
    case.y[3] = torch.nan if is_faulty else 0.0
    return case


def a_bad_label_outside_the_probe(is_faulty: bool) -> Case:
    """One label of the sixth batch is NaN."""
    case = _hidden(16, 0)
    case.y[batch_number(5)][9] = torch.nan if is_faulty else 0.0
    return case


class Unit(nn.Module):
    """A block that has a layer, and divides by itself: by zero where an example is all zero."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 16, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.inner(x)
        return hidden / hidden.abs().sum(1, keepdim=True)


def a_block_that_divides_by_itself(is_faulty: bool) -> Case:
    """One example of the eighth batch is all zeros, and a block divides what its layer gives by its sum."""
    x, y = problem(STEPS)
    if is_faulty:
        x[batch_number(7)][5] = 0
    relu, dropout = nn.ReLU(inplace=True), nn.Dropout(0.1)
    return Case(stack(unit=Unit, relu=relu, dropout=dropout, score=linear(16, 1)), x, y)


class Detached(nn.Module):
    """A product with zero is all that is left of the gradient on the way to the first layer."""

    def __init__(self, is_faulty: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 1)
        self.is_faulty = is_faulty

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        result: torch.Tensor = self.second(torch.tanh(0 * hidden + hidden.detach() if self.is_faulty else hidden))
        return result


def a_stopped_gradient(is_faulty: bool) -> Case:
    """No gradient but zero reaches a layer."""
    return Case(stack(net=lambda: Detached(is_faulty)).net, *problem(STEPS), optimizer=sgd(0.1))


def sigmoids_one_behind_another(is_faulty: bool) -> Case:
    """Fourteen layers of sigmoids lose what tells examples apart, and then the gradient."""
    parts: dict[str, Any] = {"hidden": linear(8, 16)}
    for i in range(14 if is_faulty else 2):
        parts |= {f"hidden_{i}": linear(16, 16), f"act_{i}": nn.Sigmoid()}
    return Case(stack(**parts, score=linear(16, 1)), *problem(STEPS), optimizer=sgd(0.1))


def a_bad_batch_of_targets(is_faulty: bool) -> Case:
    """The targets of the 16th batch are 10,000 times what they were."""
    x, y = problem(STEPS)
    if is_faulty:
        y[batch_number(15)] *= 1e4
    return Case(stack(hidden=linear(8, 16), act=nn.Tanh(), score=linear(16, 1)), x, y, optimizer=sgd(1e-2))


class ByFunction(nn.Module):
    """Self-attention by PyTorch's function, over eight positions, with scores of a scale."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.embed, self.qkv, self.out = nn.Linear(1, 16), nn.Linear(16, 48), nn.Linear(16, 1)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.qkv(self.embed(x[..., None])).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in parts)
        attended = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)
        result: torch.Tensor = self.out(attended.transpose(1, 2).flatten(2)).mean(1)
        return result


def attention_by_a_function_on_one_position(is_faulty: bool) -> Case:
    """Scores are of hundreds before the softmax."""
    return Case(stack(net=lambda: ByFunction(2e3 if is_faulty else 0.35)).net, *problem(STEPS))


# A NaN that others only pass on.


class Root(nn.Module):
    """The root of what it takes, less something: NaN where that is more."""

    def __init__(self) -> None:
        super().__init__()
        self.less = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sqrt(x - self.less)


class Residual(nn.Module):
    """Two layers beside which what they take is passed on, through a ReLU and a Dropout that write in place."""

    def __init__(self, is_in_place: bool) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(16, 16), nn.Linear(16, 16), nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.1, inplace=is_in_place)
        self.is_in_place = is_in_place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.dropout(self.second(self.relu(self.first(x))))
        if self.is_in_place:
            hidden += x
            return hidden
        return hidden + x


#: Behind the one that makes it, those that pass it on, in their order.
PASSING = ("relu", "dropout", "block/first", "block/relu", "block/second", "block/dropout", "norm", "score")


def passed_on(is_in_place: bool, bad: int | None = None, since: int | None = None) -> Case:
    """A root whose NaN go through a ReLU, a Dropout and a residual block.

    Args:
      is_in_place: Whether Dropout and sum write over what they take, as the ReLU does.
      bad: The example that is less than 0.
      since: After which step, if after any, the root is of numbers that are less than 0 in the probe, too.
    """
    x = 0.5 + torch.rand(STEPS * BATCH, 16, generator=torch.Generator().manual_seed(0))
    y = x[:, :1] * x[:, 1:2]
    if bad is not None:
        x[bad, 3] = -1
    root = Root()

    def before(step: int, _: Any) -> None:
        root.less = 0.6 if since is not None and step >= since else 0.0

    parts: dict[str, Any] = {"relu": nn.ReLU(inplace=True), "dropout": nn.Dropout(0.1, inplace=is_in_place)}
    block = functools.partial(Residual, is_in_place)
    model = stack(root=root, **parts, block=block, norm=nn.LayerNorm(16), score=linear(16, 1))
    return Case(model, x, y, optimizer=sgd(0.01), before=before)


@dataclasses.dataclass(frozen=True)
class Planted:
    """What is known of a fault.

    Attributes:
      rule: The one that finds it.
      layer: Where it is.
      kind: Of what tensor.
      first: The step since which, or the first and the last that it may be. Gradients are watched from step 1 on.
      watched: Where `watch` finds it, layer and kind, if that is another place; nothing in it: it cannot say where.
    """

    rule: str
    layer: str
    kind: str
    first: int | tuple[int, int]
    watched: tuple[str, ...] | None = None

    def assert_leads(self, found: tuple[Finding, ...], way: str) -> None:
        """It comes first, and all else follows from it."""
        report = f"expected {self}, {way}:\n{in_words(found)}"
        assert found and found[0].rule == self.rule, report
        assert [f for f in found if f.follows is None] == [found[0]], report
        least = 1 if way == "watch" and self.kind == "gradient" else 0
        first, last = (self.first, self.first) if isinstance(self.first, int) else self.first
        assert max(first, least) <= found[0].first <= max(last, least), report
        where = (found[0].tensor.layer, found[0].tensor.kind) if found[0].tensor else ()
        is_here = way == "recorder" or self.watched is None
        assert where == ((self.layer, self.kind) if is_here else self.watched), report


Makes = Callable[[bool], Case]
NON_FINITE = functools.partial(Planted, "non_finite")
#: Of each rule one...
OF_EACH: dict[Makes, Planted] = {
    an_empty_example: NON_FINITE("share", "activation", 8, ()),
    biases_far_below_zero: Planted("silent_layer", "relu", "activation", 0),
    most_units_dead: Planted("silent_units", "relu", "activation", 0),
    six_in_ten_units_dead: Planted("dead_units", "relu", "activation", 1),
    all_units_alike: Planted("alike_units", "alike", "activation", 0),
    a_gate_that_is_always_open: Planted("constant_output", "open", "activation", 0),
    examples_averaged_away: Planted("collapsed_representation", "pool", "activation", 0),
    inputs_not_scaled: Planted("saturated_activation", "act", "activation", 0),
    weights_start_too_small: Planted("depth_scale", "hidden_3", "activation", 0),
    moving_statistics_that_do_not_move: Planted("train_inference_shift", "norm", "activation", (50, 64)),
    a_product_with_zero: Planted("zero_gradient", "hidden", "gradient", 10),
    gradient_lost_between_two_layers: Planted("vanishing_gradient", "hidden", "gradient", 0),
    gradient_that_a_gate_closes_on: Planted("fading_gradient", "hidden", "gradient", 10),
    gradient_that_doubles: Planted("exploding_gradient", "hidden", "gradient", (10, STEPS)),
    gradient_that_jumps_once: Planted("gradient_spike", "hidden", "gradient", 16),
    an_optimizer_of_another_head: Planted("unmoved_weight", "head", "update", 1),
    weight_decay_far_too_large: Planted("update_ratio", "hidden", "update", 1),
    a_rate_that_jumps: Planted("update_spike", "hidden", "update", 17),
    a_rate_far_too_low: Planted("small_update", "hidden", "update", 1),
    attention_on_one_position: Planted("collapsed_attention", "attention", "activation", 0),
    attention_that_stays_even: Planted("uniform_attention", "attention", "activation", 100),
    attention_whose_heads_are_alike: Planted("alike_heads", "attention", "activation", 0),
}
#: ... and more.
MORE: dict[Makes, Planted] = {
    relus_in_place_far_below_zero: Planted("silent_layer", "relu", "activation", 0),
    the_second_call_of_a_relu: Planted("silent_layer", "relu", "activation", 0),
    an_encoder_that_is_detached: Planted("unmoved_weight", "encoder", "update", 1),
    a_rate_of_zero: Planted("unmoved_weight", "hidden", "update", 1),
    updates_lost_in_bfloat16: Planted("unmoved_weight", "hidden", "update", 1),
    a_recurrence_that_overflows: NON_FINITE("rnn", "activation", 0),
    the_gradient_of_a_root_at_zero: NON_FINITE("features", "gradient", 0, ("features", "weight")),
    a_bad_label_in_the_probe: NON_FINITE("score", "gradient", 0, ()),
    a_bad_label_outside_the_probe: NON_FINITE("score", "gradient", 6, ()),
    a_block_that_divides_by_itself: NON_FINITE("unit", "activation", 8, ()),
    a_stopped_gradient: Planted("zero_gradient", "first", "gradient", 0),
    sigmoids_one_behind_another: Planted("collapsed_representation", "act_3", "activation", 0),
    a_bad_batch_of_targets: Planted("update_spike", "hidden", "update", 16),
    attention_by_a_function_on_one_position: Planted("collapsed_attention", "ByFunction", "activation", 0),
}
ALL = {**OF_EACH, **MORE}
