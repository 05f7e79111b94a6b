"""Digests as TensorFlow operations, so that kilobytes leave the device and not tensors.

`reduce` adds the operations, to a `tf.function` that is being traced or to a TF1 graph alike, or runs them at once;
`measurements` makes values of what they return.

Small tensors, which are most of a model's, are joined to one vector per type, copied over, and measured on the host:
that is one operation for all of them. Each larger one goes through one shared function in a loop over blocks that stay
in the cache. It is called, not inlined: 120 digests inlined into a ResNet-50's probe took 21.7 s to trace.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import device_sparse, histogram
from tb_layerview import digest as host
from tb_layerview.device_call import call
from tb_layerview.sparse_statistics import Sparse
from tb_layerview.values import Axis

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
    """

    tensor: tf.Tensor
    units: bool = False
    keep: tuple[Axis, ...] | None = None
    sparse: Sparse | None = None

    def without_tensor(self) -> Tap:
        """The same, with only what the tensor looks like: the tensor would hold its graph."""
        return dataclasses.replace(self, tensor=tf.TensorSpec(self.tensor.shape, self.tensor.dtype))


def difference_dtype(dtype: tf.DType) -> tf.DType:
    """The type in which a weight's change is computed: half precision would round what is left of a difference."""
    return tf.float32 if dtype.base_dtype in (tf.float16, tf.bfloat16) else dtype.base_dtype


def as_difference(tensor: tf.Tensor) -> tf.Tensor:
    """A weight in the type in which its change is computed."""
    return tf.cast(tensor, difference_dtype(tensor.dtype))


def reduce(taps: Mapping[int, Tap], with_values: bool = True) -> Fetches:
    """Adds the digests of all taps.

    Args:
      taps: By any index.
      with_values: Whether to add what is kept of the tensors, too.

    Returns:
      Tensors to fetch, as a nested structure: `"digests"`, and with values `"values"`, and `"shapes"` of those whose
      values are kept and whose shape is not known. Of these fetch what is `wanted`, and pass what comes back, as numpy
      arrays, to `measurements`.
    """
    small: dict[str, list[int]] = {}
    digests: dict[str, Any] = {}
    # A loop over a single block takes nothing that shows; another variant of the function takes 160 ms to be made.
    one_block = all((tap.tensor.shape.num_elements() or _BLOCK + 1) <= _BLOCK for tap in taps.values())
    for index, tap in sorted(taps.items()):
        if _is_small(tap):
            small.setdefault(_dtype(tap), []).append(index)
        else:
            digests[f"large/{index}"] = _reduce_large(tap, one_block)
    for dtype, indices in small.items():
        digests[f"small/{dtype}"] = tf.concat([tf.reshape(taps[i].tensor, [-1]) for i in indices], axis=0)
    if not with_values:
        return {"digests": digests}
    kept = {
        str(index): tap.tensor[tuple(axis.as_slice() for axis in tap.keep)]
        for index, tap in sorted(taps.items())
        if tap.keep is not None
    }
    shapes = {name: tf.shape(taps[int(name)].tensor) for name in kept}
    return {
        "digests": digests,
        "values": kept,
        "shapes": {n: shape for n, shape in shapes.items() if not taps[int(n)].tensor.shape.is_fully_defined()},
    }


def wanted(fetches: Fetches, with_values: bool) -> Fetches:
    """What to fetch of `reduce`'s structure at a step with or without values."""
    return fetches if with_values else {"digests": fetches["digests"]}


def wanted_of(fetches: Fetches, taps: Mapping[int, Tap], indices: Collection[int]) -> Fetches:
    """What to fetch of `reduce`'s structure, values and all, where only some taps can be had.

    Args:
      fetches: What `reduce` returned.
      taps: What was given to it.
      indices: Those that can be had. Of the small ones of a type all are fetched, or none.
    """
    missing = {_dtype(tap) for i, tap in taps.items() if _is_small(tap) and i not in indices}

    def is_had(name: str) -> bool:
        where, _, which = name.partition("/")
        return int(which) in indices if where == "large" else which not in missing

    had = {part: {n: f for n, f in fetches[part].items() if int(n) in indices} for part in ("values", "shapes")}
    return {"digests": {n: f for n, f in fetches["digests"].items() if is_had(n)}, **had}


def _is_small(tap: Tap) -> bool:
    return (tap.tensor.shape.num_elements() or SMALL + 1) <= SMALL


def _dtype(tap: Tap) -> str:
    return str(tap.tensor.dtype.base_dtype.name)


