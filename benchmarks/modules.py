"""Plain modules of PyTorch: what logging adds to a training, beside what other monitors add to the same one."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.in_turn import in_turn, turns_row
from benchmarks.measuring import Options, Row, in_words

_ROOT = Path(__file__).resolve().parent.parent
_PYTHON = str(_ROOT / ".venv-torch" / "bin" / "python")
# Two threads that wait for each other on the processor take what another process needs.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
_CLOCKS = ("wall time", "processor time of all threads")
_MODEL = "plain module, CNN of 3.3 million parameters"
# What each training of `module_training.HOW` is called.
_OURS = {
    "recorder": "`LayerRecorder`, probe of 32 examples, all four kinds",
    "recorder-optimizer": "`LayerRecorder`, probe of 32 examples, all four kinds and what Adam keeps",
    "watch": "`watch`, probe of 32 examples, all four kinds",
    "watch-optimizer": "`watch`, probe of 32 examples, all four kinds and what Adam keeps",
    "watch-weights": "`watch`, weights and gradients",
}
_THEIRS = {
    "ms-probe": "msProbe's `TrainerMon`, all modules: weights, gradients, activations, what Adam keeps; 5 numbers each",
    "wandb": '`wandb.watch(log="all", log_freq=1)`, offline, its service included',
}
# What is compared with what, and how much of its addition it may be at most. wandb drops NaN and infinities before it
# makes a histogram, and hears the gradients of each backward pass; ours are those that the optimizer is given.
_COMPARED = (
    ("recorder-optimizer", "ms-probe", 0.5),
    ("watch-optimizer", "ms-probe", 0.5),
    ("watch-weights", "wandb", 0.2),
)
Times = dict[str, list[list[float]]]  # by what looks, for each clock the seconds of each round


def rows(options: Options) -> list[Row]:
    """Every step logged: times bare, and what is added beside what others add, by both clocks."""
    steps = 5 if options.quick else 20
    times = _times(options.rounds(3), steps)
    found = []
    for name, words in (_OURS | _THEIRS).items():
        what = f"{_MODEL}, {steps} steps, every step logged, the closing of the log included: {words}"
        found += [_times_bare(f"{what}; {clock}", times[name][i], times["bare"][i]) for i, clock in enumerate(_CLOCKS)]
    for ours, theirs, most in _COMPARED:
        for i, clock in enumerate(_CLOCKS):
            what = f"what is added to a bare training: {_OURS[ours]}; {clock}"
            against = f"what is added by {_THEIRS[theirs]}"
            found.append(_added(what, against, (times[ours][i], times[theirs][i], times["bare"][i]), most))
    return found


def default_schedule(options: Options) -> list[Row]:
    """The recorder and `watch` on the default schedule, each in turn with a bare training."""
    command = ["env", *(f"{k}={v}" for k, v in _ENVIRONMENT.items()), _PYTHON, "-m", "benchmarks.module_training"]
    found = []
    for name, called in (("recorder", "`LayerRecorder`"), ("watch", "`watch`")):
        one, other = ([*command, how, "--pace"] for how in (f"{name}-default", "bare"))
        pairs = in_turn(one, other, 60 * options.minutes)
        what = f"a step of a training of {options.minutes:g} minutes on the default schedule, plain module, {called}, "
        found.append(turns_row(what + "without set-up", "bare training, in turns of 5 s", pairs, most=1.02))
    return found


def _times(rounds: int, steps: int) -> Times:
    """All of them by turns, each in a process of its own: what msProbe does to PyTorch cannot be undone."""
    names = ("bare", *_OURS, *_THEIRS)
    each = [{name: _seconds(name, steps) for name in names} for _ in range(rounds)]
    return {name: [[one[name][i] for one in each] for i in range(len(_CLOCKS))] for name in names}


def _seconds(how: str, steps: int) -> list[float]:
    command = [_PYTHON, "-m", "benchmarks.module_training", how, str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | _ENVIRONMENT, cwd=_ROOT)
    if done.returncode:
        raise RuntimeError(f"the training '{how}' ended on an error: {done.stderr[-2000:]}")
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def _times_bare(what: str, ones: Sequence[float], bare: Sequence[float]) -> Row:
    one, other = statistics.median(ones), statistics.median(bare)
    words = in_words(one / other, [a / b for a, b in zip(ones, bare)])
    return Row(what, "bare training", f"{words}; {one:.3g} s to {other:.3g} s")


def _added(
    what: str, against: str, times: tuple[Sequence[float], Sequence[float], Sequence[float]], most: float
) -> Row:
    """What one adds as a share of what another does: of the medians, with the spread of the single rounds'."""
    ours, theirs, bare = map(statistics.median, times)
    share = (ours - bare) / (theirs - bare)
    words = in_words(share, [(a - c) / (b - c) for a, b, c in zip(*times)])
    measured = f"{words}; {ours - bare:.3g} s to {theirs - bare:.3g} s"
    return Row(what, against, measured, f"at most {most:g}", share <= most)
