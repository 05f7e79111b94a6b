"""What Python holds of a Keras model: lists, dictionaries and attributes as they were, to be put back."""

from __future__ import annotations

import collections
import contextlib
import dis
import functools
import inspect
import random
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

# Compared by value; all else is the same only if it is the same object.
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
# Data structures by which TensorFlow and Keras wrap what is assigned to a model's attributes.
_WRAPPERS = ("tensorflow.python.trackable.data_structures", "tensorflow.python.util.object_identity")
# Instances of these packages' classes are looked into; those of Python's own library and of others are not.
_KERAS = ("keras", "tf_keras", "tensorflow", "torch")
_FOREIGN = frozenset(
    (*sys.stdlib_module_names, "tensorflow", "torch", "numpy", "tb_layerview", "pytest", "_pytest", "wrapt")
)
_OF_WRAPPERS = (
    "_self_last_wrapped_dict_snapshot",
    "_self_non_string_key",
    "_self_external_modification",
    "_self_unconditional_checkpoint_dependencies",
    "_self_unconditional_dependency_names",
)
_NONE = object()
_MOST_BYTES = 1 << 20  # of an array that is copied to be compared


class Change(NamedTuple):
    """What is not as it was.

    Attributes:
      place: Which object it is, as one would write it.
      owner: The object.
      before: What it held.
      after: What it holds.
      is_users: Whether it belongs to a user's own code: not an attribute that Keras sets.
    """

    place: str
    owner: Any
    before: Any
    after: Any
    is_users: bool


class _Kept(NamedTuple):
    place: str
    is_users: bool
    owner: Any
    value: Any
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]


