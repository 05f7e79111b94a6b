"""The digest of a large tensor, on the device and on the host, against copying it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.measuring import Action, Options, Row, ratio_row, ratios
from tb_layerview.measure import host
from tb_layerview.measure.native import library
from tb_layerview.measure.tf import on_device
from tb_layerview.measure.tf.tap import Tap

SHAPE = (10_000, 1_000)


def codes(values: tf.Tensor) -> tf.Tensor:
    """The code of each element of a float32 tensor, as a vector: see `tb_layerview.format.histogram`."""
    bits = tf.bitwise.right_shift(tf.bitcast(values, tf.uint32), tf.constant(19, tf.uint32))
    return tf.reshape(tf.bitcast(bits, tf.int32), [-1])


def count(codes: tf.Tensor) -> tf.Tensor:
    """How many have each code, by the fastest operation of TensorFlow that counts."""
    return tf.raw_ops.Bincount(arr=codes, size=8192, weights=tf.constant([], tf.int32))


def rows(options: Options) -> list[Row]:
    """Digest and histogram of 10 million floats, and what of it no order of operations can save."""
    # Added to 0: TensorFlow's own memory, aligned as variables and gradients are.
    values = tf.constant(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)) + 0.0
    source = values.numpy()
    target = np.empty_like(source)

    def digest(units: bool) -> Action:
        taps = {0: Tap(values, units=units)}
        prepared = on_device.prepare(taps)
        return lambda: on_device.reduce(taps, prepared)["digests"]["0"]["numbers"].numpy()

    flat = codes(values)
    native = library.engine()
    actions = {
        "memcpy": lambda: np.copyto(target, source),
        "digest": digest(units=False),
        "units": digest(units=True),
        "count": lambda: count(flat).numpy(),
        "cast": lambda: tf.cast(values, tf.float64),
        "host": lambda: host.measure(source),
        "host units": lambda: host.measure(source, units=True),
        "numpy": lambda: host.look(source, units=True),
    }
    timed = dict(zip(actions, ratios(list(actions.values()), options.rounds(15))))
    against = "one memcpy of them, into memory that is there"
    what = "digest and histogram of 10 million float32 on the device, float64 moments"
    on_host = "digest and histogram of 10 million float32 on the host, " + (
        f"by the native digest ({native.level})" if native else "by numpy, as there is no native digest"
    )
    return [
        ratio_row(on_host, against, timed["host"], timed["memcpy"]),
        ratio_row("the same, with statistics of 1,000 units", against, timed["host units"], timed["memcpy"], most=1.5),
        ratio_row("of those, numpy's", against, timed["numpy"], timed["memcpy"]),
        ratio_row(what, against, timed["digest"], timed["memcpy"], most=3.5),
        ratio_row("the same, with statistics of 1,000 units", against, timed["units"], timed["memcpy"]),
        ratio_row(
            "of that, TensorFlow's `Bincount` alone, over codes that are there",
            against,
            timed["count"],
            timed["memcpy"],
        ),
        ratio_row("of that, TensorFlow's cast to float64 alone", against, timed["cast"], timed["memcpy"]),
    ]
