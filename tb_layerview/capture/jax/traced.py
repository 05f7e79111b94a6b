"""One pass of a model that JAX computes, traced once, and run again on whatever its weights are."""

from __future__ import annotations

import abc
import collections
import dataclasses
import hashlib
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

from tb_layerview.capture.host.batch import Batch
from tb_layerview.capture.host.engine import Array
from tb_layerview.capture.jax.graph import Cut, Pass, flat
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.nodes import Node, Operation


@dataclasses.dataclass(frozen=True)
class Forward:
    """What one call of a model came to.

    Attributes:
      calls: Of its layers, the model's own first.
      loss: A number, before the optimizer scales it; None if there is none.
      is_scaled: Whether the optimizer scales it.
      notes: What cannot be had of it and why, a sentence each.
      error: What kept the loss from being computed, in words; empty if nothing did.
    """

    calls: list[Call]
    loss: Any = None
    is_scaled: bool = False
    notes: tuple[str, ...] = ()
    error: str = ""


class TracedPass(abc.ABC):
    """A traced pass; the methods are those of `host.engine.Traced`.

    Attributes:
      calls: The calls of the layers, with nodes in place of tensors.
      x: The model's inputs, nodes.
      gradients: By the id of a variable; None where the loss does not depend on it.
      loss: A node, or None.
      loss_error: What kept the loss from being computed, in words.
      notes: What cannot be had, a sentence each.
      takes_batch: True: a model's own `train_step` is not run.
      output_gradients: None.
    """

    calls: list[Call]
    x: Any
    gradients: Mapping[int, Node | None] | None
    loss: Node | None
    loss_error: str
    notes: Sequence[str]
    takes_batch: bool = True
    output_gradients: Mapping[int, Node] = types.MappingProxyType({})

    def __init__(
        self, batch: Batch, training: bool, gradients: bool, trained: Sequence[Any], without_loss: str, smaller: float
    ) -> None:
        """Traces the pass.

        Args:
          batch: What it is run on.
          training: In training mode.
          gradients: Whether the loss and its gradients are wanted.
          trained: The variables by which it is differentiated.
          without_loss: What is said where the loss depends on none of these.
          smaller: What a loss scale is divided by where gradients overflow.

        Raises:
          Exception: Whatever the model raises.
        """
        self._trained, self._smaller = trained, smaller
        self._leaves = jax.tree.leaves(batch.leaves)
        self._gradients: dict[int, int] = {}  # places of the variables, by the ids of their gradients' nodes
        self._compiled: _Compiled | None = None
        self._pass: Pass | None
        found, self._pass = self._trace(batch, training, gradients)
        self.calls, self.notes, self.loss_error = found.calls, found.notes, found.error
        self._is_scaled, self.loss = found.is_scaled, found.loss
        self.gradients = None
        if found.loss is not None:
            self._differentiate(self._pass, found.loss, without_loss)

    # What differs from one kind of model to another.

    @abc.abstractmethod
    def _values(self) -> list[Any]:
        """What the model's variables hold now: those that are trained first, in their order, then all the others."""

    @abc.abstractmethod
    def _forward(self, values: list[Any], batch: Any, training: bool, with_loss: bool) -> Forward:
        """Calls the model, while it is traced.

        Args:
          values: What its variables hold, as tracers.
          batch: What it is called with, as tracers.
          training: Whether in training mode.
          with_loss: Whether the loss is wanted.

        Raises:
          Exception: Whatever the model raises.
        """

    @abc.abstractmethod
    def _loss_scale(self, values: list[Any]) -> float:
        """What the optimizer multiplies the loss by, where `Forward.is_scaled` says that it does."""

    @abc.abstractmethod
    def _unchanged(self) -> AbstractContextManager[None]:
        """Puts back what tracing changes in Python."""

    # What is the same.

    def _trace(self, batch: Batch, training: bool, with_loss: bool) -> tuple[Forward, Pass]:
        """What the call of the model came to, with nodes in place of tensors, and what computes them."""
        values = self._values()
        made: list[Forward] = []
        tensors: dict[int, Any] = {}  # by their ids, none of which is given again as long as they are held

        def note(tensor: Any) -> Any:
            return tensors.setdefault(id(tensor), tensor)

        def function(values: list[Any], leaves: list[Any]) -> list[Any]:
            rest = iter(leaves)
            given = batch.mapped(lambda leaf: next(rest) if _is_array(leaf) else leaf)
            found = self._forward(values, given, training, with_loss)
            made.append(found)
            _with(note, found)
            return list(tensors.values())

        with self._unchanged():
            closed = jax.make_jaxpr(function)(values, batch.leaves)
        traced = Pass(flat(closed), len(values))
        nodes = dict(zip(tensors, traced.outputs))
        leaves = iter(traced.inputs[len(values) :])
        self.x = batch.tree.map_structure(lambda leaf: _first(leaf, leaves), batch.x)
        return _with(lambda tensor: nodes[id(tensor)], made[-1]), traced

    def _differentiate(self, traced: Pass, loss: Node, without_loss: str) -> None:
        """Makes a node for each gradient."""
        reached = traced.differentiable(loss)
        weights = traced.inputs[: len(self._trained)]
        if not any(weight in reached for weight in weights):
            self.loss, self.notes = None, (*self.notes, without_loss)
            return
        self.gradients = found = dict[int, Node | None]()
        for i, (variable, weight) in enumerate(zip(self._trained, weights)):
            found[id(variable)] = node = None if weight not in reached else self._gradient(weight, traced)
            if node is not None:
                self._gradients[id(node)] = i

    def _gradient(self, weight: Node, traced: Pass) -> Node:
        dtype = str(jnp.promote_types(weight.dtype, jnp.float32)) if self._is_scaled else weight.dtype
        op = Operation("Gradient")
        node = Node(weight.shape, dtype, op, traced.graph)
        op.outputs.append(node)
        return node

    def choose(self, wanted: Sequence[Node], shares: Sequence[Sequence[Node]]) -> None:
        """Says once what `run` is to give, and begins to compile what computes it."""
        assert self._pass is not None
        traced, self._pass = self._pass, None
        chosen = _Chosen(traced, self._gradients, wanted, shares, None if self.loss is None else self.loss)
        self._compiled = _Compiled(chosen, [*self._values(), *self._leaves], self._is_scaled)
        # They would hold the graph.
        self.calls, self.x, self.gradients, self.loss = [], None, None, None
        self._gradients = {}

    def run(self) -> tuple[list[Array], list[float]]:
        """Runs the pass with the model's weights as they are now.

        Returns:
          What was chosen: on the host views of the arrays that were computed, which nobody else has.

        Raises:
          Exception: What compiling it raises.
        """
        assert self._compiled is not None
        values = self._values()
        if not self._is_scaled:
            arrays, shares, _ = self._compiled([*values, *self._leaves], None)
            return _on_host(arrays, shares)
        scale = self._loss_scale(values)
        while True:
            arrays, shares, is_finite = self._compiled([*values, *self._leaves], scale)
            if bool(is_finite) or scale <= 1:
                return _on_host(arrays, shares)
            scale = max(scale / self._smaller, 1.0)