def measurements(taps: Mapping[int, Tap], fetched: Mapping[str, Any]) -> dict[int, host.Measurement]:
    """Makes measurements of what `reduce`'s tensors evaluated to.

    Args:
      taps: What was given to `reduce`.
      fetched: What is `wanted` of `reduce`'s structure, as numpy arrays.
    """
    measured: dict[int, host.Measurement] = {}
    for name, arrays in fetched["digests"].items():
        where, _, which = name.partition("/")
        if where == "large":
            measured[int(which)] = _measurement(arrays, taps[int(which)])
        else:
            offset = 0
            for index, tap in sorted(taps.items()):
                if _is_small(tap) and _dtype(tap) == which:
                    size = tap.tensor.shape.num_elements()
                    array = arrays[offset : offset + size].reshape(tap.tensor.shape)
                    measured[index] = host.measure(array, units=tap.units, sparse=tap.sparse)
                    offset += size
    for index, kept in fetched.get("values", {}).items():
        axes = taps[int(index)].keep or ()
        # The batch at hand may be smaller than what was planned for, and sizes only known by now.
        sizes = fetched["shapes"].get(index, [axis.size for axis in axes])
        axes = tuple(
            dataclasses.replace(axis, count=n, size=int(size)) for axis, n, size in zip(axes, kept.shape, sizes)
        )
        measured[int(index)] = dataclasses.replace(measured[int(index)], kept=kept, kept_axes=axes)
    return measured


def _reduce_large(tap: Tap, one_block: bool) -> dict[str, Any]:
    single = tap.tensor.dtype.base_dtype.name not in ("float64", "int32", "uint32", "int64", "uint64")
    values = tf.cast(tap.tensor, tf.float32 if single else tf.float64)
    with_units = tap.units and tap.tensor.shape.rank is not None and tap.tensor.shape.rank > 1
    # A slice of a vector is no copy; one of a matrix is none if its rows are 64 bytes or a multiple.
    rows = tf.reshape(values, [-1, tf.shape(values)[-1]] if with_units else [-1])
    fields: dict[str, Any] = dict(zip(_FIELDS, call(_digest_function(_Variant(single, with_units, one_block)), [rows])))
    if tap.sparse is not None:
        fields["sparse"] = device_sparse.reduce(tap.tensor, tap.sparse)
    return fields


# counts: non-finite elements (NaN, +inf, -inf), zeros, negative ones, and all. moments: min, -max, and sum and sum of
# squares of the distances from the centre. unit_sums: how many finite elements each unit has, their sum, the sum of
# their squares, zeros.
_FIELDS = ("counts", "moments", "codes", "center", "shift", "unit_sums", "unit_peak")


