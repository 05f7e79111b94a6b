"""What a step of `fit` was given: the training's own function, so that it also returns its batch."""

from __future__ import annotations

import contextlib
import inspect
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tb_layerview.capture.cluster import has_other_processes
from tb_layerview.capture.keras.steps import StepCounter
from tb_layerview.capture.keras.tf.autograph import unconverted
from tb_layerview.capture.keras.tf.finite import losses_are_finite, weights_are_finite
from tb_layerview.capture.keras.versions import steps_per_execution
from tb_layerview.capture.recording import Recording

_OURS = "_tb_layerview_returning_batch"
_OF_ITERATOR, _OF_BATCH = "multi_step_on_iterator", "one_step_on_data"  # within Keras 3's function
_ITERATORS = (tf.data.Iterator, tf.distribute.DistributedIterator)
# Operations whose kernels alone know how far the random numbers have come that they draw.
_DRAWING = re.compile(r"(Random[A-Z]\w*|\w*TruncatedNormal|Multinomial)$")


class Returned(NamedTuple):
    """What a training step returned.

    Attributes:
      logs: What Keras' function returns.
      batch: What it took from the iterator; for each replica a part, if there are several.
      is_finite: bool []: whether the loss is, as far as the logs tell, and the weights, which are looked at every
        second step.
    """

    logs: Any
    batch: Any
    is_finite: Any


class KeepingBatches:
    """Trains in place of Keras' function, and has what each step was given kept for a replay.

    Attributes:
      returning: The function that returns its batch.
      original: Keras' own.
    """

    def __init__(self, model: Any, train_function: Any, recording: Recording, counter: StepCounter) -> None:
        """Makes the function that returns its batch; it is traced when it is called.

        Args:
          model: The Keras model.
          train_function: Its function, to which there is no `why_no_last_batch`.
          recording: Whose replayer keeps the batches. What is left of an interrupted `fit` does not hold it.
          counter: Which step it is.
        """
        self._recording, self._counter = weakref.ref(recording), counter
        self.original, self.returning = train_function, returning_batch(model, train_function, self._looked_up)
        self._is_traced = self._is_drawing = False

    def __call__(self, iterator: Any) -> Any:
        """One training step."""
        recording = self._recording()
        if recording is None:
            return self.left(iterator)
        if not isinstance(iterator, _ITERATORS) or not self.can_trace(iterator):
            return self.original(iterator)
        replayer = recording.replayer
        if replayer is not None:
            replayer.before_step(self._counter.step)
        returned = self.returning(iterator)
        if replayer is not None:
            replayer.after_step(returned.batch, returned.is_finite)
        return returned.logs

    def _looked_up(self) -> frozenset[int]:
        """Ids of the weights of which a step changes few rows: a look at all of them would take many steps' time."""
        recording = self._recording()
        return frozenset() if recording is None else recording.looked_up

    def can_trace(self, iterator: Any) -> bool:
        """Whether the function can be traced; if not, Keras' own is asked, which says what is wrong if it cannot."""
        recording = self._recording()
        if not self._is_traced and recording is not None and hasattr(self.returning, "get_concrete_function"):
            with recording.log.guard("what a replay needs"):
                self._is_drawing = _draws(self.returning.get_concrete_function(iterator))
                self._is_traced = True
            return self._is_traced
        return True

    @property
    def left(self) -> Any:
        """What trains once nothing is kept any more: Keras' own function, but for random numbers."""
        return GoingOn(self.original, self.returning) if self._is_drawing else self.original


class GoingOn:
    """Trains with the function that has trained so far, of which nothing is kept any more.

    Keras 2's Dropout, and whatever else draws by `tf.random`, keeps in the function's kernels how far its random
    numbers have come: by another function they would begin anew, in a `fit` that follows and has no callback, too.

    Attributes:
      original: Keras' own function.
    """

    def __init__(self, original: Any, returning: Any) -> None:
        """Takes Keras' function, and the one that returns its batch."""
        self.original, self._returning = original, returning

    def __call__(self, iterator: Any) -> Any:
        """One training step."""
        return self._returning(iterator).logs if isinstance(iterator, _ITERATORS) else self.original(iterator)


def kerass(train_function: Any) -> Any:
    """Keras' own function, if it is that which a training before this one has left something in place of."""
    return train_function.original if isinstance(train_function, GoingOn) else train_function


def build(function: Any, iterator: Any, batches: Sequence[Any]) -> None:
    """Has the function that trains create what it needs: it is traced with what it will be given, and not run.

    Of what is traced for that nothing is traced again. A function that runs eagerly has nothing to trace.

    Args:
      function: Keras' own, or `KeepingBatches`.
      iterator: What it will be given; nothing is taken from it.
      batches: The first batch that it will give, if that is known.

    Raises:
      Exception: What tracing raises: the function raises it again when it is called, and says why.
    """
    is_iterator = isinstance(iterator, _ITERATORS)
    own = function.original if isinstance(function, KeepingBatches) else function
    if isinstance(function, KeepingBatches) and is_iterator:
        function.can_trace(iterator)
        return
    if hasattr(own, "get_concrete_function"):
        own.get_concrete_function(iterator)
        return
    # An iterator of Python is that of `train_on_batch`.
    arguments, name = ([iterator], _OF_ITERATOR) if is_iterator else (list(batches), _OF_BATCH)
    # Where it runs eagerly, there is nothing to trace within.
    trace = getattr(_within(own).get(name), "get_concrete_function", None)
    if trace is not None and arguments:
        trace(arguments[0])


