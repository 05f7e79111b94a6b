"""Runs the tests: `python suite.py` those of every day, `python suite.py long` those that are marked `long`.

In parts, each a process of its own, one more side by side than there are processors: each waits, a third of its time,
for servers, browsers and disks. All of them run, whichever fails; each leaves what it printed in build/test-PART.log,
what of it failed is printed when it ends, and the last lines say how each of them ended.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import time_left
from arithmetic import ARITHMETIC, IN_PART

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
LOGS = ROOT / "build"
MODERN, ESTIMATOR = ROOT / ".venv/bin/python", ROOT / ".venv-estimator/bin/python"
#: Keras without TensorFlow, by what computes; each is tested with the folder `backends` and with one of that name.
BACKENDS = {"jax": ROOT / ".venv-jax/bin/python", "torch": ROOT / ".venv-torch/bin/python"}
#: Stores, without anything that computes.
STORES = ROOT / ".venv-stores/bin/python"
#: With these XLA compiles in a third of the time.
CARELESS = ("--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true")
KERAS = "tests/capture/keras"
#: What is tested whatever computes Keras.
_KERAS = (
    *("keras_between", "keras_layers", "keras_programs", "keras_sources", "keras_targets", "keras_training"),
    "keras_windows",
)
_DIAGNOSIS = tuple(f"tests/health/diagnosis/test_{name}.py" for name in ("planted_faults", "healthy"))
EVERYWHERE = (*(f"{KERAS}/test_{name}.py" for name in (*_KERAS, "callback", "recorder")), *_DIAGNOSIS)
#: Of which those tests are run with each backend, too, that cover an item of the report.
COVERING = (
    "tests/capture/test_script.py",
    "tests/project/test_options.py",
    "tests/reading/test_reader.py",
    "tests/writing/test_plan.py",
    "tests/writing/test_session.py",
    "tests/writing/test_writer.py",
)
#: Seconds between two looks at what runs, and between two lines that say how far it is.
LOOK, SAY = 0.2, 60.0
#: What pytest and vitest begin the line with that names what failed, and how many of them the end repeats.
NAMED, REPEATED = re.compile(r"^\s*(?:FAILED|ERROR|FAIL) .+", re.MULTILINE), 20
#: What a summary begins with: the sections of pytest's output that say what failed.
FAILED = re.compile(r"^=+ (FAILURES|ERRORS|short test summary info) =+$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Part:
    """What one process tests.

    Attributes:
      name: Of its log; what it has shown of a stack is kept by this name, which begins with that of the stack.
      command: What runs.
      environment: Variables beside those that there are.
    """

    name: str
    command: Sequence[str | os.PathLike[str]]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def log(self) -> Path:
        return LOGS / f"test-{self.name}.log"


def of_pytest(name: str, python: Path, marks: str, *what: str, onednn: bool = True) -> Part:
    """A part that pytest runs.

    Args:
      name: The part's name.
      python: The environment's Python.
      marks: Which tests, by their marks.
      *what: Files and folders to take them from, or options that leave some out.
      onednn: Whether TensorFlow computes with oneDNN, which is on by default on some processors only. Without, its
        operations digest tensors, too, as they do where there is an accelerator.
    """
    command = [python, "-m", "pytest", "-o", f"cache_dir=build/pytest-{name}", "-m", marks]
    command += ["--durations=40", "--durations-min=2", f"--coverage-results=build/coverage-parts/{name}.json"]
    command += [f"--processor-seconds=build/processor-seconds/{name}.json", *what]
    digests = {} if onednn else {"TB_LAYERVIEW_DIGESTS": "device"}
    return Part(name, command, {"TF_ENABLE_ONEDNN_OPTS": str(int(onednn)), **digests})


def of_backend(framework: str, which: str, end: str) -> list[Part]:
    """Parts that run Keras without TensorFlow."""
    # The last one is of what it computes without Keras.
    folders = [f"{KERAS}/backends", f"{KERAS}/{framework}", f"tests/capture/{framework}"]
    found = [of_pytest(f"{framework}{end}", BACKENDS[framework], which, *folders, *EVERYWHERE)]
    # PyTorch's threads wait for each other on the processor, which others need.
    variables = {"KERAS_BACKEND": framework, "OMP_NUM_THREADS": "1"}
    if not end:  # of the short tests
        found += [of_pytest(f"{framework}-options", BACKENDS[framework], f"{which} and covers", *COVERING)]
        variables["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *CARELESS])
    if framework == "jax":
        return [dataclasses.replace(part, environment={**variables, **_kept_by_jax(part.name)}) for part in found]
    return [dataclasses.replace(part, environment=variables) for part in found]


def _kept_by_jax(part: str) -> dict[str, str]:
    """Has JAX keep what it compiles: bare and logged, and in test after test, it is the same."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(LOGS / f"compiled-{part}"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def parts(is_long: bool) -> list[Part]:
    """What there is to run, the longest first.

    The modern stack's tests are two parts: as one they would still run when there is nothing left to run beside them.
    """
    which = "long" if is_long else "not long"
    end = "-long" if is_long else ""
    modern = f"{which} and not estimator and not e2e"
    browser = [] if is_long else [of_pytest("modern-browser", MODERN, "not long", "tests/e2e")]
    found = [
        of_pytest(f"modern-capture{end}", MODERN, modern, "tests/capture"),
        *browser,
        of_pytest(f"estimator{end}", ESTIMATOR, f"{which} and not once and not packaging", "--ignore=tests/e2e"),
        of_pytest(f"modern-rest{end}", MODERN, modern, "--ignore=tests/e2e", "--ignore=tests/capture"),
    ]
    found += [part for framework in BACKENDS for part in of_backend(framework, which, end)]
    found += [of_pytest(f"stores{end}", STORES, which, "tests/stores")]
    if is_long:
        names = (*ARITHMETIC, *IN_PART)
        files = [str(path.relative_to(ROOT)) for path in sorted(TESTS.rglob("test_*.py")) if path.name in names]
        return [
            *found,
            of_pytest("modern-without-onednn", MODERN, "arithmetic and not estimator", *files, onednn=False),
            of_pytest("estimator-without-onednn", ESTIMATOR, "arithmetic and not once", *files, onednn=False),
        ]
    found += [Part("front-end", [MODERN, "build_frontend.py", "check", "test"])]
    return found