class PythonState:
    """The mutable objects that can be reached from some, as they were when this was made.

    Those are dictionaries, lists, sets, deques, attributes of instances, small arrays and generators of random numbers.
    Variables, tensors, graphs and functions are left alone.
    """

    def __init__(self, roots: Iterable[tuple[str, Any]], leave: Iterable[Any] = ()) -> None:
        """Looks at all that can be reached.

        Args:
          roots: Objects with their names.
          leave: Objects that are not looked into.
        """
        self._kept: list[_Kept] = []
        self._seen: dict[int, Any] = {id(one): one for one in leave}
        # What a user's code holds comes first: Keras lists much of it once more.
        users, others = collections.deque(roots), collections.deque[tuple[str, Any]]()
        while users or others:
            is_users = bool(users)
            place, one = (users or others).popleft()
            if isinstance(one, _PLAIN) or id(one) in self._seen:
                continue
            self._seen[id(one)] = one  # held: an id would be given again
            users.extend(self._look_into_attributes(place, one, True))
            others.extend(self._look_into_attributes(place, one, False))
            (users if is_users else others).extend(self._look(place, one, is_users))

    @property
    def reached(self) -> list[Any]:
        """All objects that were looked at."""
        return list(self._seen.values())

    def changes(self) -> list[Change]:
        """What is not as it was: of an object with attributes each of them, with its name."""
        found: list[Change] = []
        for kept in self._kept:
            now = kept.read(kept.owner)
            if not _same(kept, now):
                found.append(Change(kept.place, kept.owner, kept.value, now, kept.is_users))
        return found

    def put_back(self) -> list[Change]:
        """Makes all as it was.

        Returns:
          What was not. Whoever needs what was made in between holds on to it.
        """
        found = self.changes()
        changed = {(id(change.owner), change.place) for change in found}
        for kept in self._kept:
            if (id(kept.owner), kept.place) in changed:
                kept.write(kept.owner, kept.value)
        return found

    def _look(self, place: str, one: Any, is_users: bool) -> Iterator[tuple[str, Any]]:
        """Keeps what an object holds beside its attributes, and yields what can be reached from it."""

        def keep(read: Callable[[Any], Any], write: Callable[[Any, Any], None], whose: bool = is_users) -> Any:
            value = read(one)
            self._kept.append(_Kept(place, whose, one, value, read, write))
            return value

        wrapped = getattr(one, "__wrapped__", None) if type(one).__module__ in _WRAPPERS else None
        if wrapped is not None:  # a dictionary or a tuple in TensorFlow's wrapper, whose own attributes no `vars` shows
            own = [name for name in _OF_WRAPPERS if hasattr(one, name)]
            keep(lambda o: [(name, getattr(o, name)) for name in own], _set_attributes, False)
            yield from ((place, getattr(one, name)) for name in own)
            yield place, wrapped
        elif type(one).__module__ in _WRAPPERS and hasattr(one, "_storage"):  # a list in such a wrapper
            yield place, one._storage
        elif isinstance(one, dict):
            yield from ((f"{place}[{key!r}]", inner) for key, inner in keep(_items, _set_items))
        elif isinstance(one, list):
            yield from ((f"{place}[{i}]", inner) for i, inner in enumerate(keep(_listed, _set_list)))
        elif isinstance(one, set):
            yield from ((place, inner) for inner in keep(lambda o: set(set.__iter__(o)), _set_set))
        elif isinstance(one, collections.deque):
            yield from ((place, inner) for inner in keep(list, _set_deque))
        elif isinstance(one, (tuple, frozenset)):
            yield from ((f"{place}[{i}]", inner) for i, inner in enumerate(one))
        elif isinstance(one, np.ndarray):
            if one.nbytes <= _MOST_BYTES and one.dtype != object:
                keep(np.copy, np.copyto)
        elif isinstance(one, random.Random):
            keep(lambda o: o.getstate(), lambda o, before: o.setstate(before))
        elif isinstance(one, np.random.Generator):
            keep(lambda o: o.bit_generator.state, lambda o, state: setattr(o.bit_generator, "state", state))
        elif isinstance(one, np.random.RandomState):
            keep(lambda o: o.get_state(legacy=False), lambda o, before: o.set_state(before))
        elif isinstance(one, types.FunctionType):
            if not is_kerass(one) and str(one.__module__).partition(".")[0] not in _FOREIGN:
                yield from self._look_into_function(one)
        elif isinstance(one, types.MethodType):
            yield place, one.__self__
            yield place, one.__func__
        elif isinstance(one, types.CellType):
            with contextlib.suppress(ValueError):  # it is empty so far
                yield place, one.cell_contents
                keep(lambda o: [o.cell_contents], lambda o, before: setattr(o, "cell_contents", before[0]))

    def _look_into_function(self, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        """Keeps the global variables that a function names, and yields what it can reach."""
        names = sorted(set(_named(function.__code__)))

        def read(owner: dict[str, Any]) -> list[tuple[str, Any]]:
            return [(name, owner[name]) for name in names if name in owner]

        def write(owner: dict[str, Any], before: list[tuple[str, Any]]) -> None:
            for name in set(names) - dict(before).keys():
                owner.pop(name, None)
            owner.update(before)  # never without them: other threads may run the user's code

        value = read(function.__globals__)
        self._kept.append(_Kept("globals()", True, function.__globals__, value, read, write))
        yield from value
        yield from zip(function.__code__.co_freevars, function.__closure__ or ())

    def _look_into_attributes(self, place: str, one: Any, of_user: bool) -> Iterator[tuple[str, Any]]:
        """Keeps an object's attributes: a user's, or those that Keras sets."""
        if not _has_attributes(one):
            return
        cls = type(one)

        def read(owner: Any) -> list[tuple[str, Any]]:
            return [(name, value) for name, value in vars(owner).items() if _is_users(cls, name) is of_user]

        def write(owner: Any, before: list[tuple[str, Any]]) -> None:
            attributes = vars(owner)
            for name in [name for name in attributes if _is_users(cls, name) is of_user]:
                if name not in dict(before):
                    del attributes[name]
            attributes.update(before)

        value = read(one)
        self._kept.append(_Kept(place, of_user, one, value, read, write))
        yield from ((f"{place}.{name}", inner) for name, inner in value)
        for base in cls.__mro__ if of_user else ():
            if (
                id(base) not in self._seen
                and not is_kerass(base)
                and str(base.__module__).partition(".")[0] not in _FOREIGN
            ):
                self._seen[id(base)] = base
                yield from self._look_into_class(base)

    def _look_into_class(self, cls: type) -> Iterator[tuple[str, Any]]:
        """Keeps what a user's class holds for all its instances, and yields its methods."""

        def read(owner: type) -> list[tuple[str, Any]]:
            return [(name, value) for name, value in vars(owner).items() if not name.startswith("__")]

        def write(owner: type, before: list[tuple[str, Any]]) -> None:
            for name in vars(owner).keys() - dict(before).keys():
                if not name.startswith("__"):
                    delattr(owner, name)
            for name, value in before:
                if vars(owner).get(name, _NONE) is not value:
                    setattr(owner, name, value)

        self._kept.append(_Kept(cls.__name__, True, cls, read(cls), read, write))
        for name, member in vars(cls).items():
            for method in (member.fget, member.fset) if isinstance(member, property) else (member,):
                # Of one that is a tf.function, and of one with decorators, what was written.
                python = getattr(method, "python_function", getattr(method, "__func__", method))
                yield f"{cls.__name__}.{name}", inspect.unwrap(python) if callable(python) else python


def _has_attributes(one: Any) -> bool:
    """Whether an object's attributes are looked at: a user's own object's, and Keras' but for variables."""
    cls = type(one)
    module = cls.__module__
    if isinstance(one, type) or _is_tensor(one) or not hasattr(one, "__dict__"):
        return False
    if module in _WRAPPERS or cls in (types.SimpleNamespace,) or cls.__name__ == "_local":
        return True
    if any(base.__name__ in ("KerasVariable", "KerasTensor") for base in cls.__mro__):
        return False
    return module.partition(".")[0] not in _FOREIGN


def _is_tensor(one: Any) -> bool:
    """Whether it is a tensor or a variable of a framework that is loaded."""
    tf, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
    if tf is not None and (isinstance(one, (tf.Variable, tf.Tensor)) or tf.is_tensor(one)):
        return True
    return torch is not None and isinstance(one, torch.Tensor)


def is_kerass(one: Any) -> bool:
    """Whether a class or a function comes from Keras itself, or from what its classes descend from."""
    return str(one.__module__).partition(".")[0] in _KERAS


def _is_users(cls: type, name: str) -> bool:
    """Whether an attribute is a user's: none that Keras' own code sets."""
    if cls.__name__ == "_local" or name.startswith("_self_") or name in _set_by_keras(cls):
        return False
    # Keras sets some of its own from elsewhere, and users seldom name theirs so on a layer of Keras'.
    return not (is_kerass(cls) and name.startswith("_"))


# By class; one of a user's may hold, in the closures of its methods, whatever surrounds it.
_known: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def _set_by_keras(cls: type) -> frozenset[str]:
    """The names of the attributes that the code of Keras' and TensorFlow's classes assigns."""
    found = _known.get(cls)
    if found is None:
        found = frozenset[str]().union(*(_set_by(base) for base in cls.__mro__ if is_kerass(base)))
        _known[cls] = found
    return found


@functools.cache
def _set_by(cls: type) -> frozenset[str]:
    found: set[str] = set()
    for member in vars(cls).values():
        for method in (member.fget, member.fset) if isinstance(member, property) else (member,):
            code = getattr(inspect.unwrap(method), "__code__", None) if callable(method) else None
            found.update(_assigned(code) if code is not None else ())
    return frozenset(found)


def _assigned(code: types.CodeType) -> Iterator[str]:
    # `dis.get_instructions` would take a second for a model.
    extended = 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2]):
        number = extended | argument
        extended = number << 8 if operation == dis.EXTENDED_ARG else 0
        if operation == dis.opmap["STORE_ATTR"]:
            yield code.co_names[number]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _assigned(constant)


