"""What of a model is not logged, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from tb_layerview.capture.passes.calls import missing
from tb_layerview.capture.passes.candidates import Candidates, Pass
from tb_layerview.capture.passes.nodes import dtype_name
from tb_layerview.measure.measurement import can_measure
from tb_layerview.options import Select


def not_seen(traced: Pass, candidates: Candidates, select: Select) -> Iterator[str]:
    """Sentences on layers that were not seen being called, and on weights that belong to none that were."""
    layers = missing(traced.model, traced.calls, traced.anatomy)
    unseen = [path for path, class_name in layers if select.takes(path, class_name)]
    if unseen and "activation" in select.kinds:
        yield (
            "these layers were not seen being called: the model does not call them, or does so inside a compiled "
            f"function, a loop or a branch of its own. Their activations are left out: {', '.join(unseen)}"
        )
    owned = {id(weight.variable) for of_call in candidates.calls for weight in of_call.weights}
    for _, variable in traced.anatomy.weights(traced.model):
        if id(variable) not in owned:
            yield f"weight {traced.anatomy.path(variable)}: its layer is not called through the model, it is left out"


def lost(traced: Pass, candidates: Candidates, logged: frozenset[int], select: Select) -> Iterator[str]:
    """Counts the logged weights against the model's own; a sentence that names what is selected and missing.

    Args:
      traced: The pass.
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
        count = len(traced.anatomy.weights(traced.model))
        yield (
            f"{len(found)} of the model's {count} weights are left out, as others have their names: {', '.join(found)}"
        )
