"""Digests as TensorFlow operations, so that kilobytes leave the device and not tensors.

`prepare` and `reduce` add the operations, to a graph or as they are called, and `measurements` makes values of what
they return. TensorFlow instantiates a function once for all the times that it is called, but again within each graph
that calls it, which takes as long as tracing it: where tensors can leave their graph prepared, they are digested as the
digests are called.

Small tensors, which are most of a model's, are joined to one vector per type, copied over, and measured on the host:
that is one operation for all of them. The larger ones go through one shared function, some at a call, in a loop over
blocks that stay in the cache. 120 digests as operations of a ResNet-50's probe, each traced by itself, took 21.7 s.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview.format import histogram
from tb_layerview.format.values import Axis
from tb_layerview.measure import host
from tb_layerview.measure.extra import Sparse
from tb_layerview.measure.tf import extra
from tb_layerview.measure.tf.loop import WIDTH, Loop, items

#: Tensors of up to so many elements are measured on the host.
SMALL = 4096
# Larger ones are taken in blocks of so many elements. From some 32 MB on, the C library gives memory back to the system
# each time, and has every page of the float64 copies made anew; far smaller ones pay for handing work to threads.
_BLOCK = 1 << 20

Fetches = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Tap:
    """A tensor to digest.

    Attributes:
      tensor: Of any shape; its type is one that `digest.can_measure`.
      units: Whether to measure each unit (index of the last axis) too; wants rank 2 or more.
      keep: What of each axis to keep, or None. Counts beyond an axis' real size at run time keep what is there.
      sparse: What to measure beside what all tensors have, or None.
      taken: `taken_non_finite` (`sparse_statistics`), a float32 number, or None.
    """

    tensor: tf.Tensor
    units: bool = False
    keep: tuple[Axis, ...] | None = None
    sparse: Sparse | None = None
    taken: tf.Tensor | None = None

    def without_tensor(self) -> Tap:
        """The same, with only what the tensors look like: they would hold their graph."""
        taken = None if self.taken is None else tf.TensorSpec([], tf.float32)
        return dataclasses.replace(self, tensor=tf.TensorSpec(self.tensor.shape, self.tensor.dtype), taken=taken)


def difference_dtype(dtype: tf.DType) -> tf.DType:
    """The type in which a weight's change is computed: half precision would round what is left of a difference."""
    return tf.float32 if dtype.base_dtype in (tf.float16, tf.bfloat16) else dtype.base_dtype


def as_difference(tensor: tf.Tensor) -> tf.Tensor:
    """A weight in the type in which its change is computed."""
    return tf.cast(tensor, difference_dtype(tensor.dtype))


def make_ready(taps: Mapping[int, Tap]) -> None:
    """Traces what digests such tensors, and has threads make it ready to be called in no graph, which is slow.

    Args:
      taps: By any index, with or without the tensors.
    """
    for what, _ in _parts(taps):
        if isinstance(what, _Variant):
            _loop(what).make_ready()
        elif what.is_sparse:
            extra.make_ready(what.name)


def prepare(taps: Mapping[int, Tap]) -> Fetches:
    """Adds what makes of tensors what the digests take.

    Args:
      taps: By any index.

    Returns:
      Tensors, as a nested structure, for `reduce`.
    """
    parts = {
        str(number): _prepare(what, [taps[index] for index in indices])
        for number, (what, indices) in enumerate(_parts(taps))
    }
    return {"parts": parts, "kept": {str(i): tap.tensor for i, tap in taps.items() if tap.keep is not None}}


def reduce(taps: Mapping[int, Tap], prepared: Fetches, with_values: bool = True) -> Fetches:
    """Adds the digests.

    Args:
      taps: What was given to `prepare`, with or without the tensors.
      prepared: What it returned, or what that has evaluated to, as tensors.
      with_values: Whether to add what is kept of the tensors, too.

    Returns:
      Tensors to fetch, as a nested structure: `"digests"`, and if there are values `"values"`, and `"shapes"` of those
      whose values are kept and whose shape is not known. Of these fetch what is `wanted`, and pass what comes back, as
      numpy arrays, to `measurements`.
    """
    digests = {
        str(number): _reduce(what, prepared["parts"][str(number)], [taps[index] for index in indices])
        for number, (what, indices) in enumerate(_parts(taps))
    }
    if not with_values:
        return {"digests": digests}
    tensors = prepared["kept"].items()
    return {
        "digests": digests,
        "values": {i: t[tuple(axis.as_slice() for axis in taps[int(i)].keep or ())] for i, t in tensors},
        "shapes": {i: tf.shape(t) for i, t in tensors if not taps[int(i)].tensor.shape.is_fully_defined()},
    }


