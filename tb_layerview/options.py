"""What to log, when, and how much to keep: three small values that check themselves."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tb_layerview.format.model import KINDS, MOST_VALUES, USUAL_KINDS, Kind

if TYPE_CHECKING:  # numpy is not imported before someone needs it
    from tb_layerview.format.arrays import Precision


@dataclasses.dataclass(frozen=True)
class Select:
    """Which layers and which of their tensors to log.

    A pattern is matched as in a shell (`*`, `?`, `[abc]`) against a layer's whole path and against its class name:
    `encoder/*`, `*conv*`, `Conv2D`.

    Attributes:
      include: Patterns of layers to log.
      exclude: Patterns of layers to leave out, though they are included.
      kinds: Which kinds of tensors to log. All but `optimizer`, unless it is named: what the optimizer keeps of each
        weight, as Adam's moments.
      tensors: For a graph only: what to log besides, each as a layer of the class `Tensor` called like its operation.
        Names (`"dense/Relu:0"`), regular expressions (`re.compile("attention.*Softmax")`, searched for in the names)
        or `tf.Tensor`s. What a run neither computes nor feeds is left out of it.
      collections: For a graph only: names of collections, whose tensors and variables are logged in the same way.

    Raises:
      TypeError: A field is a single thing instead of a tuple, or a member of `tensors` is not of one of those types.
      ValueError: A kind is unknown, or there is nothing to include.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = USUAL_KINDS
    tensors: tuple[Any, ...] = ()
    collections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                raise TypeError(f"Select({field.name}={value!r}) is a string; give a tuple: {field.name}=({value!r},)")
            if isinstance(value, re.Pattern) or _is_of_graph(value):
                raise TypeError(f"Select({field.name}={value!r}) is a single thing; give a tuple: {field.name}=(...,)")
            object.__setattr__(self, field.name, tuple(value))
        for item in self.tensors:
            if not isinstance(item, (str, re.Pattern)) and not _is_of_graph(item):
                raise TypeError(
                    "Select(tensors=...) takes names, compiled regular expressions and tensors of a graph, not "
                    f"{item!r}"
                )
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown:
            raise ValueError(f"Select(kinds=...) knows no kind {unknown[0]!r}; the kinds are {', '.join(KINDS)}")
        if not (self.include and self.kinds) and not self.names_tensors:
            raise ValueError("Select(...) selects nothing: include and kinds must not be empty")

    @property
    def names_tensors(self) -> bool:
        """Whether tensors of a graph are selected besides the layers."""
        return bool(self.tensors or self.collections)

    def refuse_tensors(self) -> None:
        """For what logs no graph: makes sure that no tensors of one are selected.

        Raises:
          ValueError: Some are.
        """
        if self.names_tensors:
            field = "tensors" if self.tensors else "collections"
            raise ValueError(
                f"Select({field}=...) names tensors of a graph, which only LayerViewHook logs. A Keras model's are "
                "those of its layers: give include= and kinds=."
            )

    def takes(self, path: str, class_name: str = "") -> bool:
        """Whether the layer of this path and class is logged."""

        def matches(patterns: Iterable[str]) -> bool:
            return any(fnmatch.fnmatchcase(path, p) or fnmatch.fnmatchcase(class_name, p) for p in patterns)

        return matches(self.include) and not matches(self.exclude)

    def check(self, layers: Sequence[tuple[str, str]]) -> None:
        """Makes sure that each pattern matches one of the layers (path, class name).

        Raises:
          ValueError: A pattern matches none, or nothing remains to be logged.
        """
        names = ", ".join(path for path, _ in layers[:12]) + (", ..." if len(layers) > 12 else "")
        for word, patterns in (("include", self.include), ("exclude", self.exclude)):
            for pattern in patterns:
                if not any(fnmatch.fnmatchcase(n, pattern) for layer in layers for n in layer):
                    raise ValueError(f"{word} pattern {pattern!r} matches none of the {len(layers)} layers: {names}.")
        if layers and not self.names_tensors and not any(self.takes(*layer) for layer in layers):
            raise ValueError(
                f"Select(include={self.include!r}, exclude={self.exclude!r}) leaves none of the {len(layers)} layers: "
                f"{names}."
            )


