"""Counts modules, floors, arrows and circles of a package's imports: `python tests/project/house.py [FOLDER]`."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


def imports(root: Path) -> dict[str, set[str]]:
    """Of each module those of the package that it imports, for types too; no generated ones, no faces of packages."""
    files = {".".join(path.relative_to(root.parent).with_suffix("").parts): path for path in root.rglob("*.py")}
    found: dict[str, set[str]] = {n: set() for n in files if not n.endswith(("_pb2", "__init__", "__main__"))}
    for name, others in found.items():
        for node in ast.walk(ast.parse(files[name].read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{one}" for one in names)]
            others |= found.keys() & set(names) if isinstance(node, (ast.Import, ast.ImportFrom)) else set()
    return found


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """On which floor each stands, one above the highest that it imports; `CycleError` where some stand in a circle."""
    floor: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        floor[name] = 1 + max((floor[other] for other in graph.get(name, ())), default=0)
    return floor


def rooms(modules: dict[str, set[str]]) -> dict[str, set[str]]:
    """Of each entry of the package's folder the others that it imports."""
    room = {name: name.split(".")[1] for name in modules}
    return {r: {room[o] for n in modules if room[n] == r for o in modules[n]} - {r} for r in sorted({*room.values()})}


if __name__ == "__main__":
    found = imports(Path([*sys.argv, "tb_layerview"][1]))
    for what, graph in (("modules", found), ("top level", rooms(found))):
        try:
            height = str(max(floors(graph).values()))
        except CycleError as error:
            height = f"a circle: {' -> '.join(error.args[1])}"
        print(f"{what}: {len(graph)}, floors: {height}, arrows: {sum(map(len, graph.values()))}")
    print(*(f"  {room}: {', '.join(sorted(others)) or '-'}" for room, others in rooms(found).items()), sep="\n")