def wanted(fetches: Fetches, with_values: bool) -> Fetches:
    """What to fetch of `reduce`'s structure at a step with or without values."""
    return fetches if with_values else {"digests": fetches["digests"]}


def digested(taps: Mapping[int, Tap], prepared: Fetches, with_values: bool) -> host.Measure:
    """Digests what is there.

    Args:
      taps: What was given to `prepare`, without the tensors.
      prepared: What it returned, as tensors.
      with_values: Whether what is kept of the tensors is wanted, too.

    Returns:
      What makes their measurements and needs no device.
    """
    fetched = tf.nest.map_structure(lambda tensor: tensor.numpy(), reduce(taps, prepared, with_values))
    return functools.partial(measurements, taps, fetched)


def measure(taps: Mapping[int, Tap], arrays: Mapping[int, npt.NDArray[np.generic]]) -> dict[int, host.Measurement]:
    """Measures what is on the host already, block by block on the processor, in a graph of its own.

    Args:
      taps: By any index; what tensors they hold does not matter.
      arrays: What to measure for each, of any shape that the tap's tensor may have.
    """
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.compat.v1.Session() as session:
        tensors = {i: tf.compat.v1.placeholder(array.dtype, array.shape) for i, array in arrays.items()}
        fed = {i: dataclasses.replace(taps[i], tensor=tensor) for i, tensor in tensors.items()}
        fetched = session.run(reduce(fed, prepare(fed)), {tensors[i]: array for i, array in arrays.items()})
        return measurements(fed, fetched)


def measurements(taps: Mapping[int, Tap], fetched: Mapping[str, Any]) -> dict[int, host.Measurement]:
    """Makes measurements of what `reduce`'s tensors evaluated to.

    Args:
      taps: What was given to `prepare`, with or without the tensors.
      fetched: What is `wanted` of `reduce`'s structure, as numpy arrays.
    """
    measured: dict[int, host.Measurement] = {}
    for number, (what, indices) in enumerate(_parts(taps)):
        arrays = fetched["digests"][str(number)]
        if isinstance(what, _Variant):
            measured.update(zip(indices, map(_measurement, items(arrays)), strict=True))
        elif what.is_sparse:
            for index, found in zip(indices, extra.statistics(what.name, arrays), strict=True):
                measured[index] = dataclasses.replace(measured[index], sparse={**measured[index].sparse, **found})
        else:
            offset = 0
            for index in indices:
                tap = taps[index]
                size = tap.tensor.shape.num_elements()
                array = arrays[offset : offset + size].reshape(tap.tensor.shape)
                measured[index] = host.measure(array, units=tap.units, sparse=tap.sparse)
                offset += size
    for name, kept in fetched.get("values", {}).items():
        tap = taps[int(name)]
        shape = fetched["shapes"].get(name, tap.tensor.shape)  # which is known, then
        measured[int(name)] = _with_kept(measured[int(name)], tap, kept, shape)
    return measured


def _with_kept(
    measured: host.Measurement, tap: Tap, kept: npt.NDArray[np.generic], shape: Sequence[int]
) -> host.Measurement:
    """With what is kept; the batch at hand may be smaller than what was planned for, and sizes only known by now."""
    axes = zip(tap.keep or (), kept.shape, shape)
    return dataclasses.replace(
        measured,
        kept=kept,
        kept_axes=tuple(dataclasses.replace(axis, count=n, size=int(size)) for axis, n, size in axes),
    )


