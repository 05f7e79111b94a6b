"""A model's own `train_step` on PyTorch: its gradients are logged, and the training does not notice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402
from models_on_torch import differing, left_by  # noqa: E402

from tb_layerview import Keep, LayerReader, LayerViewCallback  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

layers = keras.layers
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)
rng = np.random.default_rng(5)
X = rng.normal(size=(40, 6)).astype(np.float32)
Y = rng.normal(size=(40, 3)).astype(np.float32)
SEEN: list[int] = []


class Own(keras.Model):
    """Trains by hand: its loss is a hundred times the squared error, and its gradients are clipped."""

    def train_step(self, data: Any) -> Any:
        """As Keras' documentation has it for PyTorch."""
        x, y = data
        self.zero_grad()
        loss = 100 * keras.ops.mean((self(x, training=True) - y) ** 2)
        loss.backward()
        weights = self.trainable_weights
        gradients = [v.value.grad.clamp(-1, 1) for v in weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, weights)
        self.after(loss)
        return {"loss": loss}

    def after(self, loss: Any) -> None:
        """What else it does."""


class Counting(Own):
    """Counts in Python."""

    steps = 0

    def after(self, loss: Any) -> None:
        """Its own attribute, and a list that its code names."""
        self.steps += 1
        SEEN.append(self.steps)


class Taking(Own):
    """Takes from an iterator of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.others = iter(range(1000))

    def after(self, loss: Any) -> None:
        """What is taken from it here, a later step lacks."""
        SEEN.append(next(self.others))


class Stepping(Own):
    """Has an optimizer of torch's own."""

    def after(self, loss: Any) -> None:
        """Makes it at once."""
        if not hasattr(self, "of_torch"):
            object.__setattr__(self, "of_torch", torch.optim.SGD([v.value for v in self.trainable_weights], 0.01))
        self.of_torch.step()


class Warming(Own):
    """Sets its learning rate, and writes to its optimizer's variables."""

    def after(self, loss: Any) -> None:
        """By Keras' own method, and past it."""
        self.optimizer.learning_rate.assign(self.optimizer.learning_rate * 0.9)
        self.optimizer.variables[2].value.add_(1e-3)


class Gan(keras.Model):
    """Two models, two optimizers, and no call of its own."""

    def __init__(self) -> None:
        """Makes both models."""
        super().__init__()
        self.generator = keras.Sequential([layers.Input((2,)), layers.Dense(6, name="made")], name="generator")
        self.discriminator = keras.Sequential(
            [
                layers.Input((6,)),
                layers.Dense(4, "relu", name="looked"),
                layers.Dropout(0.2),
                layers.Dense(1, name="told"),
            ],
            name="discriminator",
        )
        self.seeds = keras.random.SeedGenerator(3)
        self.built = True

    def compile(self, **options: Any) -> None:
        """Takes a second optimizer."""
        super().compile(optimizer=keras.optimizers.Adam(0.01), **options)
        self.of_generator = keras.optimizers.Adam(0.02)

    def train_step(self, data: Any) -> Any:
        """First the one, then the other."""
        real = data[0] if isinstance(data, tuple) else data
        bce = keras.losses.BinaryCrossentropy(from_logits=True)
        losses = {}
        ones, zeros = torch.ones((len(real), 1)), torch.zeros((len(real), 1))
        for name, model, optimizer in (
            ("loss", self.discriminator, self.optimizer),
            ("generator_loss", self.generator, self.of_generator),
        ):
            fake = self.generator(keras.random.normal((len(real), 2), seed=self.seeds), training=True)
            told = self.discriminator(fake, training=True)
            if name == "loss":
                loss = bce(zeros, told) + bce(ones, self.discriminator(real, training=True))
            else:
                loss = bce(ones, told)
            for variable in (*self.generator.trainable_weights, *self.discriminator.trainable_weights):
                variable.value.grad = None
            loss.backward()
            weights = model.trainable_weights
            with torch.no_grad():
                optimizer.apply([v.value.grad for v in weights], weights)
            losses[name] = loss.detach()
        return losses


def run_of(folder: Path) -> Run:
    """What was logged."""
    return LayerReader(folder).run()


def made(base: Any, **optimizer: Any) -> Any:
    """A model of a class."""
    SEEN.clear()
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    if base is Gan:
        model = Gan()
        model.compile()
        return model
    taken = keras.Input((6,))
    hidden = layers.Dropout(0.2)(layers.Dense(5, activation="tanh", name="hidden")(taken))
    model = base(taken, layers.Dense(3, name="scores")(hidden))
    model.compile(keras.optimizers.Adam(0.01, **optimizer))
    return model


def trained(base: Any, folder: Path | None) -> tuple[Any, dict[str, bytes], list[int], Any]:
    """History, what is left, and what was seen in Python."""
    model = made(base)
    callbacks = [] if folder is None else [LayerViewCallback(folder, schedule=1, keep=EXACT)]
    history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history
    left = left_by(model)
    if base is Gan:
        left |= {f"of generator {i}": v.numpy().tobytes() for i, v in enumerate(model.of_generator.variables)}
    return history, left, list(SEEN), model


