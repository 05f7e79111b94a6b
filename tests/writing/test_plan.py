"""The plan holds the byte cap for the whole ladder, and what it expects is what is written."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from pathlib import Path

import numpy as np
import pytest

from tb_layerview import Keep, LayerReader, LayerViewCallback, Schedule
from tb_layerview.format import units as units_format
from tb_layerview.format import values as values_format
from tb_layerview.format.model import Kind, Layer, Model, Tensor, default_axes
from tb_layerview.format.values import choose
from tb_layerview.measure.host import measure
from tb_layerview.options import CORE, is_rung
from tb_layerview.writing.log_files import LogFiles
from tb_layerview.writing.plan import Plan, _most_bytes
from tb_layerview.writing.step import Measured, Step
from tb_layerview.writing.training_log import TrainingLog

LADDER = [step for step in range(100_000) if Schedule().wants(step)]
MB = 1_000_000


def tensor(layer: int, kind: Kind, name: str, shape: tuple[int, ...], function: str = "") -> Tensor:
    return Tensor(layer, kind, name, shape, "float32", axes=default_axes(kind, len(shape)), function=function)


@functools.cache
def resnet50(examples: int = 32) -> list[Tensor]:
    """All that is logged of a ResNet-50 of 96 × 96 pixels: its activations, weights and gradients."""
    from any_keras import keras

    tensors = []
    for i, layer in enumerate(keras.applications.ResNet50(weights=None, input_shape=(96, 96, 3)).layers):
        outputs = layer.output[0] if isinstance(layer.output, list) else layer.output
        function = getattr(getattr(layer, "activation", None), "__name__", "")
        tensors.append(tensor(i, "activation", "output", (examples, *outputs.shape[1:]), function))
        tensors += [tensor(i, "weight", w.name, tuple(w.shape)) for w in layer.weights]
        tensors += [tensor(i, "gradient", w.name, tuple(w.shape)) for w in layer.trainable_weights]
    return tensors


def billion() -> list[Tensor]:
    """The shapes of a made-up transformer of a billion parameters."""
    width, tensors = 2048, []
    kernels = {"query": width, "key": width, "value": width, "project": width, "up": 4 * width}
    for i in range(20):
        for name, units in kernels.items():
            tensors.append(tensor(i, "activation", name, (32, 1024, units)))
            for kind in ("weight", "gradient"):
                tensors += [tensor(i, kind, name, (width, units)), tensor(i, kind, f"{name} bias", (units,))]
        for kind in ("weight", "gradient"):
            tensors.append(tensor(i, kind, "down", (4 * width, width)))
    assert sum(np.prod(t.shape) for t in tensors if t.kind == "weight") == pytest.approx(1e9, rel=0.02)
    return tensors


MODELS = {"resnet50": resnet50, "billion": billion}


def expected(plan: Plan, ladder: list[int] = LADDER) -> dict[str, float]:
    """What is written part by part, by the plan's sizes, step by step; the last step is kept whole."""
    sizes, rates = plan.sizes, plan.rates
    logged = [step for step in ladder if plan.wants(step)]
    measured = {0: measure(np.arange(6.0).reshape(3, 2), units=True)}
    total = {"steps": (len(logged) + 1) * sizes.steps, "histograms": 0.0, "units": 0.0, "values": 0.0}
    for step in logged:
        fitted = plan.fit(step, measured, 0, "float16")
        assert fitted is not None
        whole = plan.wants_values(step)
        total["histograms"] += sizes.histograms * (whole or fitted[0].cells is not None)
        total["units"] += sizes.units * (whole or fitted[0].units is not None)
        total["values"] += sizes.values * whole
    return {part: size + getattr(sizes, part) * (part != "steps" and rates[part] >= 0) for part, size in total.items()}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("resnet50", marks=pytest.mark.covers("What and when: the plan holds the cap, ResNet-50")),
        pytest.param(
            "billion", marks=pytest.mark.covers("What and when: the plan holds the cap, a billion parameters")
        ),
    ],
)
@pytest.mark.parametrize("cap", [5, 20, 100, 500, 2000, 20_000])
@pytest.mark.core("5-*", "500-*", "20000-*")
def test_the_plan_holds_the_cap_for_the_whole_ladder(model: str, cap: int) -> None:
    plan = Plan.of(MODELS[model](), Schedule(), Keep(max_bytes=cap * MB))
    parts = expected(plan)
    assert sum(parts.values()) <= cap * MB
    assert plan.bytes == pytest.approx(sum(parts.values()))
    # And it uses it, unless there is no more to keep.
    assert sum(parts.values()) >= 0.6 * cap * MB or not plan.in_words()