@dataclasses.dataclass(frozen=True)
class _Variant:
    """What a digest function is made for: each kind of tensor gets only the operations that it needs.

    Attributes:
      single: The elements are float32, else float64.
      with_units: Statistics per unit are wanted.
      one_block: All tensors are small enough to be taken at once.
    """

    single: bool
    with_units: bool
    one_block: bool


class _Named(NamedTuple):
    """What else is done to tensors: small ones of one type are joined, or a kind of `device_sparse` is measured."""

    name: str
    is_sparse: bool


def _parts(taps: Mapping[int, Tap]) -> list[tuple[_Variant | _Named, list[int]]]:
    """What is done together, and to which taps: the same for the same taps, whether they hold tensors or not.

    What `device_sparse` measures comes after all digests.
    """
    # A loop over a single block takes nothing that shows; another variant of the function takes 160 ms to be made.
    one_block = all((tap.tensor.shape.num_elements() or _BLOCK + 1) <= _BLOCK for tap in taps.values())
    digests: dict[_Variant | _Named, list[int]] = {}
    others: dict[_Variant | _Named, list[int]] = {}
    for index, tap in sorted(taps.items()):
        if tap.taken is not None:
            others.setdefault(_Named(extra.TAKEN, is_sparse=True), []).append(index)
        if (tap.tensor.shape.num_elements() or SMALL + 1) <= SMALL:
            digests.setdefault(_Named(tap.tensor.dtype.base_dtype.name, is_sparse=False), []).append(index)
            continue
        single = tap.tensor.dtype.base_dtype.name not in ("float64", "int32", "uint32", "int64", "uint64")
        digests.setdefault(_Variant(single, _has_units(tap), one_block), []).append(index)
        for kind in () if tap.sparse is None else extra.kinds(tap.sparse):
            others.setdefault(_Named(kind, is_sparse=True), []).append(index)
    parts: list[tuple[_Variant | _Named, list[int]]] = []
    for what, indices in (digests | others).items():
        is_loop = isinstance(what, _Variant) or what.is_sparse
        size = WIDTH if is_loop else len(indices)
        parts += [(what, indices[start : start + size]) for start in range(0, len(indices), size)]
    return parts


def _has_units(tap: Tap) -> bool:
    return tap.units and tap.tensor.shape.rank is not None and tap.tensor.shape.rank > 1


def _prepare(what: _Variant | _Named, taps: Sequence[Tap]) -> list[tf.Tensor]:
    """What is taken of these taps."""
    if isinstance(what, _Variant):
        return [_rows(tap.tensor, what) for tap in taps]
    if what.name == extra.TAKEN:
        return [tf.stack([tap.taken for tap in taps])]
    if what.is_sparse:
        return [extra.prepare(what.name, tap.tensor, tap.sparse) for tap in taps if tap.sparse is not None]
    flat = tf.constant([-1])  # one for all: each is an operation of the graph
    return [tf.concat([tap.tensor if tap.tensor.shape.rank == 1 else tf.reshape(tap.tensor, flat) for tap in taps], 0)]


def _reduce(what: _Variant | _Named, prepared: list[tf.Tensor], taps: Sequence[Tap]) -> Any:
    """Adds what is done to these taps."""
    if isinstance(what, _Variant):
        return _loop(what)(prepared)
    if what.name == extra.TAKEN:
        return prepared[0]
    if what.is_sparse:
        return extra.reduce(what.name, prepared, [tap.sparse for tap in taps if tap.sparse is not None])
    return prepared[0]


def _rows(tensor: tf.Tensor, variant: _Variant) -> tf.Tensor:
    """As a matrix [rows, units], or a vector if no units are wanted.

    A slice of a vector is no copy; one of a matrix is none if its rows are 64 bytes or a multiple.
    """
    values = tf.cast(tensor, tf.float32 if variant.single else tf.float64)
    if not variant.with_units:
        return tf.reshape(values, [-1])
    units = values.shape[-1]
    if not units:  # not known, or there are none
        units, rows = tf.shape(values)[-1], tf.reduce_prod(tf.shape(values)[:-1])
        return tf.reshape(values, tf.stack([rows, units]))
    return tf.reshape(values, [-1, units])