@dataclasses.dataclass
class Running:
    """A part that runs, since when, and its process."""

    part: Part
    since: float
    process: subprocess.Popen[bytes]

    def ended(self) -> bool:
        return self.process.poll() is not None

    def seconds(self) -> float:
        return time.monotonic() - self.since


def start(part: Part) -> Running:
    """Starts a part; its output goes into its log."""
    print(f"{part.name}: runs, see {part.log.relative_to(ROOT)}", flush=True)
    with open(part.log, "wb") as log:
        process = subprocess.Popen(
            part.command,
            cwd=ROOT,
            env={**os.environ, **part.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(part, time.monotonic(), process)


def last_line(text: str) -> str:
    return next((line.strip("= ") for line in reversed(text.splitlines()) if line.strip()), "nothing was said")


def what_failed(text: str) -> str:
    """What of a log a person has to see: pytest's own summary, or all of it where there is none."""
    found = FAILED.search(text)
    return text[found.start() :] if found else text


def names(text: str) -> list[str]:
    """What failed, by name, once each: a log's end is often all that is looked at."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return list(dict.fromkeys(found.strip() for found in NAMED.findall(plain)))[:REPEATED]


def run(waiting: Sequence[Part], at_once: int) -> dict[str, int]:
    """Runs parts, so many at once; returns each one's exit status, 0 if there was no time for it.

    What still runs is ended with it.
    """
    end = time_left.until()
    queue, running, statuses = collections.deque(waiting), list[Running](), dict[str, int]()
    said = time.monotonic()
    try:
        while queue or running:
            while queue and len(running) < at_once:
                part = queue.popleft()
                if end is None or time.time() < end:
                    running.append(start(part))
                    continue
                statuses[part.name] = 0
                part.log.write_text(f"all of it left out: {time_left.REASON}\n")
            time.sleep(LOOK)
            for one in [one for one in running if one.ended()]:
                running.remove(one)
                status, text = one.process.returncode, one.part.log.read_text(errors="replace")
                statuses[one.part.name] = status
                if status:
                    print(what_failed(text), flush=True)
                words = "passed" if status == 0 else f"failed ({status})"
                print(f"{one.part.name}: {words} in {one.seconds():.0f} s: {last_line(text)}", flush=True)
            if running and time.monotonic() - said >= SAY:
                said = time.monotonic()
                print("; ".join(f"{one.part.name}: {how_far(one.part.log)}" for one in running), flush=True)
    finally:
        for one in running:  # with the servers and programs that its tests have started
            os.killpg(one.process.pid, signal.SIGTERM)
            one.process.wait()
    return statuses


def how_far(log: Path) -> str:
    """The last share that pytest has printed."""
    found = re.findall(r"\[ *(\d+%)\]", log.read_text(errors="replace"))
    return str(found[-1]) if found else "begins"


def main(arguments: list[str]) -> int:
    """Runs this module as a command."""
    if arguments not in ([], ["long"]):
        print("suite.py, or suite.py long", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    LOGS.mkdir(exist_ok=True)
    began = time.monotonic()
    what = time_left.turned(parts(is_long=bool(arguments)), time_left.until())
    statuses = run(what, (os.cpu_count() or 1) + 1)
    print()
    for part in what:
        state, text = "passed" if statuses[part.name] == 0 else "FAILED", part.log.read_text(errors="replace")
        count = time_left.left_out(text)
        print(
            f"{part.name}: {state}: {last_line(text)}{f'; of them {count} left out for want of time' if count else ''}"
        )
        if statuses[part.name]:
            print("".join(f"  {name}\n" for name in names(text)), end="")
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    return int(any(statuses.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
