"""A traced pass as operations and tensors, which can be analysed, cut down to what is wanted, and run again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend import core

from tb_layerview.capture.jax.operations import called, type_of
from tb_layerview.capture.passes.nodes import Graph, Node, Operation


def flat(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """The same, with the jaxprs that it calls in place of the calls."""
    shape_of: Any = jax.ShapeDtypeStruct
    shapes = [shape_of(aval.shape, aval.dtype, weak_type=aval.weak_type) for aval in closed.in_avals]
    return jax.make_jaxpr(lambda *args: _inlined(closed, args))(*shapes)


def _inlined(closed: core.ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    env = dict(zip(closed.jaxpr.constvars, closed.consts)) | dict(zip(closed.jaxpr.invars, args))
    for equation in closed.jaxpr.eqns:
        inner = called(equation)
        if inner is None:
            _run(equation, env)
        else:
            env.update(zip(equation.outvars, _inlined(inner, [_value(atom, env) for atom in equation.invars])))
    return [_value(atom, env) for atom in closed.jaxpr.outvars]


def _run(equation: Any, env: dict[Any, Any]) -> None:
    """Computes what one equation gives."""
    primitive = equation.primitive
    params = primitive.get_bind_params(equation.params)
    functions, params = params if isinstance(params, tuple) else ((), params)  # JAX before 0.9 gives two
    with equation.ctx.manager:
        found = primitive.bind(*functions, *(_value(atom, env) for atom in equation.invars), **params)
    env.update(zip(equation.outvars, found if primitive.multiple_results else [found]))


def _value(atom: Any, env: dict[Any, Any]) -> Any:
    return atom.val if isinstance(atom, core.Literal) else env[atom]


class Pass:
    """A flat jaxpr, with a node for each of its variables.

    Attributes:
      graph: Its operations.
      inputs: Its arguments, in their order.
      outputs: What it returns, in its order; a tensor that is returned twice is one node.
    """

    def __init__(self, closed: core.ClosedJaxpr, weights: int) -> None:
        """Makes the nodes.

        Args:
          closed: The jaxpr, which is `flat`.
          weights: How many of its first arguments are variables of the model.
        """
        self.closed, self.graph = closed, Graph()
        self._nodes: dict[Any, Node] = {}
        self._atoms: dict[int, Any] = {}  # by the id of the node
        self._makers: dict[Any, Any] = {}  # equations, by what they give
        jaxpr = closed.jaxpr
        for i, variable in enumerate(jaxpr.invars):
            self._add(variable, Operation("ReadVariableOp" if i < weights else "Placeholder"))
        for variable in jaxpr.constvars:
            self._add(variable, Operation("Const"))
        for equation in jaxpr.eqns:
            self._add_equation(equation)
        self.inputs = [self._nodes[variable] for variable in jaxpr.invars]
        self.outputs = [self._node(atom) for atom in jaxpr.outvars]

    def _add(self, variable: Any, op: Operation) -> Node:
        node = Node(tuple(variable.aval.shape), str(variable.aval.dtype), op, self.graph)
        op.outputs.append(node)
        if op not in self.graph.operations[-1:]:
            self.graph.operations.append(op)
        self._nodes[variable] = node
        self._atoms[id(node)] = variable
        return node

    def _node(self, atom: Any) -> Node:
        """The node of a variable; of a number that is returned, one of its own."""
        known = None if isinstance(atom, core.Literal) else self._nodes[atom]
        if known is not None:
            return known
        node = Node(tuple(atom.aval.shape), str(atom.aval.dtype), Operation("Const"), self.graph)
        node.op.outputs.append(node)
        self._atoms[id(node)] = atom
        return node

    def _add_equation(self, equation: Any) -> None:
        logits = self._logits(equation)
        taken = [atom for atom in equation.invars if not isinstance(atom, core.Literal)]
        if logits is None:
            op = Operation(type_of(equation), [self._nodes[atom] for atom in taken])
        else:
            op = Operation("Softmax", [self._nodes[logits]])
        for variable in equation.outvars:
            self._add(variable, op)
            self._makers[variable] = equation

    def _logits(self, equation: Any) -> Any:
        """What a quotient is the softmax of: exp(logits - maximum) / sum(exp(logits - maximum)); None if it is none."""
        if equation.primitive.name != "div":
            return None
        above, below = equation.invars
        exponential, total = self._maker(above), self._maker(below)
        while total is not None and total.primitive.name in ("broadcast_in_dim", "reshape", "convert_element_type"):
            total = self._maker(total.invars[0])
        if total is None or total.primitive.name != "reduce_sum" or len(total.params.get("axes", ())) != 1:
            return None
        if exponential is None or exponential.primitive.name != "exp" or self._source(total.invars[0]) is not above:
            return None
        shifted = self._maker(exponential.invars[0])
        is_shifted = shifted is not None and shifted.primitive.name == "sub"
        return shifted.invars[0] if is_shifted else exponential.invars[0]

    def _source(self, atom: Any) -> Any:
        """What a tensor is, before it was made wider for the sum."""
        maker = self._maker(atom)
        return maker.invars[0] if maker is not None and maker.primitive.name == "convert_element_type" else atom

    def _maker(self, atom: Any) -> Any:
        return None if isinstance(atom, core.Literal) else self._makers.get(atom)

    def atom(self, node: Node) -> Any:
        """The variable of a node, or the number that it is."""
        return self._atoms[id(node)]

    def knows(self, node: Node) -> bool:
        """Whether a node is of this pass."""
        return self._atoms.get(id(node)) is not None

    def differentiable(self, node: Node) -> frozenset[Node]:
        """What a tensor depends on in a way that a gradient goes through."""
        pending, seen = [node], set[Node]()
        while pending:
            one = pending.pop()
            if one in seen or "float" not in one.dtype or one.op.type == "StopGradient":
                continue
            seen.add(one)
            maker = self._maker(self._atoms[id(one)])
            taken = () if maker is None else [a for a in maker.invars if not isinstance(a, core.Literal)]
            pending += [self._nodes[atom] for atom in taken]
        return frozenset(seen)


class Cut:
    """What is left of a jaxpr when only some of its variables are wanted.

    What gives nothing that is wanted is not run: what a model prints, it prints in its training alone.

    Attributes:
      needed: Which of the jaxpr's arguments it takes, by number.
    """

    def __init__(self, closed: core.ClosedJaxpr, wanted: Sequence[Any]) -> None:
        """Leaves out whatever the wanted atoms do not depend on."""
        jaxpr = closed.jaxpr
        self._wanted = list(wanted)
        needed = {atom for atom in wanted if not isinstance(atom, core.Literal)}
        equations = []
        for equation in reversed(jaxpr.eqns):
            if any(variable in needed for variable in equation.outvars):
                equations.append(equation)
                needed.update(atom for atom in equation.invars if not isinstance(atom, core.Literal))
        self._equations = equations[::-1]
        self._consts = [(v, value) for v, value in zip(jaxpr.constvars, closed.consts) if v in needed]
        self.needed = [i for i, variable in enumerate(jaxpr.invars) if variable in needed]
        self._invars = [jaxpr.invars[i] for i in self.needed]

    def __call__(self, args: Sequence[Any]) -> list[Any]:
        """What is wanted, of the arguments that are `needed`."""
        env = dict(self._consts) | dict(zip(self._invars, args))
        for equation in self._equations:
            _run(equation, env)
        return [_value(atom, env) for atom in self._wanted]
