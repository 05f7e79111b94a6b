"""The native digest under AddressSanitizer and UndefinedBehaviorSanitizer on arrays of all kinds: part of `make fuzz`.

`python sanitized.py COUNT` compiles it so at every level, and looks at COUNT arrays, each of which lies alone between
memory that nobody may touch; what is measured is encoded, too. It ends with an error at the first access beyond one, at
the first operation that C does not define, at the first measurement that is not that of the library that is installed,
and at the first bytes that are not what Python makes of it.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "measure"), str(ROOT / "tests" / "helpers")]

import build_native  # noqa: E402
from tb_layerview.measure.native import library  # noqa: E402

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
MADE = ROOT / "build" / "sanitized" / build_native.LIBRARY.name


def runtime(compiler: Sequence[str]) -> str | None:
    """The sanitizer's own library, which has to be there before Python's first allocation; None if there is none."""
    for name in ("libasan.so", "libclang_rt.asan-x86_64.so"):
        command = [*compiler, f"-print-file-name={name}"]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if Path(found).is_absolute() and Path(found).exists():
            return found
    return None


def start(count: str) -> int:
    """Compiles it, and runs this module once more with the sanitizer's library."""
    compiler = build_native.find_compiler()
    preloaded = runtime(compiler) if compiler and sys.platform == "linux" else None
    if compiler is None or preloaded is None:
        print("native digest: no compiler with AddressSanitizer here, not looked at")
        return 0
    MADE.parent.mkdir(parents=True, exist_ok=True)
    build_native.link(compiler, MADE, SANITIZERS)
    # Python itself leaves memory to the system when it ends.
    environment = {**os.environ, "LD_PRELOAD": preloaded, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    return subprocess.run([sys.executable, __file__, "looks", count], env=environment, check=False).returncode


def all_of(engine: library.Engine, array: np.ndarray, features: int, heads: int) -> list[bytes]:
    """All that an engine says of an array: what all have, and what some have, as if it were scores of so many heads."""
    import test_parity

    bits = test_parity.bits(engine.look(array, units=array.ndim > 1))
    if not array.ndim:
        return bits
    sizes = [-(-len(array) // 2), *array.shape[1:]]
    scores = (sizes[0], heads, math.prod(sizes[1:-1]) // heads, sizes[-1]) if len(sizes) > 1 else (sizes[0], 1, 1, 1)
    found = [
        *engine.examples(array, -(-len(array) // 32), features),
        engine.bounded(array, -0.5, 1.0),
        *engine.scores(array, 2, scores, 0.99999),
    ]
    return [*bits, *(b"NaN" if math.isnan(number) else float(number).hex().encode() for number in found)]


def looks(count: int) -> None:
    """Looks at so many arrays, at each level."""
    import any_arrays
    import kinds_of_arrays
    import test_encoding

    found, installed = library.engines(MADE), library.engines()
    random = np.random.default_rng(0)
    for number in range(count):
        kind, dtype = str(random.choice(kinds_of_arrays.KINDS)), str(random.choice(kinds_of_arrays.TYPES))
        shape = tuple(int(size) for size in random.choice(any_arrays.SIZES, random.integers(0, 4)))
        if np.prod(shape) > 1 << 17:
            continue
        array = np.array(kinds_of_arrays.of(kind, dtype, shape, random))
        held = np.empty(array.nbytes + 1, np.uint8)
        unaligned = held[1:].view(array.dtype).reshape(shape)
        unaligned[...] = array
        features, heads = int(random.integers(1, 9)), shape[1] if len(shape) > 2 and number % 2 else 1
        for level, engine in found.items():
            bits = all_of(engine, array, features, heads)
            same = [all_of(engine, unaligned, features, heads)]
            if level in installed:
                same.append(all_of(installed[level], array, features, heads))
            if any(one != bits for one in same):
                raise SystemExit(
                    f"native digest, {level}: array {number}, {kind}, {dtype}, {shape}, is measured otherwise"
                )
        measured = found["baseline"].look(array, units=array.ndim > 1)
        assert measured.counted is not None
        test_encoding.check_counted(found["baseline"], [measured.counted, test_encoding.any_counted(random)])
        of_tensors = [test_encoding.any_units(random), *([measured.units] if measured.units is not None else [])]
        test_encoding.check_units(found["baseline"], of_tensors)
    print(f"native digest: {count:,} arrays at {', '.join(found)}, nothing found")


if __name__ == "__main__":
    if sys.argv[1] == "looks":
        looks(int(sys.argv[2]))
    else:
        sys.exit(start(sys.argv[1]))
