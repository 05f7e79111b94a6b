"""Counts the house: modules, floors, arrows and circles of the package's imports, type-only ones too.

`python tests/project/house.py [FOLDER]`, from the checkout's root; the packages' contracts are in pyproject.toml.
"""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


def imports(root: Path) -> dict[str, set[str]]:
    """Of each module the modules of the package that it imports; generated ones, and packages' faces, left out."""
    files = {".".join(p.relative_to(root.parent).with_suffix("").parts): p for p in root.rglob("*.py")}
    modules = {name for name in files if not name.endswith(("_pb2", "__init__", "__main__"))}
    found: dict[str, set[str]] = {name: set() for name in modules}
    for name in modules:
        for node in ast.walk(ast.parse(files[name].read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found[name] |= modules & {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found[name] |= modules & {alias.name for alias in node.names}
    return found


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """On which floor each stands: one above the highest that it imports. Raises `CycleError` for circles."""
    floor: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        floor[name] = 1 + max((floor[other] for other in graph.get(name, ())), default=0)
    return floor


def rooms(modules: dict[str, set[str]]) -> dict[str, set[str]]:
    """Of each entry of the package's folder the others that it imports."""
    found: dict[str, set[str]] = {name.split(".")[1]: set() for name in modules}
    for name, others in modules.items():
        found[name.split(".")[1]] |= {other.split(".")[1] for other in others} - {name.split(".")[1]}
    return found


def main() -> None:
    """Prints the figures of a package's folder."""
    modules = imports(Path(sys.argv[1] if len(sys.argv) > 1 else "tb_layerview"))
    for what, graph in (("modules", modules), ("top level", rooms(modules))):
        try:
            height = str(max(floors(graph).values()))
        except CycleError as error:
            height = f"a circle: {' -> '.join(error.args[1])}"
        print(f"{what}: {len(graph)}, floors: {height}, arrows: {sum(map(len, graph.values()))}")
    for room, others in sorted(rooms(modules).items()):
        print(f"  {room}: {', '.join(sorted(others)) or 'nothing of ours'}")


if __name__ == "__main__":
    main()
