"""Runs a training script unchanged, with the callback or the hook added to what it trains.

Nothing that the script itself would import is imported before it does so, numpy and TensorFlow least of all: a script
may set environment variables that they read. `fit` and `train` are wrapped when their modules are imported.
"""

from __future__ import annotations

import argparse
import builtins
import importlib
import importlib.abc
import importlib.machinery
import io
import os
import sys
import types
from collections.abc import Sequence

from tb_layerview.about import __version__, logger
from tb_layerview.capture import added
from tb_layerview.capture.added import Added
from tb_layerview.format.addresses import checked
from tb_layerview.options import Schedule


def main(arguments: Sequence[str]) -> int:
    """Runs the command.

    Args:
      arguments: Our options, the script, and the script's arguments.

    Returns:
      The exit status, if the script does not set one by `sys.exit`.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tb_layerview",
        description="Runs a training script as it is, and logs the layers of each model that it trains: with Keras' "
        "fit, an Estimator's train, evaluate and train_and_evaluate, Lightning's or Hugging Face's Trainer, or in a "
        "loop with an optimizer of PyTorch's.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--logdir", help="the run's folder (default: logs/NAME for a script NAME.py; an Estimator's own model_dir)"
    )
    parser.add_argument(
        "--schedule",
        type=schedule_from,
        default=Schedule(),
        help="when to log: 'ladder' (the default: every step up to 127, then 64 per octave, within 2 %% of the "
        "training time, but never fewer than 8 per octave), a number N (every N steps), or steps, '0,10,500'",
    )
    parser.add_argument("script", metavar="SCRIPT.py", help="the training script")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="the script's own arguments")
    options = parser.parse_args(arguments)
    try:
        logdir = None if options.logdir is None else checked(options.logdir)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: --logdir: {error}\n")
    try:
        with io.open_code(options.script) as file:
            source = file.read()
    except OSError as error:
        parser.exit(2, f"{parser.prog}: cannot read {options.script!r}: {error.strerror or error}. Give a script.\n")
    additions = Added(logdir, os.path.splitext(os.path.basename(options.script))[0], options.schedule)
    additions.wrap()
    run(options.script, source, options.arguments)
    if not additions.has_trained:
        logger.warning(
            "tb_layerview: nothing is logged: %s trained nothing with Keras' Model.fit, an Estimator's train or an "
            "optimizer of PyTorch's. In another loop LayerWriter logs what is handed to it.",
            options.script,
        )
    return 0


def schedule_from(text: str) -> Schedule:
    """The schedule that a command line asks for: `ladder`, `10`, `0,10,500`.

    Raises:
      argparse.ArgumentTypeError: It asks for none.
    """
    if text == "ladder":
        return Schedule()
    try:
        if "," in text:
            return Schedule(steps=tuple(int(step) for step in text.split(",") if step.strip()))
        return Schedule(every=int(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no schedule ({error}). Give 'ladder', a number of steps, or steps: '0,10,500'"
        ) from None


def run(path: str, source: bytes, arguments: Sequence[str]) -> None:
    """Runs a script as Python itself would: its `__main__`, `sys.argv`, `sys.path`, exit status and traceback.

    Args:
      path: Of the script.
      source: What is in it.
      arguments: Its own.

    Raises:
      BaseException: Whatever the script raises; of this module only frames above the script's remain in its traceback.
    """
    path_of_file = os.path.abspath(path)
    module = types.ModuleType("__main__")
    module.__file__ = path_of_file
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path_of_file)
    vars(module).update(__builtins__=builtins, __cached__=None, __annotations__={})
    sys.argv[:] = [path, *arguments]
    # `python -m` puts the working directory first, or nothing where paths are to be safe (-P, -I); the package that is
    # running needs neither any more.
    if not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated and sys.path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    sys.modules["__main__"] = module
    try:
        exec(compile(source, path_of_file, "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        _hide_frames(error)
        raise


def _hide_frames(error: BaseException) -> None:
    """Takes our own frames, but for those above the script, out of the tracebacks of an error."""
    ours = (__file__, added.__file__)
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        one = errors.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        errors += [one.__cause__, one.__context__]
        shown = one.__traceback__
        while shown is not None and shown.tb_next is not None:
            below = shown.tb_next
            if below.tb_frame.f_code.co_filename in ours:
                shown.tb_next = below.tb_next
            else:
                shown = below