# float64 each: how many elements are negative, and how many there are; centre and shift; sum and sum of squares of the
# distances from the centre.
_NUMBERS = 6
# Of each unit, or of all, float64 each: the smallest finite element, the negative of the largest, how many are not
# finite, +inf and -inf, the sum and the sum of squares of the finite ones, and how many are zero.
_COLUMNS = 8


def _measurement(arrays: Mapping[str, npt.NDArray[Any]]) -> host.Measurement:
    negative, size, center, shift, first, second = (float(x) for x in arrays["numbers"])
    columns = arrays["columns"].T
    low, minus_high = (float(x) for x in columns[:2].reshape(2, -1).min(axis=1, initial=np.inf))
    not_finite, pos_inf, neg_inf, zero = (int(x) for x in columns[[2, 3, 4, 7]].reshape(4, -1).sum(axis=1))
    nan, finite = not_finite - pos_inf - neg_inf, int(size) - not_finite
    high = -minus_high
    if finite:
        offset = first / finite
        # Rounding may put the mean of equal values beside them.
        mean = min(max(center + offset, low), high)
        std = 0.0 if low == high else float(np.sqrt(max(second / finite - offset * offset, 0.0)))
        rms = float(np.hypot(mean, std))
    else:
        low = high = mean = std = rms = float("nan")
    units = None
    if columns.ndim > 1:
        count = size / max(columns.shape[1], 1) - columns[2]
        total, squares, zeros = columns[5:]
        units = host.units_from_sums(count, total, squares, zeros, np.abs(columns[:2]).max(axis=0))
    return host.Measurement(
        digest=host.Digest(int(size), nan, pos_inf, neg_inf, zero, int(negative), low, high, mean, std, rms),
        code_counts=arrays["codes"],
        center=center,
        shift=int(shift),
        units=units,
    )


_loops: dict[_Variant, Loop] = {}


def _loop(variant: _Variant) -> Loop:
    """The function that digests tensors of one kind."""
    of_blocks = dataclasses.replace(variant, one_block=False)
    if of_blocks in _loops:  # which does for single ones too
        return _loops[of_blocks]
    if variant not in _loops:
        shape, units = ([None, None], [None]) if variant.with_units else ([None], [])
        outputs = {
            "numbers": tf.TensorSpec([_NUMBERS], tf.float64),
            "codes": tf.TensorSpec([histogram.CODES], tf.int32),
            "columns": tf.TensorSpec([*units, _COLUMNS], tf.float64),
        }
        rows = tf.TensorSpec(shape, tf.float32 if variant.single else tf.float64)
        _loops[variant] = Loop(lambda matrix: _digest(matrix, variant), [rows], outputs)
    return _loops[variant]


_HALF = histogram.CODES // 2  # the code of -0, and of negative subnormals below 2**-130
_END = _HALF - 16  # of a sign's finite codes; then come infinity and NaN


