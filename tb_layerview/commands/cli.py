"""The command `tb-layerview`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from tb_layerview.about import __version__
from tb_layerview.capture.keras.versions import BACKENDS
from tb_layerview.format.addresses import checked


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="tb-layerview", description="What every layer does at every step.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="train a small network on handwritten digits and show its layers")
    demo.add_argument("--logdir", help="the run's folder (default: logs/demo, or logs/demo-estimator)")
    demo.add_argument(
        "--estimator", action="store_true", help="train a tf.estimator.Estimator instead of a Keras model"
    )
    demo.add_argument(
        "--backend", choices=BACKENDS, help="what computes the Keras model (default: KERAS_BACKEND, else what is there)"
    )
    demo.add_argument("--no-serve", action="store_true", help="do not start TensorBoard afterwards")
    demo.add_argument("--port", type=int, default=6006, help="TensorBoard's port (default: %(default)s, or a free one)")
    viewed = commands.add_parser("view", help="open the Layers tab of logged trainings in a browser, by TensorBoard")
    viewed.add_argument("logdir", help="a folder with runs, as TensorBoard takes it")
    viewed.add_argument(
        "--port", type=_port, help="TensorBoard's port; 0 for any free one (default: the first free one from 6006 on)"
    )
    viewed.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    exported = commands.add_parser("export", help="write one run as a page that opens without a server")
    exported.add_argument("logdir", help="a folder with runs, as TensorBoard takes it")
    exported.add_argument("--html", required=True, metavar="FILE", help="where the page is written")
    exported.add_argument(
        "--run", metavar="NAME", help="which run (default: the only one, or the only one that trains)"
    )
    exported.add_argument("--step", type=int, help="the step that is shown (default: the last)")
    exported.add_argument(
        "--size-limit", type=_megabytes, default=5.0, metavar="MB", help="the page's most megabytes (default: 5)"
    )
    commands.add_parser("send", help="send what a store did not take while something was logged there")
    findings = commands.add_parser(
        "check", help="say what went wrong in logged trainings; exit status 1 if something did"
    )
    findings.add_argument("logdir", help="a folder with runs, as TensorBoard takes it")
    findings.add_argument("--json", action="store_true", help="print JSON, a list of all findings")
    findings.add_argument("--all", action="store_true", help="print also what follows from what went wrong first")
    findings.add_argument(
        "--threshold",
        action="append",
        default=[],
        type=_threshold,
        metavar="RULE.NAME=VALUE",
        help="another threshold than a rule's own, as silent_units.share=0.99; may be repeated",
    )
    arguments = parser.parse_args(argv)
    if arguments.command == "view":
        from tb_layerview.commands.view import view

        return view(arguments.logdir, arguments.port, not arguments.no_browser)
    if arguments.command == "export":
        from tb_layerview.commands.export import export

        return export(arguments.logdir, arguments.html, arguments.run, arguments.step, arguments.size_limit)
    if arguments.command == "send":
        from tb_layerview.commands.send import send

        return send()
    if arguments.command == "check":
        from tb_layerview.commands.check import check
        from tb_layerview.health.rules.catalogue import with_thresholds

        try:
            rules = with_thresholds(dict(arguments.threshold))
        except ValueError as error:
            parser.error(str(error))
        return check(arguments.logdir, arguments.json, arguments.all, rules)
    if arguments.estimator and arguments.backend:
        parser.error("an Estimator has no Keras backend: leave out --backend or --estimator")
    return _demo(arguments)


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return port


def _megabytes(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size <= 1000:
        raise argparse.ArgumentTypeError(f"a size is a number of megabytes above 0 and up to 1000, not {text!r}")
    return size


def _threshold(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a threshold is RULE.NAME=NUMBER, not {text!r}") from None


def _demo(arguments: argparse.Namespace) -> int:
    # Serving the folder above gives the runs their names: `demo` instead of `.`.
    name = "demo-estimator" if arguments.estimator else "demo"
    logdir, served = (arguments.logdir,) * 2 if arguments.logdir else (os.path.join("logs", name), "logs")
    try:
        logdir = checked(logdir)
    except ValueError as error:
        print(f"tb-layerview demo: --logdir: {error}", file=sys.stderr)
        return 2
    try:
        train(logdir, arguments.estimator, arguments.backend)
    except ModuleNotFoundError as error:
        extra = "pip install 'tb_layerview[demo]'"
        if arguments.estimator:
            extra = "TensorFlow 2.15: pip install 'tensorflow==2.15.*' scikit-learn"
        elif arguments.backend not in (None, "tensorflow"):
            extra = f"pip install 'tb_layerview[{arguments.backend}]' scikit-learn"
        print(f"tb-layerview demo: {error}. The demo needs what {extra} installs.", file=sys.stderr)
        return 1
    return 0 if arguments.no_serve else serve(served, arguments.port)


def train(logdir: str, with_estimator: bool, backend: str | None = None) -> None:
    """Trains the demo's model and logs it to `logdir`.

    Args:
      logdir: The run's folder.
      with_estimator: Whether an Estimator is trained, and no Keras model.
      backend: What computes the Keras model; None: what KERAS_BACKEND says, else the first that is installed.

    Raises:
      ModuleNotFoundError: What computes the model (TensorFlow with estimators, if asked for), Keras or scikit-learn is
        not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    installed = (name for name in BACKENDS if importlib.util.find_spec(name))
    backend = backend or os.environ.get("KERAS_BACKEND") or next(installed, None)
    if backend and not with_estimator:
        os.environ["KERAS_BACKEND"] = backend  # which Keras reads when it is imported
    if with_estimator:
        from tb_layerview.commands import demo_estimator

        demo_estimator.train(logdir)
    else:
        from tb_layerview.commands import demo

        demo.train(logdir)


def serve(logdir: str, port: int) -> int:
    """Serves TensorBoard on this machine until it is interrupted; returns its exit status."""
    port = _free_port(port)
    print(f"\nThe Layers tab: http://localhost:{port}/#layerview   (stop with Ctrl+C)\n", flush=True)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir, "--port", str(port)]
    board = subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, stderr=subprocess.DEVNULL)
    try:
        return board.wait()
    except KeyboardInterrupt:
        board.terminate()
        board.wait()
        return 0


def _free_port(wanted: int) -> int:
    """The port that is wanted, or any free one if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("localhost", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on this machine")


if __name__ == "__main__":
    sys.exit(main())
