"""How the tensors of a model belong together: of which kind each is, and which layers feed which."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import KINDS, TOUCHED, Kind, Layer, is_attention
from tb_layerview.health.history import Floats, Mask

Indices = npt.NDArray[np.int64]


class Connections:
    """What depends on the layers and tensors alone, whatever was measured of them. Each is worked out once.

    Attributes:
      layers: In the order in which they run; `inputs` are indices in here.
      tensors: What is logged.
      place: int64 [tensors]: the index of each tensor's layer in `layers`.
    """

    def __init__(self, layers: Sequence[Layer], tensors: Sequence[LoggedTensor]) -> None:
        """Takes what is logged.

        Args:
          layers: In the order in which they run.
          tensors: What is logged.
        """
        self.layers, self.tensors = tuple(layers), tuple(tensors)
        by_path = {layer.path: i for i, layer in enumerate(self.layers)}
        self.place = np.array([by_path[tensor.layer] for tensor in self.tensors], np.int64)
        self._known_origins: dict[int, Indices] = {}

    # What each tensor is.

    def of_kind(self, *kinds: Kind) -> Mask:
        """Which tensors are of these kinds, bool [tensors]; gradients are those of weights."""
        return np.asarray(np.logical_or.reduce([self._by_kind[kind] for kind in kinds]))

    @functools.cached_property
    def _by_kind(self) -> dict[Kind, Mask]:
        found = {kind: np.array([tensor.kind == kind for tensor in self.tensors], bool) for kind in KINDS}
        return {**found, "gradient": found["gradient"] & ~self.is_gradient_of_activation}

    @functools.cached_property
    def is_gradient_of_activation(self) -> Mask:
        """Which tensors are gradients of what a layer puts out: of examples, as no weight is. Bool [tensors].

        Their size goes with that of the batch, and what is zero or jumps there says nothing of a weight.
        """
        return np.array([tensor.kind == "gradient" and "example" in tensor.axes for tensor in self.tensors], bool)

    def of_dtype(self, dtype: str) -> Mask:
        """Which tensors' elements are of this type, bool [tensors]."""
        return np.asarray(self._dtypes == dtype)

    @functools.cached_property
    def _dtypes(self) -> npt.NDArray[np.str_]:
        return np.array([tensor.dtype for tensor in self.tensors], str)

    def of_rank(self, least: int) -> Mask:
        """Which tensors have at least so many axes, bool [tensors]."""
        return np.asarray(self._ranks >= least)

    @functools.cached_property
    def _ranks(self) -> Indices:
        return np.array([len(tensor.shape) for tensor in self.tensors], np.int64)

    def of_kernels(self, kind: Kind) -> Mask:
        """Which tensors are of this kind and of a weight of two axes or more that is not a bias, bool [tensors].

        The rows of it that a step has changed are others at each step: they are not.
        """
        return np.asarray(self._by_kind[kind] & self._is_kernel)

    @functools.cached_property
    def _is_kernel(self) -> Mask:
        is_whole = [not tensor.name.startswith("bias") and not tensor.name.endswith(TOUCHED) for tensor in self.tensors]
        return np.asarray(self.of_rank(2) & np.array(is_whole, bool))

    @functools.cached_property
    def is_attention(self) -> Mask:
        """Which tensors are what attention looks at, bool [tensors]."""
        return np.array([is_attention(t.kind, t.name, t.axes) for t in self.tensors], bool)

    @functools.cached_property
    def is_input(self) -> Mask:
        """Which tensors are the model's inputs, bool [tensors]."""
        return np.array([self.layers[place].class_name == "Input" for place in self.place], bool)

    @functools.cached_property
    def is_output(self) -> Mask:
        """Which tensors are of a layer that feeds no other; where none feeds any, of the last. Bool [tensors]."""
        feeding = {i for layer in self.layers for i in layer.inputs}
        if not feeding:
            return np.asarray(self.place == len(self.layers) - 1)
        return np.array([place not in feeding for place in self.place.tolist()], bool)

    @functools.cached_property
    def without_weights(self) -> Mask:
        """Which tensors are of a layer that takes another's output and has no weights, nor any within. Bool [tensors].

        Such a layer can only pass on what it takes, or do the same to it at every step. Where no weights are logged,
        or no connections, nobody knows which layers these are, and there are none.
        """
        having = {tensor.layer for tensor in self.tensors if tensor.kind != "activation"}
        if not having:
            return np.zeros(len(self.tensors), bool)
        for path in tuple(having):
            parts = path.split("/")
            having.update("/".join(parts[:n]) for n in range(1, len(parts)))
        takes = [bool(self.layers[place].inputs) for place in self.place.tolist()]
        return np.array([t.layer not in having and some for t, some in zip(self.tensors, takes)], bool)

    @functools.cached_property
    def has_own_kernel(self) -> Mask:
        """Which tensors are the output of a layer with a kernel, bool [tensors]."""
        found = np.zeros(len(self.tensors), bool)
        found[list(self._outputs_of_kernels.values())] = True
        return found

    @functools.cached_property
    def keys(self) -> Floats:
        """The sizes of the last axes, float64 [tensors]; 0 where there is none or it differs from step to step."""
        return np.array([max(tensor.shape[-1], 0) if tensor.shape else 0 for tensor in self.tensors], float)

    # Which tensor belongs to which.

    @functools.cached_property
    def weights(self) -> Indices:
        """int64 [tensors]: the weight of the same layer, name and call; -1 where there is none."""
        known = {(t.layer, t.name, t.call): i for i, t in enumerate(self.tensors) if t.kind == "weight"}
        return np.array([known.get((t.layer, t.name, t.call), -1) for t in self.tensors], np.int64)

    @functools.cached_property
    def updated(self) -> tuple[Indices, Indices]:
        """The updates whose weight is logged, and these weights, as indices of tensors."""
        updates = np.flatnonzero(self.of_kind("update") & (self.weights >= 0))
        return updates, self.weights[updates]

    @functools.cached_property
    def incoming_updates(self) -> Indices:
        """int64 [tensors]: for an activation the update of the kernel whose units are its units; -1 if none is.

        That is of its own layer or, as for a ReLU that is a layer, of the one before it as long as there is only one.
        """
        updates = {int(self.place[i]): i for i in np.flatnonzero(self.of_kernels("update"))}
        found = np.full(len(self.tensors), -1, np.int64)
        for tensor in np.flatnonzero(self.of_kind("activation") & self.of_rank(2) & ~self.is_attention):
            layer, seen = int(self.place[tensor]), set[int]()
            while layer not in updates and len(self.layers[layer].inputs) == 1 and layer not in seen:
                seen.add(layer)
                layer = self.layers[layer].inputs[0]
            update = updates.get(layer, -1)
            if update >= 0 and self.tensors[update].shape[-1] == self.tensors[tensor].shape[-1]:
                found[tensor] = update
        return found

    # Which activation is made of which.

    def fed_by(self, layer: int) -> Indices:
        """The activations that a layer takes, as indices of tensors."""
        return self._activations(self.layers[layer].inputs)

    def taken_by(self, layer: int) -> Indices:
        """The activations of the layers that take a layer's, as indices of tensors."""
        return self._activations(self._takers[layer])

    @functools.cached_property
    def _takers(self) -> list[list[int]]:
        """By layer the layers that take its output."""
        found: list[list[int]] = [[] for _ in self.layers]
        for i, layer in enumerate(self.layers):
            for taken in dict.fromkeys(layer.inputs):
                found[taken].append(i)
        return found

    def computed_from(self, layer: int) -> Indices:
        """The activations of all layers that a layer is computed from, as indices of tensors."""
        if layer not in self._known_origins:
            pending, seen = list(self.layers[layer].inputs), set[int]()
            while pending:
                before = pending.pop()
                if before not in seen:
                    seen.add(before)
                    pending.extend(self.layers[before].inputs)
            self._known_origins[layer] = self._activations(sorted(seen - {layer}))
        return self._known_origins[layer]

    def is_fed_by(self, tensor: int, paths: set[str]) -> bool:
        """Whether anything on the way from the inputs to a tensor's layer is one of these layers."""
        pending, seen = list(self.layers[self.place[tensor]].inputs), set[int]()
        while pending:
            layer = pending.pop()
            if layer in seen:
                continue
            seen.add(layer)
            if self.layers[layer].path in paths:
                return True
            pending.extend(self.layers[layer].inputs)
        return False

    def _activations(self, layers: Sequence[int]) -> Indices:
        found = [self._activations_of[i] for i in layers]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    @functools.cached_property
    def _activations_of(self) -> tuple[Indices, ...]:
        """By layer the indices of its activations."""
        found: list[list[int]] = [[] for _ in self.layers]
        for i in np.flatnonzero(self.of_kind("activation")).tolist():
            found[self.place[i]].append(i)
        return tuple(np.array(of_layer, np.int64) for of_layer in found)

    # The ways that signals and gradients go.

    @functools.cached_property
    def kernel_before(self) -> Indices:
        """int64 [tensors]: for the activation of a layer with a kernel that of the nearest such layer before it.

        That is the latest of those from which it is computed without another such layer in between; -1 where there is
        none. Without connections, the one before in the order of the layers.
        """
        own = self._outputs_of_kernels
        is_connected = any(layer.inputs for layer in self.layers)
        nearest: list[int] = []  # by layer: itself if it has a kernel, else the latest that it is computed from
        found = np.full(len(self.tensors), -1, np.int64)
        for i, layer in enumerate(self.layers):
            inputs = layer.inputs if is_connected else range(i)
            before = max((nearest[j] for j in inputs if j < i), default=-1)
            if i in own and before >= 0:
                found[own[i]] = own[before]
            nearest.append(i if i in own else before)
        return found

    @functools.cached_property
    def _outputs_of_kernels(self) -> dict[int, int]:
        """By layer with a kernel its first activation of two axes or more that is not attention scores."""
        layers = set(self.place[self.of_kernels("weight")].tolist())
        is_output = self.of_kind("activation") & self.of_rank(2) & ~self.is_attention
        return {int(self.place[i]): int(i) for i in np.flatnonzero(is_output)[::-1] if self.place[i] in layers}

    @functools.cached_property
    def forward_links(self) -> tuple[tuple[int, int], ...]:
        """Each `kernel_before`, and the activation that has it, in forward order."""
        after = sorted(np.flatnonzero(self.kernel_before >= 0).tolist(), key=lambda i: self.place[i])
        return tuple((int(self.kernel_before[i]), i) for i in after)

    @functools.cached_property
    def backward_links(self) -> tuple[tuple[int, int], ...]:
        """The same of the gradients of these layers' kernels, in backward order."""
        of_layer = {int(self.place[i]): int(i) for i in np.flatnonzero(self.of_kernels("gradient"))[::-1]}
        places = [(int(self.place[before]), int(self.place[after])) for before, after in reversed(self.forward_links)]
        return tuple((of_layer[j], of_layer[i]) for i, j in places if i in of_layer and j in of_layer)

    @functools.cached_property
    def depth(self) -> Indices:
        """int64 [tensors]: the order in which causes act within a step.

        Weights come first, since a pass starts from them; then activations in the order in which they are made, which
        is that of the tensors: where layers are called several times, or within another one's call, that of the layers
        tells nothing. Then come gradients in backward order, what the optimizer makes of them, and last the updates.
        """
        count = len(self.layers) + len(self.tensors)
        within = [
            i if t.kind == "activation" else count - 1 - place if t.kind == "gradient" else place
            for i, (t, place) in enumerate(zip(self.tensors, self.place.tolist()))
        ]
        order: dict[Kind, int] = {"weight": 0, "activation": 1, "gradient": 2, "optimizer": 3, "update": 4}
        assert set(order) == set(KINDS)
        return np.array([order[t.kind] * count + w for t, w in zip(self.tensors, within)], np.int64)
