"""What computes a Keras model, as Keras' own loops want it, and which framework that is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from tb_layerview.capture import probe
from tb_layerview.capture.choice import Batch
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.steps import StepCounter
from tb_layerview.capture.keras.taken import Taken
from tb_layerview.capture.keras.versions import keras_of
from tb_layerview.capture.recording import Recording

#: Where the backend of each framework is, by the name that Keras has for it.
_BACKENDS = {
    "tensorflow": ("tb_layerview.capture.keras.tf.backend", "TensorFlow"),
    "jax": ("tb_layerview.capture.keras.jax.backend", "Jax"),
    "torch": ("tb_layerview.capture.keras.torch.backend", "Torch"),
}


class KerasBackend(probe.Backend, Protocol):
    """A framework that computes Keras models: what a recording asks of it, and what Keras' loops do.

    Keras calls a model's `train_function`, `test_function` and `predict_function` with what gives the batches as the
    last argument. One of these objects serves one log of one model.
    """

    @property
    def ends_of_data(self) -> tuple[type[BaseException], ...]:
        """What a function raises that finds no more data."""
        ...

    def logs(self, model: Any) -> bool:
        """Whether this process logs a model. If another one does, or if nobody can, that is said."""
        ...

    def is_ready(self, model: Any, given: Given, is_trained: bool) -> bool:
        """Whether a model has all that is to be logged of it.

        Args:
          model: The model.
          given: What is to be logged.
          is_trained: Whether it has had a step, in which an optimizer makes what it keeps.
        """
        ...

    def is_other(self) -> bool:
        """Whether a pass that is traced now would be another one than that which was traced last."""
        ...

    def notes(self, model: Any) -> Sequence[str]:
        """What is not logged of a model and why, a sentence each, where that is known by the loop alone."""
        ...

    def scalars(self) -> Mapping[str, float]:
        """What else is to be logged at a step, by name."""
        ...

    def has_other_processes(self, model: Any) -> bool:
        """Whether other processes train the model together with this one."""
        ...

    def number(self, variable: Any) -> Any:
        """What a variable or a plain number holds, as an array; within a training as its last step has left it."""
        ...

    def counted(self, optimizer: Any) -> AbstractContextManager[object]:
        """Within it an optimizer's schedule finds the steps counted that were made, whoever holds the count."""
        ...

    def metrics(self, model: Any, returned: Any) -> Mapping[str, Any]:
        """The model's metrics, as they are now.

        Args:
          model: The Keras model.
          returned: What `returned` has given of the last call, or None.
        """
        ...

    # Around a call of one of the model's functions.

    def called(self, model: Any, arguments: tuple[Any, ...]) -> None:
        """A function of the model is called with these: from here on they tell what the model's weights are."""
        ...

    def not_called(self, model: Any) -> None:
        """Because of an error it is not called: the model is to have its weights all the same."""
        ...

    def returned(self, model: Any, found: Any) -> Any:
        """The function has returned this: it tells what the weights are. Gives what of it is for people: the logs."""
        ...

    # Batches.

    def given_batch(self, data: Any) -> Batch:
        """The probe that somebody gave: x, (x, y) or (x, y, sample_weight), as tensors.

        Raises:
          Refused: It is none.
        """
        ...

    def taking(self, iterator: Any, model: Any) -> Callable[[], Taken]:
        """How to take what one call of a function would take. Nothing is taken yet: what can fail comes before.

        Raises:
          TypeError: Batches cannot be taken from what Keras gives.
        """
        ...

    def first_batch(self, taken: Taken) -> Batch | None:
        """The first batch of what was taken, as tensors; None if there is none.

        Raises:
          Exception: It is no batch that `fit` takes.
        """
        ...

    def as_batch(self, data: Any) -> Any:
        """What a step of a loop of one's own was trained on, for `Replayer.after_step`."""
        ...

    def gives_several(self, iterator: Any) -> bool:
        """Whether a call takes as many batches from this as `steps_per_execution` says, where there are so many."""
        ...

    def losses_are_finite(self, logs: Any) -> Any:
        """Whether the losses are finite, bool []: those called so, else all that is logged."""
        ...

    # The function that trains.

    def without_ours(self, function: Any) -> Any:
        """Keras' own function, if it is that which a training before this one has left something in place of."""
        ...

    def why_no_last_batch(self, model: Any, function: Any) -> str | None:
        """Why the batches of the last steps cannot be had; None if they can."""
        ...

    def keeping_batches(self, model: Any, function: Any, recording: Recording, counter: StepCounter) -> Any:
        """What trains in place of Keras' function, and has what each step was given kept for a replay.

        Args:
          model: The Keras model.
          function: Its function, to which there is no `why_no_last_batch`.
          recording: Whose replayer is told of each step. What is left of an interrupted `fit` does not hold it.
          counter: Which step it is.
        """
        ...

    def builds(self, model: Any) -> bool:
        """Whether the function that trains has to create something before the probe's pass is traced."""
        ...

    def build(self, function: Any, iterator: Any, taken: Taken | None) -> None:
        """Has the function that trains create what it needs, without running it.

        Raises:
          Exception: What tracing raises: the function raises it again when it is called, and says why.
        """
        ...


def framework_of(model: Any) -> str:
    """Keras' name of the framework that computes a model: `tensorflow`, `jax` or `torch`."""
    config = getattr(keras_of(model), "config", None)  # of Keras 3, which alone has backends to choose from
    return "tensorflow" if config is None else str(config.backend())


def backend_of(model: Any) -> KerasBackend:
    """What computes a model.

    Raises:
      ValueError: Another backend of Keras does than those whose models can be logged.
    """
    name = framework_of(model)
    if name not in _BACKENDS:
        raise ValueError(
            f"Keras computes this model with {name}, and only what {', '.join(_BACKENDS)} compute can be logged from "
            "within. Set KERAS_BACKEND before Keras is imported, or log arrays with LayerWriter."
        )
    module, attribute = _BACKENDS[name]
    backend: KerasBackend = getattr(importlib.import_module(module), attribute)()
    return backend