def _named(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _named(constant)


def what_changed(change: Change) -> list[str]:
    """Which parts of an object have changed, as one would write it, but for tensors that were assigned to them.

    A tensor of a graph that is traced can be read by nothing that is traced later.
    """
    if isinstance(change.owner, (list, set, collections.deque, np.ndarray, types.CellType)):
        return [change.place]
    if not isinstance(change.before, list):
        return [change.place]
    before, after = dict(change.before), dict(change.after)
    names = [name for name, value in after.items() if not _alike(before.get(name, _NONE), value)]
    names = [name for name in names if not (_is_tensor(after[name]) and not hasattr(after[name], "numpy"))]
    names += [name for name in before if name not in after]
    return [f"{change.place}[{n!r}]" if isinstance(change.owner, dict) else f"{change.place}.{n}" for n in names]


def _same(kept: _Kept, now: Any) -> bool:
    """Whether an object holds what it held."""
    if isinstance(kept.owner, (np.ndarray, random.Random, np.random.Generator, np.random.RandomState)):
        return _equal(kept.value, now)
    if isinstance(kept.value, set):
        return {id(inner) for inner in kept.value} == {id(inner) for inner in now} or (
            all(isinstance(inner, _PLAIN) for inner in kept.value | now) and kept.value == now
        )
    before = [inner for item in kept.value for inner in (item if isinstance(item, tuple) else (item,))]
    after = [inner for item in now for inner in (item if isinstance(item, tuple) else (item,))]
    return len(before) == len(after) and all(map(_alike, before, after))


def _alike(one: Any, other: Any) -> bool:
    """Whether it is one object, or two plain values that are equal."""
    if one is other:
        return True
    # NaN is not equal to itself.
    plain = type(one) is type(other) and isinstance(one, _PLAIN)
    return plain and bool(one == other or (one != one and other != other))


def _equal(one: Any, other: Any) -> bool:
    """Whether arrays, or the states of generators of random numbers, are equal."""
    if isinstance(one, np.ndarray):
        return bool(one.shape == other.shape and one.tobytes() == other.tobytes())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _items(one: Any) -> list[tuple[Any, Any]]:
    return list(dict.items(one))


def _set_items(one: Any, before: list[tuple[Any, Any]]) -> None:
    # A plain dictionary's methods: those of Keras' own kinds tell trackers, which are put back themselves.
    methods = collections.OrderedDict if isinstance(one, collections.OrderedDict) else dict
    methods.clear(one)
    methods.update(one, before)


def _set_attributes(one: Any, before: list[tuple[str, Any]]) -> None:
    for name, value in before:
        setattr(one, name, value)


def _listed(one: Any) -> list[Any]:
    return list(list.__iter__(one))


def _set_list(one: Any, before: list[Any]) -> None:
    list.__setitem__(one, slice(None), before)


def _set_set(one: Any, before: set[Any]) -> None:
    set.clear(one)
    set.update(one, before)


def _set_deque(one: Any, before: list[Any]) -> None:
    one.clear()
    one.extend(before)