def _is_array(leaf: Any) -> bool:
    """Whether a leaf of a batch is traced: what is no array stays what it is."""
    return isinstance(leaf, (jax.Array, sparse.JAXSparse))


def unscaled(gradient: jax.Array, scale: jax.Array) -> jax.Array:
    """The gradient of the loss itself, in float32 if that is more than it had: float16 would not hold it."""
    wide = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
    return wide / scale.astype(wide.dtype)


def _on_host(arrays: Sequence[jax.Array], shares: Sequence[jax.Array]) -> tuple[list[Array], list[float]]:
    return [np.asarray(array) for array in arrays], [float(share) for share in shares]


def _first(leaf: Any, nodes: Iterator[Node]) -> Node | None:
    """The node of an input; of a sparse one that of its values."""
    if not _is_array(leaf):
        return None
    values, *_ = (next(nodes) for _ in jax.tree.leaves(leaf))
    return values


def _with(function: Callable[[Any], Any], found: Forward) -> Forward:
    """The same, with each tensor replaced by what a function makes of it."""
    calls = [
        dataclasses.replace(
            call,
            inputs=tuple(map(function, call.inputs)),
            outputs=tuple(map(function, call.outputs)),
            scores=tuple(dataclasses.replace(one, tensor=function(one.tensor)) for one in call.scores),
        )
        for call in found.calls
    ]
    return dataclasses.replace(found, calls=calls, loss=None if found.loss is None else function(found.loss))