def _is_of_graph(value: Any) -> bool:
    """Whether this is a tensor or a variable of a graph, as far as can be told without loading TensorFlow."""
    return hasattr(value, "graph") and (hasattr(value, "op") or hasattr(value, "values"))


@dataclasses.dataclass(frozen=True)
class Schedule:
    """At which steps to log.

    By default a *ladder*: every step up to 127, then 64 steps per octave, on multiples of powers of two. The overhead
    budget only drops rungs of it (every second, every fourth, ...), so that the steps of two runs nest and compare.
    The ladder's *core*, every step up to 15 and then 8 steps per octave, is logged whatever it costs: no gap is longer
    than a seventh of the training so far. A resumed training has its octaves counted from where it goes on.
    With `every` or `steps` given, these steps are logged, whatever that costs, and with them step 0, which
    changes are seen against, and the last one.

    Attributes:
      every: Log the steps that are multiples of this, exactly.
      steps: Log these steps, exactly.
      budget: The share of the training time, 0 to 1, that logging may take on the ladder, set-up apart. What the core
        takes beyond it is paid back: meanwhile no other step is logged.

    Raises:
      ValueError: A number is out of its range, or both `every` and `steps` are given.
    """

    every: int | None = None
    steps: tuple[int, ...] | None = None
    budget: float = 0.02

    def __post_init__(self) -> None:
        if self.every is not None and (isinstance(self.every, bool) or int(self.every) != self.every or self.every < 1):
            raise ValueError(f"the step interval must be a whole number of at least 1, not {self.every!r}")
        if self.every is not None and self.steps is not None:
            raise ValueError("Schedule takes either every= or steps=, not both")
        if self.steps is not None:
            object.__setattr__(self, "steps", tuple(sorted(set(self.steps))))
            if not self.steps or self.steps[0] < 0:
                raise ValueError(f"Schedule(steps=...) wants steps of at least 0, and at least one, not {self.steps!r}")
        if not 0 < self.budget <= 1:
            raise ValueError(
                f"Schedule(budget=...) is a share of the training time, above 0 and up to 1, not {self.budget!r}"
            )

    @property
    def is_ladder(self) -> bool:
        """Whether the steps are those of the ladder, within the budget."""
        return self.every is None and self.steps is None

    def wants(self, step: int, since: int = 0) -> bool:
        """Whether the schedule, its budget apart, logs this step.

        Args:
          step: The step.
          since: At which step the training began.
        """
        if self.every is not None:
            return step % self.every == 0
        if self.steps is not None:
            return step in self._step_set
        return is_rung(step, since)

    @property
    def _step_set(self) -> frozenset[int]:
        cached = self.__dict__.get("_steps_as_set")
        if cached is None:
            cached = frozenset(self.steps or ())
            object.__setattr__(self, "_steps_as_set", cached)
        return cached

    def in_words(self) -> str:
        """A sentence's worth of it, for the screen."""
        if self.every is not None:
            return f"every {self.every} steps" if self.every > 1 else "every step"
        if self.steps is not None:
            return f"{len(self.steps)} chosen steps"
        return (
            f"every step up to {2 * RUNGS - 1}, then {RUNGS} per octave, within {100 * self.budget:g} % of the "
            f"training time, but never fewer than {CORE} per octave"
        )


#: How many rungs per octave the ladder has.
RUNGS = 64
#: How many of them are its core, which is logged whatever it costs.
CORE = 8


def age(step: int, since: int = 0) -> int:
    """How many steps a training has had, of which `since` were there when it began; all, where it has gone back."""
    return step - since if step >= since else step


