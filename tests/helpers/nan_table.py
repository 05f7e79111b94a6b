"""docs/reports/nan_behind_layers.md: what a NaN looks like after each common layer, by stack, with and without oneDNN.

`python tests/helpers/nan_table.py` makes it from what tests/health/test_nan_behind_layers.py recorded, by the files of
`pytest --coverage-results=FILE`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from coverage_table import RESULTS, ROOT, join, stack_name

DOCUMENT = ROOT / "docs" / "reports" / "nan_behind_layers.md"


@dataclasses.dataclass(frozen=True)
class Shown:
    """What one stack's tests have shown, with oneDNN or without.

    Attributes:
      name: The stack's name, and whether oneDNN was on.
      seen: By layer what was seen, by what was NaN and how the layer was called.
    """

    name: str
    seen: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, paths: Sequence[Path], onednn: bool) -> Shown:
        """What stands in the files that `pytest --coverage-results` wrote for one stack.

        Raises:
          FileNotFoundError: There is no such file.
          ValueError: There is nothing of layers behind NaN in them, with oneDNN or without.
        """
        seen: dict[str, Mapping[str, str]] = {}
        stack = ""
        for path in paths:
            if not path.is_file():
                raise FileNotFoundError(f"{path} is not there: run `make test` and `make test-long` first.")
            result = json.loads(path.read_text())
            stack = stack_name(result["software"])
            values = [row["value"] for row in result["recorded"] if row["name"] == "behind_nan"]
            seen.update({value["name"]: value["seen"] for value in values if bool(value["onednn"]) == onednn})
        words = "oneDNN" if onednn else "no oneDNN"
        if not seen:
            names = ", ".join(path.name for path in paths)
            raise ValueError(f"{names} holds nothing of layers behind NaN with {words}: run all tests.")
        return cls(f"{stack}, {words}", seen)


def document(shown: Sequence[Shown]) -> str:
    """The whole of it."""
    names = list(dict.fromkeys(name for one in shown for name in one.seen))
    rows = [[name, *(cell(one.seen[name]) if name in one.seen else "" for one in shown)] for name in names]
    return "\n".join(
        [
            "# What a NaN looks like behind a layer",
            "",
            "One of two examples was NaN, in a quarter of its elements or in all of them, and the layer was called",
            "with both: by itself (eager), and in a `tf.function`, where TensorFlow may compute several operations in",
            "one kernel. A cell says what became of the elements that depend on it; `-3.4e38` is the lowest float",
            "there is. `test_nan_behind_layers.py` saw it, and that in trainings with each of these layers",
            "behind one that makes NaN it is that one which is named, and all else follows from it. `make coverage`",
            "made this document from the last tests. Nothing in it is written by hand.",
            "",
            "Whether oneDNN is on by default depends on the processor; `TF_ENABLE_ONEDNN_OPTS=1` or `0` says so.",
            "",
            *_table(["layer", *(one.name for one in shown)], rows),
            "",
        ]
    )


def cell(seen: Mapping[str, str]) -> str:
    """What was seen of one layer, and nothing twice."""
    by_share = {what: _by_mode(seen[f"{what}, eager"], seen[f"{what}, function"]) for what in ("a quarter", "all")}
    if len(set(by_share.values())) == 1:
        return by_share["all"]
    return "; ".join(f"{what}: {words.replace(';', ',')}" for what, words in by_share.items())


def _by_mode(eager: str, function: str) -> str:
    return eager if eager == function else f"{eager}; in a function {function}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows)]


def main() -> None:
    join()
    try:
        shown = [Shown.read([path], onednn) for path in RESULTS for onednn in (True, False)]
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"nan_table: {error}")
    DOCUMENT.write_text(document(shown))
    print(f"written to {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