class _Chosen:
    """The function of a pass that gives what is wanted of it, and no more.

    Attributes:
      needed: Which of the pass' arguments it takes, by number.
    """

    def __init__(
        self,
        traced: Pass,
        gradients: Mapping[int, int],
        wanted: Sequence[Node],
        shares: Sequence[Sequence[Node]],
        loss: Node | None,
    ) -> None:
        """Chooses.

        Args:
          traced: The pass.
          gradients: Places of the weights among the pass' arguments, by the ids of their gradients' nodes.
          wanted: What is to be given.
          shares: Groups of tensors of which the largest share that is not finite is to be given.
          loss: What is differentiated.
        """
        trained = [gradients[id(node)] for node in wanted if id(node) in gradients]
        atoms = [traced.atom(node) for node in wanted if id(node) not in gradients]
        self._shares = [[traced.atom(node) for node in group] for group in shares]
        self._order = [None if id(node) in gradients else traced.atom(node) for node in wanted]
        all_atoms = [*atoms, *(atom for group in self._shares for atom in group)]
        self._atoms = list({id(atom): atom for atom in all_atoms}.values())
        self._differentiated = [] if loss is None or not trained else [traced.atom(loss)]
        self._cut = Cut(traced.closed, [*self._atoms, *self._differentiated])
        self.needed = self._cut.needed
        self._trained = [self.needed.index(i) for i in trained]

    def __call__(self, args: Sequence[Any], scale: Any) -> tuple[list[Any], list[Any], Any]:
        """What is wanted, the shares, and whether all gradients are finite.

        Args:
          args: Those of the pass that are `needed`.
          scale: What the loss is multiplied by, or None.
        """
        gradients: list[Any] = []
        if self._trained:
            found, gradients = self._with_gradients(args, scale)
        else:
            found = self._cut(args)
        values = {id(atom): value for atom, value in zip(self._atoms, found)}
        rest = iter(gradients)
        # Copied: what is an argument would be given back as it is, and be deleted with it.
        given = [next(rest) if atom is None else jnp.copy(values[id(atom)]) for atom in self._order]
        shares = [_share([values[id(atom)] for atom in group]) for group in self._shares]
        is_finite = jnp.stack([jnp.isfinite(one).all() for one in gradients]).all() if gradients else jnp.bool_(True)
        return given, shares, is_finite

    def _with_gradients(self, args: Sequence[Any], scale: Any) -> tuple[list[Any], list[Any]]:
        def of_loss(trained: list[Any]) -> tuple[Any, list[Any]]:
            given = list(args)
            for place, value in zip(self._trained, trained):
                given[place] = value
            *found, loss = self._cut(given)
            return loss if scale is None else loss.astype(jnp.float32) * scale, found

        (_, found), gradients = jax.value_and_grad(of_loss, has_aux=True)([args[place] for place in self._trained])
        return found, gradients if scale is None else [unscaled(one, scale) for one in gradients]


def _share(tensors: Sequence[Any]) -> Any:
    """The largest share of elements that are not finite."""
    return jnp.stack([jnp.mean(~jnp.isfinite(one), dtype=jnp.float32) for one in tensors]).max()


class _Executables:
    """What was compiled last, in this process: a model that is trained again is logged by the same code."""

    def __init__(self, most: int) -> None:
        """Holds so many at most."""
        self._most, self._lock = most, threading.Lock()
        self._found: collections.OrderedDict[str, Any] = collections.OrderedDict()

    def key(self, lowered: Any, args: Sequence[Any]) -> str:
        """What tells one from another: its code with all constants, and what its arguments are spread over."""
        shardings = [str(getattr(arg, "sharding", None)) for arg in args]
        said = (lowered.as_text(), str(lowered.in_tree), str(lowered.out_tree), *shardings)
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    def get(self, key: str) -> Any:
        """What was compiled of it, or None."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def add(self, key: str, executable: Any) -> None:
        """Keeps one, and lets go of the one that was not used for longest."""
        with self._lock:
            self._found[key] = executable
            while len(self._found) > self._most:
                self._found.popitem(last=False)


# The passes of training and inference, of a training, an evaluation and a prediction.
_executables = _Executables(8)


class _Compiled:
    """A chosen function, compiled on a thread of its own: who calls it waits for that."""

    def __init__(self, chosen: _Chosen, args: Sequence[Any], is_scaled: bool) -> None:
        """Lowers it here, where settings of this thread hold, and begins to compile it.

        Args:
          chosen: The function.
          args: Arguments of the whole pass, as it will be given.
          is_scaled: Whether it will be given a loss scale.
        """
        self._needed = chosen.needed
        taken = self._taken(args)
        lowered: Any = jax.jit(chosen).lower(taken, np.float32(1) if is_scaled else None)
        self._error: Exception | None = None
        key = _executables.key(lowered, taken)
        self._executable = _executables.get(key)
        # Not a daemon: the process would end within the compiler.
        self._thread = threading.Thread(target=self._compile, args=(lowered, key), name="tb_layerview compiles")
        if self._executable is None:
            self._thread.start()

    def _taken(self, args: Sequence[Any]) -> list[Any]:
        return [args[i] for i in self._needed]

    def _compile(self, lowered: Any, key: str) -> None:
        try:
            self._executable = lowered.compile()
            _executables.add(key, self._executable)
        except Exception as error:  # noqa: BLE001  # it is raised where somebody waits for it
            self._error = error

    def __call__(self, args: Sequence[Any], scale: float | None) -> tuple[list[Any], list[Any], Any]:
        """What the function gives of arguments of the whole pass."""
        if self._executable is None and self._error is None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        given = self._taken(args), None if scale is None else np.float32(scale)
        found: tuple[list[Any], list[Any], Any] = self._executable(*given)
        return found