def _digest(rows: tf.Tensor, variant: _Variant) -> tuple[tf.Tensor, ...]:
    """What is found in a matrix [rows, units], or a vector if no units are wanted: see `_loop`."""
    sizes = tf.unstack(tf.shape(rows), 2 if variant.with_units else 1)
    width, step = tf.constant(1.0, tf.float64), tf.constant(_BLOCK)
    if variant.with_units:
        width = tf.cast(sizes[1], tf.float64)
        step = 1 + tf.cast(_BLOCK / (1 + width), tf.int32)

    def add(block: tf.Tensor, *so_far: tf.Tensor) -> tuple[tf.Tensor, ...]:
        ends, sums, counts = zip(so_far, _digest_block(block, variant))
        return tf.minimum(*ends), tf.add(*sums), tf.add(*counts)

    if variant.one_block:
        ends, sums, counts = _digest_block(rows, variant)
    else:
        ends, sums, counts = _over_blocks(
            rows,
            sizes[0],
            step,
            add,
            tf.fill(tf.stack([2, *sizes[1:]]), tf.constant(np.inf, tf.float64)),
            tf.fill(tf.stack([_COLUMNS - 2, *sizes[1:]]), tf.constant(0.0, tf.float64)),
            tf.constant(0, tf.int32, [histogram.CODES if variant.single else 1]),
        )
    size = tf.cast(sizes[0], tf.float64) * width
    totals = tf.reduce_sum(sums, 1) if variant.with_units else sums
    not_finite, _, _, first, second, _ = tf.unstack(totals, _COLUMNS - 2)
    n = size - not_finite
    # std < |mean| / CENTER_RATIO
    is_centred = second * n < (1 + 1 / histogram.CENTER_RATIO**2) * first * first

    def again(by: tf.Tensor, shift: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
        def look(block: tf.Tensor, *so_far: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return tuple(old + new for old, new in zip(so_far, _look_again(block, tf.cast(by, rows.dtype), shift)))

        none = tf.constant(0, tf.int32, [histogram.CODES]), tf.constant(0.0, tf.float64, [2])
        if variant.one_block:
            return look(rows, *none)
        return _over_blocks(rows, sizes[0], step, look, *none)

    if variant.single:
        negative = tf.reduce_sum(counts[_HALF + 1 : _HALF + _END])

        def centred() -> tuple[tf.Tensor, ...]:
            # Rounded to float32, so that the distance of near elements from it is exact. This look also gives the
            # variance that the first one, far from zero, cannot.
            by = tf.cast(tf.cast(first / n, tf.float32), tf.float64)
            return (*again(by, None), tf.stack([by, 0.0]))

        codes, about_center, center_and_shift = tf.cond(
            is_centred, centred, lambda: (counts, tf.stack([first, second]), tf.constant([0.0, 0.0], tf.float64))
        )
    else:
        negative = counts[0]
        by = tf.where(is_centred, tf.math.divide_no_nan(first, n), 0.0)
        whole = tf.reduce_min(ends, 1) if variant.with_units else ends
        largest = tf.reduce_max(tf.abs(whole - tf.stack([by, -by])))
        exponent = tf.cast(tf.floor(tf.math.log(tf.maximum(largest, 1e-300)) / np.log(2.0)), tf.int32) + 1
        shift = tf.where((tf.abs(exponent) > 64) & (largest > 0), exponent, 0)
        codes, about_center = again(by, shift)
        center_and_shift = tf.stack([by, tf.cast(shift, tf.float64)])
    own = tf.stack([tf.cast(negative, tf.float64), size])
    columns = tf.concat([ends, sums], 0)
    return (
        tf.concat([own, center_and_shift, about_center], 0),
        codes,
        tf.transpose(columns) if variant.with_units else columns,
    )


def _digest_block(raw: tf.Tensor, variant: _Variant) -> tuple[tf.Tensor, ...]:
    """What one block adds, all of the finite elements.

    The codes are counted first: they tell what need not be looked for.

    Returns:
      float64 [2] and [6], or [2, units] and [6, units]: the columns, of which the first two are ends and the others
      sums; int32 [histogram.CODES], the code counts, or of float64 [1], how many elements are negative.
    """
    if variant.single:
        counts = _code_counts(raw)
        of_magnitudes = tf.reduce_sum(tf.reshape(counts, [2, _HALF]), 0)
        zero_codes, _, others = tf.split(of_magnitudes, [1, _END - 1, _HALF - _END])
        all_finite, zeros = tf.reduce_sum(others) < 1, tf.reduce_sum(zero_codes)
    else:
        zero = tf.constant(0, raw.dtype)
        # A sum that overflows takes the longer way too, which does no harm.
        all_finite, zeros = tf.math.is_finite(tf.reduce_sum(raw)), _count(tf.equal(raw, zero))
        counts = _count(tf.math.is_finite(raw) & tf.less(raw, zero))[tf.newaxis]
    sizes = tf.unstack(tf.shape(raw), 2 if variant.with_units else 1)
    none = tf.constant(0.0, tf.float64)
    block, ends, not_finite = tf.cond(
        all_finite,
        lambda: (raw, _ends(raw, variant), tf.fill(tf.stack([3, *sizes[1:]]), none)),
        lambda: _without_non_finite(raw),
    )
    wide = tf.cast(block, tf.float64)
    if variant.with_units:
        # A product takes a quarter of the time of a sum over one axis.
        ones = tf.fill(tf.stack([1, sizes[0]]), tf.constant(1.0, tf.float64))
        zeros_of_units = tf.cond(
            tf.less(0, zeros),
            lambda: tf.linalg.matmul(ones, tf.cast(tf.equal(raw, tf.constant(0, raw.dtype)), tf.float64)),
            lambda: tf.fill(tf.stack([1, *sizes[1:]]), none),  # as most often
        )
        sums = [*(tf.linalg.matmul(ones, of) for of in (wide, wide * wide)), zeros_of_units]
    else:
        sums = [tf.stack([tf.reduce_sum(wide), 2 * tf.nn.l2_loss(wide), tf.cast(zeros, tf.float64)])]
    return ends, tf.concat([not_finite, *sums], 0), counts


def _ends(block: tf.Tensor, variant: _Variant) -> tf.Tensor:
    """float64 [2] or [2, units]: the smallest and the negative of the largest."""
    axis = 0 if variant.with_units else None
    ends = tf.reduce_min(block, axis), tf.constant(0, block.dtype) - tf.reduce_max(block, axis)
    return tf.stack([tf.cast(end, tf.float64) for end in ends])


def _without_non_finite(raw: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """One block with what is not finite replaced by zeros, and what it was.

    Returns:
      The block; `_ends` of its finite elements; float64 [3] or [3, units]: how many are not finite, +inf and -inf.
    """
    signs = tf.constant([1, -1], raw.dtype, [2] + [1] * raw.shape.rank)
    inf = tf.constant(np.inf, raw.dtype)
    is_finite = tf.math.is_finite(raw)
    ends = tf.reduce_min(tf.where(is_finite, raw * signs, inf), 1)
    not_finite = tf.reduce_sum(tf.cast(tf.logical_not(is_finite), tf.float64), 0, keepdims=True)
    infinite = tf.reduce_sum(tf.cast(tf.equal(raw, signs * inf), tf.float64), 1)
    block = tf.where(is_finite, raw, tf.constant(0, raw.dtype))
    return block, tf.cast(ends, tf.float64), tf.concat([not_finite, infinite], 0)


def _look_again(block: tf.Tensor, center: tf.Tensor, shift: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Code counts of (block - center) / 2**shift, and float64 [2]: sum and sum of squares of block - center."""
    distance = block - center
    finite = tf.where(tf.math.is_finite(block), distance, tf.constant(0, block.dtype))
    wide = tf.cast(finite, tf.float64)
    if shift is not None:
        half = shift // 2  # 2**-shift alone may be out of range
        for part in (half, shift - half):
            distance *= tf.pow(tf.constant(2.0, block.dtype), -tf.cast(part, block.dtype))
    codes = _code_counts(tf.cast(distance, tf.float32))
    return codes, tf.stack([tf.reduce_sum(wide), 2 * tf.nn.l2_loss(wide)])


def _over_blocks(
    rows: tf.Tensor,
    size: tf.Tensor,
    step: tf.Tensor,
    add: Callable[..., tuple[tf.Tensor, ...]],
    *initial: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """What `add`, given a block of rows and what was found so far, makes of all blocks, one after the other.

    Args:
      rows: A matrix or a vector.
      size: How many rows there are.
      step: How many a block has.
      add: What is added.
      initial: What is found in no rows.
    """
    return tuple(
        tf.while_loop(
            lambda start, *_: start < size,
            lambda start, *so_far: (start + step, *add(rows[start : start + step], *so_far)),
            (tf.constant(0), *initial),
            parallel_iterations=1,
        )[1:]
    )


def _code_counts(block: tf.Tensor) -> tf.Tensor:
    """int32 [histogram.CODES]: how many elements of a float32 tensor have each code."""
    bits = tf.bitcast(block, tf.uint32)
    codes = tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(histogram.CODE_SHIFT, tf.uint32)), tf.int32)
    return tf.raw_ops.Bincount(arr=codes, size=histogram.CODES, weights=tf.constant([], tf.int32))


def _count(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32))
