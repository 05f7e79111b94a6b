"""The digest of larger tensors as TensorFlow operations: one shared function that goes through them in blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview.format import histogram, statistics
from tb_layerview.measure import host, measurement
from tb_layerview.measure.tf.loop import Loop

# Larger ones are taken in blocks of so many elements. From some 32 MB on, the C library gives memory back to the system
# each time, and has every page of the float64 copies made anew; far smaller ones pay for handing work to threads.
BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a digest function is made for: each kind of tensor gets only the operations that it needs.

    Attributes:
      single: The elements are float32, else float64.
      with_units: Statistics per unit are wanted.
      one_block: All tensors are small enough to be taken at once.
    """

    single: bool
    with_units: bool
    one_block: bool


def rows(tensor: tf.Tensor, variant: Variant) -> tf.Tensor:
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


def to_measurement(arrays: Mapping[str, npt.NDArray[Any]]) -> measurement.Measurement:
    """What the digest's arrays say of a tensor."""
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
    return measurement.Measurement(
        digest=statistics.Digest(int(size), nan, pos_inf, neg_inf, zero, int(negative), low, high, mean, std, rms),
        cells=histogram.Cells.of(arrays["codes"]),
        center=center,
        shift=int(shift),
        units=units,
    )


_loops: dict[Variant, Loop] = {}


def loop_of(variant: Variant) -> Loop:
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


def _digest(rows: tf.Tensor, variant: Variant) -> tuple[tf.Tensor, ...]:
    """What is found in a matrix [rows, units], or a vector if no units are wanted: see `_loop`."""
    sizes = tf.unstack(tf.shape(rows), 2 if variant.with_units else 1)
    width, step = tf.constant(1.0, tf.float64), tf.constant(BLOCK)
    if variant.with_units:
        width = tf.cast(sizes[1], tf.float64)
        step = 1 + tf.cast(BLOCK / (1 + width), tf.int32)

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


def _digest_block(raw: tf.Tensor, variant: Variant) -> tuple[tf.Tensor, ...]:
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


def _ends(block: tf.Tensor, variant: Variant) -> tf.Tensor:
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