@pytest.mark.parametrize("model", MODELS)
def test_by_default_every_rung_has_digests_and_late_steps_have_histograms(model: str) -> None:
    plan = Plan.of(MODELS[model](), Schedule(), Keep())
    assert [step for step in LADDER if plan.wants(step)] == LADDER
    late = {step: plan.fit(step, {0: measure(np.ones(3))}, 0, "float16") for step in LADDER if step >= 65_536}
    assert sum(fitted is not None and fitted[0].cells is not None for fitted in late.values()) >= 4


@pytest.mark.covers("What and when: Keep, the order of thinning")
@pytest.mark.once
def test_as_the_cap_shrinks_values_give_way_first_and_rungs_last() -> None:
    tensors = resnet50()
    counts = []
    for cap in (10_000, 3_000, 1_500, 1_000, 500, 200, 100, 50, 20, 10, 5, 2, 1):
        plan = Plan.of(tensors, Schedule(), Keep(max_bytes=cap * MB))
        parts = expected(plan)
        counts.append({part: parts[part] / getattr(plan.sizes, part) for part in parts})
    for larger, smaller in itertools.pairwise(counts):
        assert smaller["steps"] <= larger["steps"]
    first = {part: next(i for i, c in enumerate(counts) if c[part] < counts[0][part]) for part in counts[0]}
    assert first["values"] < first["units"] < first["histograms"] < first["steps"]
    for count in counts:
        assert count["values"] <= count["units"] <= count["steps"]


@pytest.mark.parametrize("cap", [1, 500])
def test_a_resumed_training_writes_as_much_as_a_new_one(cap: int) -> None:
    plan, since = Plan.of(resnet50(), Schedule(), Keep(max_bytes=cap * MB)), 12_345
    resumed = dataclasses.replace(plan, since=since)
    steps = range(since, since + 100_000)
    for wants, there in ((plan.wants, resumed.wants), (plan.wants_values, resumed.wants_values)):
        assert abs(sum(map(there, steps)) - sum(map(wants, range(100_000)))) <= 1
    # Where the one that was not interrupted is as dense, the steps are the same.
    assert {step for step in steps if plan.wants(step)} <= {step for step in steps if resumed.wants(step)}
    ladder = [step for step in steps if Schedule().wants(step, since)]
    one = sum(dataclasses.astuple(plan.sizes))
    assert sum(expected(resumed, ladder).values()) <= sum(expected(plan).values()) + one


def test_the_cap_thins_the_core_too_rather_than_end_the_log_early() -> None:
    plan = Plan.of(resnet50(), Schedule(), Keep(max_bytes=5 * MB))
    core = [step for step in LADDER if is_rung(step, per_octave=CORE)]
    assert 0 < sum(map(plan.wants, core)) < len(core)
    assert sum(expected(plan).values()) <= 5 * MB
    assert "at powers of two" in plan.in_words()[0] or "times per octave" in plan.in_words()[0]


def test_a_small_model_is_kept_whole_and_nothing_is_said() -> None:
    plan = Plan.of([tensor(0, "weight", "kernel", (64, 32))], Schedule(), Keep())
    assert plan.in_words() == ()
    # Eight times per octave: every step up to 15, then on multiples of powers of two.
    values = [step for step in LADDER if plan.wants_values(step)]
    assert values[:20] == [*range(17), 18, 20, 22]
    assert [step for step in values if 1024 <= step < 2048] == list(range(1024, 2048, 128))


def test_what_the_budget_leaves_out_is_said_with_the_way_out() -> None:
    (sentence,) = Plan.of(resnet50(), Schedule(), Keep()).in_words()
    assert "to stay below 500 MB in 100,000 steps" in sentence
    assert "values at every second power of two and the last step" in sentence
    assert "Keep(max_bytes=...) raises the cap" in sentence


def test_a_cap_that_not_even_the_least_fits_under_is_said_before_the_training() -> None:
    sentences = Plan.of(resnet50(), Schedule(), Keep(max_bytes=100_000)).in_words()
    assert "logging will end early, when 0.1 MB are written" in sentences[-1]


@pytest.mark.parametrize("schedule", [Schedule(every=3), Schedule(steps=(0, 5, 7))])
def test_given_steps_are_followed_exactly_whatever_the_cap(schedule: Schedule) -> None:
    plan = Plan.of(resnet50(), schedule, Keep(max_bytes=MB))
    assert [s for s in range(13) if plan.wants(s)] == [s for s in range(13) if schedule.wants(s)]
    assert plan.in_words() == ()


