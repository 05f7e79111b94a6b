"""Every parser of bytes from disk on mutated inputs: `make fuzz`.

`python fuzz.py COUNT [PARSER...]` mutates real bytes COUNT times for each parser or those that are named, and
`python fuzz.py coverage PARSER RUNS` lets atheris look for inputs that reach new lines. Both end with an error at the
first crash, and at the first input that takes more than a second of this process's time, which they leave in a file.
"""

from __future__ import annotations

import random
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

import hostile_bytes

MOST_SECONDS = 1.0


def try_one(name: str, parse: hostile_bytes.Parser, data: bytes) -> tuple[bool, float]:
    """Whether the bytes were taken, and the seconds it took; what is neither taken nor refused is left in a file."""
    began = time.process_time()
    try:
        parse(data)
        taken = True
    except BaseException as error:
        if not isinstance(error, ValueError) or name not in hostile_bytes.DECODERS:
            _leave(name, data)
            raise
        taken = False
    seconds = time.process_time() - began
    if seconds > MOST_SECONDS:
        raise SystemExit(f"{name}: {seconds:.2f} s for the input in {_leave(name, data)}")
    return taken, seconds


def _leave(name: str, data: bytes) -> Path:
    path = Path(f"fuzz-{name.replace(' ', '-')}.bin").absolute()
    path.write_bytes(data)
    return path


def mutations(count: int, names: list[str]) -> None:
    print("| parser | inputs | taken | refused in words | longest |\n| --- | --- | --- | --- | --- |")
    parsers = hostile_bytes.parsers()
    for name in names or parsers:
        parse, seeds = parsers[name]
        chance = random.Random(name)
        taken, longest = 0, 0.0
        for _ in range(count):
            was_taken, seconds = try_one(name, parse, hostile_bytes.mutate(chance.choice(seeds), chance))
            taken, longest = taken + was_taken, max(longest, seconds)
        print(f"| {name} | {count:,} | {taken:,} | {count - taken:,} | {1000 * longest:.0f} ms |", flush=True)


def coverage(name: str, runs: int) -> None:
    import atheris

    parse, seeds = hostile_bytes.parsers()[name]
    for function in ("decode", "_in_own_unit", "_quantiles"):
        _instrument(atheris, sys.modules["tb_layerview.format.histogram"], function)
    parsers = {
        "format": ("arrays", "units", "values", "wire", "messages"),
        "reading": ("shard", "event_file", "folder_log", "merge"),
    }
    for package, modules in parsers.items():
        for module in (sys.modules[f"tb_layerview.{package}.{name}"] for name in modules):
            for function in list(vars(module)):
                _instrument(atheris, module, function)
    folder = Path("build/fuzz", name.replace(" ", "-"))
    folder.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds):
        (folder / f"seed{i}").write_bytes(seed)
    # What else is wrong with a machine that is slow is not the parser's.
    atheris.Setup(
        [
            sys.argv[0],
            str(folder),
            f"-runs={runs}",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-verbosity=0",
            "-print_final_stats=1",
        ],
        lambda data: try_one(name, parse, data) and None,
    )
    atheris.Fuzz()


def _instrument(atheris: object, module: object, function: str) -> None:
    """Has atheris see which lines of a module's own function are reached."""
    found = getattr(module, function)
    if getattr(found, "__module__", "") == module.__name__ and type(found).__name__ == "function":
        setattr(module, function, atheris.instrument_func(found))


if __name__ == "__main__":
    warnings.simplefilter("error")
    if sys.argv[1] == "coverage":
        coverage(sys.argv[2], int(sys.argv[3]))
    else:
        mutations(int(sys.argv[1]), sys.argv[2:])
