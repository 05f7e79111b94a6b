"""Which package knows which: data goes one way, and type-only imports count."""

from __future__ import annotations

import ast
from pathlib import Path

import house
import pytest

import tb_layerview

PACKAGE = Path(__file__).parents[2] / "tb_layerview"


@pytest.mark.parametrize(
    ("package", "known"),
    [("health", {"format"}), ("reading", {"format"}), ("serving", {"format", "health", "reading"})],
)
def test_what_looks_at_logs_imports_what_lies_before_it(package: str, known: set[str]) -> None:
    imports = house.imports(PACKAGE)
    of_package = {name: others for name, others in imports.items() if name.split(".")[1] == package}
    assert len(of_package) > 5
    found = {(name, other) for name, others in of_package.items() for other in others}
    beyond = [(name, other) for name, other in found if other.split(".")[1] not in {package, "about", *known}]
    assert beyond == []
    assert {other.split(".")[1] for _, other in found} >= known, "a table that allows too much says nothing"


def test_an_import_for_types_alone_is_seen(tmp_path: Path) -> None:
    """Otherwise the test above could not fail for the imports by which circles grow unnoticed."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "one.py").write_text("x = 1\n")
    (tmp_path / "room" / "two.py").write_text("if TYPE_CHECKING:\n    from room.one import x\n")
    assert house.imports(tmp_path / "room")["room.two"] == {"room.one"}


def test_one_docstring_lists_all_errors_of_the_package() -> None:
    errors = {"Exception", "LookupError", "OSError", "RuntimeError", "TypeError", "ValueError"}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and errors & {ast.unparse(base).split(".")[-1] for base in node.bases}:
                found.add(node.name)
    assert {"NotLoggedError", "PayloadError"} <= found
    listed = {line.split("`")[1] for line in (tb_layerview.__doc__ or "").splitlines() if line.startswith("- `")}
    assert listed == found