def interval(step: int, per_octave: int = RUNGS) -> int:
    """The distance between rungs at this step: 1 below 2 * per_octave, then a power of two."""
    return max(1, (1 << (step.bit_length() - 1)) // per_octave) if step else 1


def is_rung(step: int, since: int = 0, per_octave: int = RUNGS) -> bool:
    """Whether a step is on the ladder that has so many rungs per octave.

    The octaves are counted from where the training began, so that a resumed one is seen from its first step on as a new
    one is. The rungs are multiples of powers of two all the same: they are among those of a training that was not
    interrupted, where that one is logged as densely.

    Args:
      step: The step.
      since: At which step the training began.
      per_octave: How many rungs, a power of two; sparser ladders are parts of denser ones.
    """
    return step % interval(age(step, since), per_octave) == 0


def roundest(before: int, step: int) -> int:
    """The multiple of the largest power of two among the steps after `before`, up to `step`."""
    while step and (rounder := step & (step - 1)) > before:
        step = rounder
    return step


def as_schedule(schedule: Schedule | int) -> Schedule:
    """A schedule, or the one that logs every so many steps.

    Raises:
      TypeError: It is neither.
      ValueError: The interval is not at least 1.
    """
    if isinstance(schedule, Schedule):
        return schedule
    if isinstance(schedule, bool) or not isinstance(schedule, int):
        raise TypeError(f"schedule must be a Schedule or a number of steps, not {schedule!r}")
    return Schedule(every=schedule)


@dataclasses.dataclass(frozen=True)
class Keep:
    """How much to keep of what is logged. Statistics are always of the whole tensor.

    Attributes:
      activations: The most values to keep of an activation, for pictures; 0 keeps none, and 2**26 is the most.
      weights: The most values to keep of a weight.
      gradients: The most values to keep of a gradient, an update, or what an optimizer keeps of a weight.
      examples: Down to how many examples of an activation before anything else is left out.
      units: Whether to keep statistics per unit.
      precision: How kept values are stored: `float16` under a power-of-two scale, or exactly: `float32`, `float64`.
      max_bytes: The most bytes that a run may write. On the ladder it is planned before the first step, for 100,000 of
        them, how often each part is kept: values give way first, then units, histograms, and at last rungs. With
        `Schedule(every=...)` or `(steps=...)` the parts are left out in that order as the cap nears.
      source: Whether to keep where each layer is called: the file, relative to the working folder, and the line.
      targets: Whether to keep the targets of those examples of the probe whose activations are kept, at most 64 KiB.

    Raises:
      ValueError: A number is out of its range, or `source` or `targets` is neither True nor False.
    """

    activations: int = 65_536
    weights: int = 16_384
    gradients: int = 0
    examples: int = 2
    units: bool = True
    precision: Precision = "float16"
    max_bytes: int = 500_000_000
    source: bool = True
    targets: bool = True

    def __post_init__(self) -> None:
        for name, least in (("activations", 0), ("weights", 0), ("gradients", 0), ("examples", 1), ("max_bytes", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"Keep({name}=...) must be a whole number of at least {least}, not {value!r}")
            if name in ("activations", "weights", "gradients") and value > MOST_VALUES:
                raise ValueError(f"Keep({name}=...) must be at most {MOST_VALUES:,}, not {value!r}")
        if self.precision not in ("float16", "float32", "float64"):
            raise ValueError(f"Keep(precision=...) must be float16, float32 or float64, not {self.precision!r}")
        for name in ("source", "targets"):
            if getattr(self, name) not in (True, False):
                raise ValueError(f"Keep({name}=...) must be True or False, not {getattr(self, name)!r}")

    def budget(self, kind: Kind) -> int:
        """The most values to keep of a tensor of this kind."""
        return {"activation": self.activations, "weight": self.weights}.get(kind, self.gradients)


class CopiedUnused:
    """What is copied and pickled as it was before it was used: with its options, and what a subclass adds to them.

    A search copies its callbacks for each trial, and what a used one holds cannot be copied: a thread, an open log.
    """

    def _options(self) -> dict[str, Any]:
        """The arguments of the class that defines this method."""
        raise NotImplementedError

    def __getstate__(self) -> tuple[dict[str, Any], dict[str, Any]]:
        options = self._options()
        unused = self._class().__new__(self._class())
        self._class().__init__(unused, **options)
        return options, {name: value for name, value in self.__dict__.items() if name not in unused.__dict__}

    def __setstate__(self, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
        options, added = state
        self._class().__init__(self, **options)
        self.__dict__.update(added)

    def _class(self) -> Any:
        return next(c for c in type(self).__mro__ if "_options" in vars(c))
