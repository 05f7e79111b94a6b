"""The public names are said alike in three places, and the packages stand on floors without a circle."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import house
import pytest
from places import ROOT

import tb_layerview

pytestmark = pytest.mark.once
PACKAGE = ROOT / "tb_layerview"


def test_the_public_names_are_the_same_wherever_they_are_said() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tb_layerview")
        for alias in node.names
    }
    assert sorted(imported) == sorted(tb_layerview.__all__)
    lazy = tb_layerview._LAZY
    assert lazy == {name: module for name, module in imported.items() if name in lazy}
    # What is for PyTorch is tested where that is: in tests/capture/torch.
    of_torch = {name for name, module in lazy.items() if ".capture.torch." in module}
    assert of_torch == {"LightningCallback", "TrainerCallback", "watch"}
    for name in {*tb_layerview.__all__} - of_torch:
        assert getattr(tb_layerview, name) is getattr(importlib.import_module(str(imported[name])), name), name
    assert set(lazy) | {"Keep", "Schedule", "Select", "__version__"} <= set(tb_layerview.__all__)


def test_a_name_that_is_not_public_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="'tb_layerview' has no attribute 'LayerViewer'"):
        tb_layerview.LayerViewer  # noqa: B018


def test_no_module_stands_on_one_that_stands_on_it() -> None:
    modules = house.imports(PACKAGE)
    assert len(modules) > 100
    assert max(house.floors(modules).values()) < len(modules)  # floors() raises an error for a circle
    modules["tb_layerview.format.model"].add("tb_layerview.commands.cli")
    with pytest.raises(house.CycleError):
        house.floors(modules)


def test_the_packages_stand_on_six_floors_at_most() -> None:
    found = house.rooms(house.imports(PACKAGE))
    assert max(house.floors(found).values()) <= 6
    assert found["format"] == set()


def test_the_command_counts_them() -> None:
    command = [sys.executable, str(ROOT / "tests" / "project" / "house.py"), str(PACKAGE)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].startswith("modules: ") and lines[1].startswith("top level: 10, floors: ")
    assert "  format: -" in lines


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