@pytest.mark.parametrize("base", [Own, Counting, Taking, Stepping, Warming, Gan])
def test_the_training_is_the_same(base: Any, tmp_path: Path) -> None:
    """To the last bit, with what its code has done in Python, and the other optimizer's state."""
    history, left, seen, _ = trained(base, None)
    history_with, left_with, seen_with, _ = trained(base, tmp_path)
    assert history == history_with
    assert differing(left, left_with) == []
    assert seen == seen_with
    assert list(run_of(tmp_path).steps) == list(range(11))


def test_gradients_are_those_that_reach_the_optimizer(tmp_path: Path) -> None:
    """Clipped, and of the loss that the step computes; by torch's backward on the same weights."""
    model = made(Own)
    weights = [w.copy() for w in model.get_weights()]
    probe = X[:16], Y[:16]
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path, probe, schedule=1, keep=EXACT)])
    run = run_of(tmp_path)
    assert "gradients are what this model's own train_step gives its optimizers on the probe" in run.model.notes
    assert "probe_loss is what train_step returns as 'loss'" in run.model.notes
    w1, b1, w2, b2 = map(torch.tensor, weights)
    taken = run.values(run.tensor("dropout", kind="activation"), 0).array
    hidden = torch.tanh(torch.tensor(probe[0]) @ w1 + b1)
    w2.requires_grad_()
    loss = 100 * ((torch.tensor(taken) @ w2 + b2 - torch.tensor(probe[1])) ** 2).mean()
    loss.backward()
    assert bool((w2.grad.abs() > 1).any())
    found = run.values(run.tensor("scores", kind="gradient", name="kernel"), 0).array
    np.testing.assert_allclose(found, w2.grad.clamp(-1, 1).numpy(), rtol=1e-5, atol=1e-6)
    assert run.scalars["probe_loss"][0] == pytest.approx(float(loss.detach()), rel=1e-5)
    np.testing.assert_allclose(
        run.values(run.tensor("hidden", kind="activation"), 0).array, hidden.numpy(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("base", "why"),
    [
        (Counting, "running it changes"),
        (Taking, "it may take from an iterator (range_iterator)"),
        (Stepping, "it steps an optimizer of torch's own"),
    ],
)
def test_a_step_that_cannot_be_repeated_is_not(base: Any, why: str, tmp_path: Path) -> None:
    """Then the gradients are those of the compiled loss, of which there is none here; that is said."""
    trained(base, tmp_path)
    notes = run_of(tmp_path).model.notes
    assert any("of this model's train_step cannot be had" in note or "not of this model's" in note for note in notes), (
        notes
    )
    assert any(why in note for note in notes), notes


def test_both_models_of_a_gan_are_logged(tmp_path: Path) -> None:
    """The gradients of the second one are taken after the first optimizer has stepped; by hand."""
    _, _, _, model = trained(Gan, tmp_path)
    run = run_of(tmp_path)
    kinds = {(t.layer, t.kind) for t in run.tensors}
    for layer in ("generator/made", "discriminator/looked", "discriminator/told"):
        assert {(layer, kind) for kind in ("activation", "weight", "gradient", "update")} <= kinds
    assert {t.call for t in run.tensors if t.layer == "discriminator/told" and t.kind == "activation"} == {0, 1, 2}
    # One step from the same state by hand.
    model = made(Gan)
    keys = [v.path for v in model.generator.trainable_weights]
    noted: list[Any] = []
    apply = model.of_generator.apply
    model.discriminator.layers[1].rate = 0  # `fit` draws from the generator that dropout draws from
    model.of_generator.apply = lambda g, w: noted.append([one.clone().numpy() for one in g]) or apply(g, w)
    model.train_step((torch.as_tensor(X[:8]), torch.as_tensor(Y[:8])))
    model = made(Gan)
    model.discriminator.layers[1].rate = 0
    probe = X[:8], Y[:8]
    model.fit(
        X, Y, batch_size=8, shuffle=False, verbose=0, callbacks=[LayerViewCallback(tmp_path / "one", probe, keep=EXACT)]
    )
    one = run_of(tmp_path / "one")
    assert keys[0].endswith("kernel")
    found = one.values(one.tensor("generator/made", kind="gradient", name="kernel"), 0).array
    np.testing.assert_allclose(found, noted[0][0], rtol=1e-5, atol=1e-7)


def test_a_scale_that_is_too_large_is_made_smaller_for_the_pass_alone(tmp_path: Path) -> None:
    """Of a step that scales its loss itself."""

    class Scaling(Own):
        def train_step(self, data: Any) -> Any:
            x, y = data
            self.zero_grad()
            loss = keras.ops.mean((self(x, training=True) - y) ** 2)
            self.optimizer.scale_loss(loss * 1e30).backward()
            weights = self.trainable_weights
            with torch.no_grad():
                self.optimizer.apply([v.value.grad for v in weights], weights)
            return {"loss": loss}

    results = []
    for folder in (None, tmp_path):
        model = made(Scaling)
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-30), initial_scale=2.0**40))
        callbacks = [] if folder is None else [LayerViewCallback(folder, schedule=1, keep=EXACT)]
        history = model.fit(X, Y, batch_size=8, verbose=0, callbacks=callbacks).history
        results.append((history, left_by(model)))
    assert results[0][0] == results[1][0]
    assert differing(results[0][1], results[1][1]) == []
    run = run_of(tmp_path)
    gradient = run.digest(run.tensor("scores", kind="gradient", name="kernel"), 0)
    assert gradient.nan == 0
    assert 1e28 < gradient.rms < 1e31