def _within(train_function: Any) -> dict[str, Any]:
    """What is traced of Keras 3's function, which is a plain one: a function of an iterator, and one of a batch."""
    within: dict[str, Any] = {}
    with contextlib.suppress(ValueError):  # of one whose variables are not all set
        within = dict(inspect.getclosurevars(train_function).nonlocals) if inspect.isfunction(train_function) else {}
    return {
        name: inspect.unwrap(within[name], stop=lambda function: hasattr(function, "get_concrete_function"))
        for name in (_OF_ITERATOR, _OF_BATCH)
        if callable(within.get(name))
    }


def _has_drawn(train_function: Any) -> bool:
    """Whether Keras' own function has been traced, and draws random numbers that its kernels count."""
    functions = [train_function, *_within(train_function).values()]
    return any(_draws(traced) for function in functions for traced in _traced(function))


def _traced(function: Any) -> Iterator[Any]:
    # TensorFlow has no public way to list what was traced.
    yield from getattr(function, "_list_all_concrete_functions", list)()


def _draws(function: Any) -> bool:
    """Whether a traced function draws random numbers that its kernels count, and no variable."""
    graph = function.graph.as_graph_def()
    nodes = (*graph.node, *(node for called in graph.library.function for node in called.node_def))
    return any(_DRAWING.match(node.op) for node in nodes)


def why_no_last_batch(model: Any, train_function: Any) -> str | None:
    """Why the last batch cannot be had; None if it can."""
    if steps_per_execution(model) > 1:
        return f"steps_per_execution={steps_per_execution(model)}: the batches of one execution cannot be had"
    if has_other_processes(model.distribute_strategy):
        return "several processes train the model, and a batch that is run again would have to be run by all of them"
    body = getattr(train_function, "python_function", train_function)
    if getattr(body, "__module__", "").partition(".")[0] not in ("keras", "tf_keras"):
        return "the function that trains is not Keras' own, as with a make_train_function of one's own"
    if not hasattr(train_function, _OURS) and _has_drawn(train_function):
        return (
            "the model was trained before without it, and in the function that keeps batches its random numbers would "
            "begin anew. Compile the model again, or log from its first fit on"
        )
    return None


def returning_batch(model: Any, train_function: Any, without: Callable[[], frozenset[int]] = frozenset) -> Any:
    """Makes a function of an iterator that does what Keras' own does, and gives back its batch too, as `Returned`.

    Of what Keras' function traces nothing is traced a second time: this is traced instead of it, and is kept with it
    for the next `fit`. On the host the batch that is returned is no copy.

    Args:
      model: The Keras model.
      train_function: Its function, to which there is no `why_no_last_batch`.
      without: Gives, while it is traced, the ids of variables of TensorFlow that are not looked at.
    """
    known = getattr(train_function, _OURS, None)
    if known is not None:
        return known
    if hasattr(train_function, "python_function"):  # of Keras 2, a tf.function
        # That of autograph's settings which Keras' own function is traced with.
        convert, settings = tf.__internal__.autograph.tf_convert, tf.__internal__.autograph.control_status_ctx
        step = _of_tee(lambda tee: convert(train_function.python_function, settings())(tee))
    elif hasattr(model, "_make_function"):  # of Keras 3, which takes batches from anything that is no iterator of data
        step = _of_batch(train_function)
    else:
        step = _of_tee(train_function)

    def returning(iterator: Any) -> Returned:
        logs, batch = step(iterator)
        return Returned(logs, batch, tf.logical_and(losses_are_finite(logs), weights_are_finite(model, without())))

    is_eager = bool(model.run_eagerly)
    ours = returning if is_eager else tf.function(unconverted(returning), reduce_retracing=True)
    with contextlib.suppress(AttributeError):
        setattr(train_function, _OURS, ours)
    return ours


def _of_batch(train_function: Any) -> Callable[[Any], tuple[Any, Any]]:
    def step(iterator: Any) -> tuple[Any, Any]:
        batch = iterator.get_next()
        return train_function([batch]), batch

    return step


def _of_tee(train_function: Any) -> Callable[[Any], tuple[Any, Any]]:
    def step(iterator: Any) -> tuple[Any, Any]:
        tee = _Tee(iterator)
        return train_function(tee), tee.batch

    return step


class _Tee:
    """An iterator that remembers what it gave last."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator
        self.batch: Any = None

    def __iter__(self) -> _Tee:
        return self

    def __next__(self) -> Any:
        self.batch = next(self._iterator)
        return self.batch
