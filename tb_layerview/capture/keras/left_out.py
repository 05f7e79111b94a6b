"""What of a Keras model is not logged, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tb_layerview.capture.keras.calls import missing
from tb_layerview.capture.keras.candidates import Candidates, Pass, is_number
from tb_layerview.capture.keras.nodes import dtype_name
from tb_layerview.measure.measurement import can_measure
from tb_layerview.options import Select


def not_seen(traced: Pass, candidates: Candidates, select: Select) -> Iterator[str]:
    """Sentences on layers that were not seen being called, and on weights that belong to none that were."""
    unseen = [path for path, class_name in missing(traced.model, traced.calls) if select.takes(path, class_name)]
    if unseen and "activation" in select.kinds:
        yield (
            "these layers were not seen being called: the model does not call them, or does so inside a tf.function, a "
            f"loop or a branch of its own. Their activations are left out: {', '.join(unseen)}"
        )
    owned = {id(weight.variable) for of_call in candidates.calls for weight in of_call.weights}
    for variable in traced.model.weights:
        if is_number(variable) and id(variable) not in owned:
            path = getattr(variable, "path", variable.name)
            yield f"weight {path}: its layer is not called through the model, it is left out"


def lost(model: Any, candidates: Candidates, logged: frozenset[int], select: Select) -> Iterator[str]:
    """Counts the logged weights against the model's own; a sentence that names what is selected and missing.

    Args:
      model: The Keras model.
      candidates: What may be logged.
      logged: Ids of the variables that are.
      select: What is selected.
    """
    found = [
        f"{layer.path}/{weight.name}"
        for layer, weights in ((of_call.layer, of_call.weights) for of_call in candidates.calls)
        for weight in weights
        if id(weight.variable) not in logged
        and "weight" in select.kinds
        and select.takes(layer.path, layer.class_name)
        and can_measure(dtype_name(weight.variable))  # else that is said by name
    ]
    if found:
        count = sum(is_number(variable) for variable in model.weights)
        yield (
            f"{len(found)} of the model's {count} weights are left out, as others have their names: {', '.join(found)}"
        )
