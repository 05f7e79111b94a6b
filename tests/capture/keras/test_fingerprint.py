"""What tells whether two runs were given the same inputs: it follows their numbers, and not who holds them how."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tb_layerview.capture.passes.fingerprint import fingerprint

pytestmark = pytest.mark.once

PICTURES = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
LABELS = np.array([3, 7], np.int64)


def test_of_floats_and_long_integers_it_is_the_hash_of_types_shapes_and_bytes() -> None:
    truth = hashlib.sha256(b"float32(2, 3, 4)" + PICTURES.tobytes() + b"int64(2,)" + LABELS.tobytes()).hexdigest()
    assert fingerprint([PICTURES, LABELS]) == truth
    assert fingerprint(iter([np.asfortranarray(PICTURES), LABELS])) == truth


@pytest.mark.parametrize(
    ("wide", "narrow"), [(np.int64, np.int32), (np.uint64, np.uint32), (np.float64, np.float32)], ids=str
)
def test_who_holds_the_same_numbers_in_half_the_bits_has_the_same(wide: type, narrow: type) -> None:
    numbers = np.array([0, 1, 5, 2**24], wide)
    assert fingerprint([numbers]) == fingerprint([numbers.astype(narrow)])


@pytest.mark.parametrize(
    "other",
    [
        LABELS + 1,
        LABELS[::-1],
        LABELS[:1],
        LABELS[np.newaxis],
        LABELS + 2**32,  # the same where 32 bits are all there is
        LABELS.astype(np.int16),
        LABELS.astype(np.uint64),
        LABELS.astype(np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.tolist()}",
)
def test_other_numbers_shapes_and_types_have_another(other: np.ndarray) -> None:
    assert fingerprint([LABELS]) != fingerprint([other])


def test_numbers_beyond_single_precision_and_words_have_one_too() -> None:
    words = [np.array(found, object) for found in ([b"a", b"bc"], [b"ab", b"c"])]
    assert fingerprint(words[:1]) != fingerprint(words[1:])
    assert fingerprint([np.array([1e300])]) != fingerprint([np.array([-1e300])])