def _measurement(arrays: Mapping[str, Any], tap: Tap) -> host.Measurement:
    nan, pos_inf, neg_inf, zero, negative, size = (int(n) for n in arrays["counts"])
    finite = size - nan - pos_inf - neg_inf
    low, minus_high, first, second = (float(x) for x in arrays["moments"])
    high = -minus_high
    center = float(arrays["center"])
    if finite:
        offset = first / finite
        # Rounding may put the mean of equal values beside them.
        mean = min(max(center + offset, low), high)
        std = 0.0 if low == high else float(np.sqrt(max(second / finite - offset * offset, 0.0)))
        rms = float(np.hypot(mean, std))
    else:
        low = high = mean = std = rms = float("nan")
    units = None
    if tap.units and (tap.tensor.shape.rank or 0) > 1:
        count, sums, squares, zeros = arrays["unit_sums"]
        units = host.units_from_sums(count, sums, squares, zeros, arrays["unit_peak"])
    return host.Measurement(
        digest=host.Digest(size, nan, pos_inf, neg_inf, zero, negative, low, high, mean, std, rms),
        code_counts=arrays["codes"],
        center=center,
        shift=int(arrays["shift"]),
        units=units,
        sparse=device_sparse.statistics(arrays.get("sparse", {})),
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


_functions: dict[_Variant, Any] = {}


def _digest_function(variant: _Variant) -> Any:
    """The function that digests a matrix [rows, units], or a vector if no units are wanted."""
    if variant not in _functions:
        dtype = tf.float32 if variant.single else tf.float64

        @tf.function(
            input_signature=[tf.TensorSpec([None, None] if variant.with_units else [None], dtype)],
            autograph=False,
            experimental_attributes={"_noinline": True},
        )
        def digest(rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return _digest(rows, variant)

        with tf.init_scope():
            _functions[variant] = digest.get_concrete_function()
    return _functions[variant]


def _digest(rows: tf.Tensor, variant: _Variant) -> tuple[tf.Tensor, ...]:
    units = tf.shape(rows)[1:]  # none if none are wanted
    if variant.one_block:
        sums, ends, counts, codes, unit_sums, unit_peak = _digest_block(rows, variant)
    else:

        def add(block: tf.Tensor, *so_far: tf.Tensor) -> tuple[tf.Tensor, ...]:
            sums, ends, counts, codes, unit_sums, unit_peak = zip(so_far, _digest_block(block, variant))
            added = (tf.add(*both) for both in (counts, codes, unit_sums))
            return (tf.add(*sums), tf.minimum(*ends), *added, tf.maximum(*unit_peak))

        sums, ends, counts, codes, unit_sums, unit_peak = _over_blocks(
            rows,
            add,
            tf.zeros([3], tf.float64),
            tf.fill([2], tf.constant(np.inf, tf.float64)),
            tf.zeros([5], tf.int32),
            tf.zeros([histogram.CODES if variant.single else 0], tf.int32),
            tf.zeros(tf.concat([[4], units], 0) if variant.with_units else [4, 0], tf.float64),
            tf.zeros(units if variant.with_units else [0], rows.dtype),
        )
    n, first, second = tf.unstack(sums)
    mean = tf.math.divide_no_nan(first, n)
    std = tf.sqrt(tf.maximum(tf.math.divide_no_nan(second, n) - mean * mean, 0.0))
    is_centred = std < tf.abs(mean) / histogram.CENTER_RATIO
    center, shift = tf.where(is_centred, mean, tf.zeros_like(mean)), tf.constant(0)
    if variant.single:
        # Rounded to float32, so that the distance of near elements from it is exact. Only centred tensors are looked at
        # again, and for these the second look also gives the variance that the first one, far from zero, cannot.
        center = tf.cast(tf.cast(center, tf.float32), tf.float64)
        again = tf.cond(
            is_centred,
            lambda: _look_again(rows, center, None, variant),
            lambda: (codes, sums[1:]),
        )
    else:
        largest = tf.reduce_max(tf.abs(ends - tf.stack([center, -center])))
        exponent = tf.cast(tf.floor(tf.math.log(tf.maximum(largest, 1e-300)) / np.log(2.0)), tf.int32) + 1
        shift = tf.where((tf.abs(exponent) > 64) & (largest > 0), exponent, 0)
        again = _look_again(rows, center, shift, variant)
    codes, about_center = again
    counts = tf.concat([counts, [tf.size(rows)]], axis=0)
    return counts, tf.concat([ends, about_center], axis=0), codes, center, shift, unit_sums, unit_peak


_HALF = histogram.CODES // 2  # the code of -0, and of negative subnormals below 2**-130
_END = _HALF - 16  # of a sign's finite codes; then come infinity and NaN


def _digest_block(raw: tf.Tensor, variant: _Variant) -> tuple[tf.Tensor, ...]:
    """What one block adds, all of the finite elements.

    The codes are counted first: they tell what need not be looked for.

    Returns:
      float64 [3]: how many they are, their sum and sum of squares; float64 [2]: the smallest and the negative of the
      largest; int32 [5]: NaN, +inf, -inf, zeros, negative ones; the code counts; and two of `_FIELDS`, of units.
    """
    zero = tf.zeros([], raw.dtype)
    if variant.single:
        codes = _code_counts(raw)
        # Of each sign: zeros, finite ones, others.
        zeros, finite, others = tf.split(tf.reshape(codes, [2, _HALF]), [1, _END - 1, 16], axis=1)
        all_finite = tf.equal(tf.reduce_sum(others), 0)
        signs = tf.stack([tf.reduce_sum(zeros), tf.reduce_sum(finite[1])])
    else:
        codes = tf.zeros([0], tf.int32)
        # A sum that overflows takes the longer way too, which does no harm.
        all_finite = tf.math.is_finite(tf.reduce_sum(raw))
        is_negative = tf.math.is_finite(raw) & tf.less(raw, zero)
        signs = tf.stack([_count(tf.equal(raw, zero)), _count(is_negative)])
    block, least, most, not_finite, absent = tf.cond(
        all_finite,
        lambda: (raw, raw, raw, tf.zeros([3], tf.int32), tf.zeros(tf.shape(raw)[1:], tf.float64)),
        lambda: _without_non_finite(raw, variant),
    )
    n = tf.cast(tf.size(raw) - tf.reduce_sum(not_finite), tf.float64)
    wide = tf.cast(block, tf.float64)
    if variant.with_units:
        low, high = tf.reduce_min(least, 0), tf.reduce_max(most, 0)
        unit_peak = tf.maximum(tf.abs(low), tf.abs(high))
        present = tf.cast(tf.shape(raw)[0], tf.float64) - absent
        of_units = _sum_per_unit(wide), _sum_per_unit(tf.square(wide))
        unit_sums = tf.stack([present, *of_units, _zeros_per_unit(raw, signs[0])])
        total, total_squares = (tf.reduce_sum(of_unit) for of_unit in of_units)
    else:
        low, high = least, most
        unit_sums, unit_peak = tf.zeros([4, 0], tf.float64), tf.zeros([0], raw.dtype)
        total, total_squares = tf.reduce_sum(wide), 2 * tf.nn.l2_loss(wide)
    ends = tf.cast(tf.stack([tf.reduce_min(low), -tf.reduce_max(high)]), tf.float64)
    counts = tf.concat([not_finite, signs], axis=0)
    return tf.stack([n, total, total_squares]), ends, counts, codes, unit_sums, unit_peak


def _without_non_finite(raw: tf.Tensor, variant: _Variant) -> tuple[tf.Tensor, ...]:
    """One block with what is not finite replaced, and what it was.

    Returns:
      The block for sums, for minima and for maxima; int32 [3]: how many are NaN, +inf and -inf; float64 [units]: how
      many of each unit are not finite.
    """
    inf = tf.constant(np.inf, raw.dtype)
    finite = tf.math.is_finite(raw)
    replaced = (tf.where(finite, raw, other) for other in (tf.zeros_like(inf), inf, -inf))
    not_finite = tf.stack([_count(tf.math.is_nan(raw)), _count(tf.equal(raw, inf)), _count(tf.equal(raw, -inf))])
    absent = tf.cast(tf.logical_not(finite), tf.float64)
    return (*replaced, not_finite, _sum_per_unit(absent) if variant.with_units else tf.reduce_sum(absent))


def _zeros_per_unit(raw: tf.Tensor, zeros: tf.Tensor) -> tf.Tensor:
    """How many elements of each unit are zero, float64, where it is known how many are in all: most often none."""

    def count() -> tf.Tensor:
        # float32 counts exactly up to 2**24, which is the size of a block.
        is_zero = tf.equal(raw, tf.zeros([], raw.dtype))
        return tf.cast(tf.raw_ops.BiasAddGrad(out_backprop=tf.cast(is_zero, tf.float32)), tf.float64)

    return tf.cond(zeros > 0, count, lambda: tf.zeros(tf.shape(raw)[1:], tf.float64))


def _look_again(
    rows: tf.Tensor, center: tf.Tensor, shift: tf.Tensor | None, variant: _Variant
) -> tuple[tf.Tensor, tf.Tensor]:
    """Code counts of (rows - center) / 2**shift, and float64 [2]: sum and sum of squares of rows - center."""
    by = tf.cast(center, rows.dtype)

    def look(block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        distance = block - by
        wide = tf.cast(tf.where(tf.math.is_finite(block), distance, tf.zeros_like(distance)), tf.float64)
        if shift is not None:
            half = shift // 2  # 2**-shift alone may be out of range
            for part in (half, shift - half):
                distance *= tf.pow(tf.constant(2.0, rows.dtype), -tf.cast(part, rows.dtype))
        codes = _code_counts(tf.cast(distance, tf.float32))
        return codes, tf.stack([tf.reduce_sum(wide), 2 * tf.nn.l2_loss(wide)])

    if variant.one_block:
        return look(rows)
    codes, sums = _over_blocks(
        rows,
        lambda block, *so_far: tuple(old + new for old, new in zip(so_far, look(block))),
        tf.zeros([histogram.CODES], tf.int32),
        tf.zeros([2], tf.float64),
    )
    return codes, sums


def _over_blocks(
    rows: tf.Tensor, add: Callable[..., tuple[tf.Tensor, ...]], *initial: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """What `add`, given a block of rows and what was found so far, makes of all blocks, one after the other."""
    total, step = tf.shape(rows)[0], _rows_of_block(rows)
    return tuple(
        tf.while_loop(
            lambda start, *_: start < total,
            lambda start, *so_far: (start + step, *add(rows[start : start + step], *so_far)),
            (tf.constant(0), *initial),
            parallel_iterations=1,
        )[1:]
    )


def _rows_of_block(rows: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1, _BLOCK // tf.maximum(tf.reduce_prod(tf.shape(rows)[1:]), 1))


def _code_counts(block: tf.Tensor) -> tf.Tensor:
    """int32 [histogram.CODES]: how many elements of a float32 tensor have each code."""
    bits = tf.bitcast(tf.reshape(block, [-1]), tf.uint32)
    codes = tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(histogram.CODE_SHIFT, tf.uint32)), tf.int32)
    return tf.raw_ops.Bincount(arr=codes, size=histogram.CODES, weights=tf.constant([], tf.int32))


def _sum_per_unit(rows: tf.Tensor) -> tf.Tensor:
    """Sums over all axes but the last of a float64 matrix: a product takes two thirds of `BiasAddGrad`'s time."""
    return tf.linalg.matmul(tf.ones([1, tf.shape(rows)[0]], tf.float64), rows)[0]


def _count(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32))