def bytes_by_part(folder: Path) -> dict[str, int]:
    """What the files hold: the events, and the pieces of the payload as the events say."""
    from tb_layerview.format import layerview_pb2 as pb
    from tb_layerview.reading import event_file

    (events,) = (path for path in (folder / "layers").iterdir() if event_file.is_event_file(path.name))
    messages, _ = event_file.read(events)
    total = {"steps": 0, "histograms": 0, "units": 0, "values": 0}
    for tag, logged in messages.items():
        if tag.endswith("/model"):
            total["steps"] -= sum(len(message.data) for message in logged)
            continue
        for message in logged:
            for columns in pb.StepRecord.FromString(message.data).columns:
                for part in ("histograms", "units", "values"):
                    total[part] += sum(getattr(columns, part).length)
    total["steps"] += events.stat().st_size
    return total


@pytest.mark.once
def test_the_sizes_are_those_that_a_resnets_shapes_take_on_disk(tmp_path: Path) -> None:
    tensors = [t for t in resnet50(examples=2) if t.kind != "gradient"]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=max(int(np.prod(t.shape)) for t in tensors)).astype(np.float32)
    keep, measured = Keep(), {}
    for i, t in enumerate(tensors):
        array = noise[: int(np.prod(t.shape))].reshape(t.shape)
        array = np.maximum(array, 0) if t.function == "relu" else array
        axes = choose(t.shape, t.axes, keep.budget(t.kind), keep.examples) if t.shape else None
        measured[i] = measure(array, units=True, keep=axes)
    log = LogFiles(tmp_path)
    log.write(0, measured)
    log.close()
    written, sizes = bytes_by_part(tmp_path), Plan.of(tensors, Schedule(), keep).sizes
    for part, size in written.items():
        assert getattr(sizes, part) == pytest.approx(size, rel=0.15), part


@pytest.mark.parametrize("cap", [500 * MB, 20 * MB])
@pytest.mark.once
def test_a_training_writes_what_was_planned(tmp_path: Path, cap: int) -> None:
    from any_keras import keras, layers

    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(16, 3, name="conv1"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Conv2D(32, 3, name="conv2"),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 12, 12, 1)).astype(np.float32), rng.integers(0, 10, 400)
    keep = Keep(max_bytes=cap)
    callback = LayerViewCallback(tmp_path, keep=keep, schedule=Schedule(budget=1.0))
    model.fit(x, y, batch_size=8, epochs=6, verbose=0, callbacks=[callback])
    run = LayerReader(tmp_path).run()
    plan = Plan.of(run.model.tensors, Schedule(), keep)
    written = bytes_by_part(tmp_path)
    wanted = expected(plan, [int(step) for step in run.steps[:-1]])
    assert sum(written.values()) == pytest.approx(sum(wanted.values()), rel=0.25)
    for part in wanted:
        assert written[part] == pytest.approx(wanted[part], rel=0.35), part
    assert list(run.model.notes) == list(plan.in_words())
    assert bool(plan.in_words()) == (cap < 500 * MB)


def test_the_most_that_a_step_may_take_holds_for_what_is_stored_as_float32() -> None:
    array = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
    for lowest in (-1.0, np.finfo(np.float32).min):
        array[3] = lowest
        measured = measure(array, units=True, keep=choose(array.shape, ("input", "unit"), 65_536, 2))
        assert measured.kept is not None and measured.units is not None
        most = _most_bytes({0: measured}, "float16")
        assert (
            len(values_format.encode(measured.kept, measured.kept_axes, "float16"))
            <= most["values"]
            <= 4.1 * array.size
        )
        assert len(units_format.encode(measured.units)) <= most["units"]


@pytest.mark.covers("What and when: Keep, the byte cap")
def test_the_cap_holds_where_more_is_written_than_planned(tmp_path: Path) -> None:
    keep = Keep(max_bytes=200_000, weights=65_536)
    session = TrainingLog(tmp_path, Schedule(budget=1.0), keep)
    # Described as small: what is logged is 16 times as large.
    session.describe(Model((Layer("dense"),), (tensor(0, "weight", "kernel", (8, 8)),)))
    session.begin(0)
    array = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
    axes = choose(array.shape, ("input", "unit"), 65_536, 2)
    for step in range(3000):
        if session.due(step):
            kept = axes if session.values_due(step) else None
            session.write(Step(step, (Measured({0: measure(array, units=True, keep=kept)}),)))
            session.flush()
    session.close()
    written = sum(path.stat().st_size for path in (tmp_path / "layers").iterdir())
    assert 0.9 * keep.max_bytes < written <= keep.max_bytes
    run = LayerReader(tmp_path).run()
    index = run.tensor("dense", kind="weight", name="kernel")
    values, units, histograms = (len(run.kept_steps(what, index)) for what in ("values", "units", "histogram"))
    assert 0 < values < units < histograms <= len(run.steps)
