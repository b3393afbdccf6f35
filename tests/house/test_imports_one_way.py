"""Imports go one way: down the list of layers, and never in a circle. Run it as a program to see the circles.

    python tests/house/test_imports_one_way.py

grimp reads the imports from the source, those inside functions as well; those under `if TYPE_CHECKING` do not count.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

grimp = pytest.importorskip("grimp", reason="pip install grimp")

PACKAGES = ("tinytensor", "gpt", "reference_torch", "benchmarks")
# A module imports what stands to its right. What is not listed (backend, cuda, …) may be anywhere, if no chain of imports
# leads through it to the left.
LAYERS = (
    "benchmarks", "reference_torch", "gpt", "tinytensor.optim", "tinytensor.nn", "tinytensor.tensor", "tinytensor.functions",
    "tinytensor.tape", "tinytensor.ops", "tinytensor.primitive",
)  # fmt: skip
# Nothing on the way of a training step imports what stands beside it.
BESIDE = ("tinytensor.compat", "tinytensor.profiler", "tinytensor.gradcheck", "tinytensor.inside")
# What a training imports when it is first used, if at all: each file of it would be time before the first step.
LATER = (
    "tinytensor.inside", "tinytensor.gradcheck", "tinytensor.distributed.world", "tinytensor.nn.parallel",
    "gpt.inspection", "gpt.diagnosis.patient", "gpt.diagnosis.probe",
    "torch", "matplotlib",
)  # fmt: skip
ROOT = Path(__file__).parents[2]


@functools.cache
def graph(*packages: str) -> Any:
    """grimp's graph: `downstream` of a module are those that import it, `upstream` those that it imports, by chains too."""
    return grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)


def circles(imports: Any) -> list[list[str]]:
    """The sets of modules that import each other, by whatever chain, the largest first."""
    above = {module: imports.find_upstream_modules(module) for module in imports.modules}
    found = {frozenset({m, *(n for n in above[m] if m in above[n])}) for m in imports.modules}
    return sorted((sorted(circle) for circle in found if len(circle) > 1), key=len, reverse=True)


def described(imports: Any, circle: list[str]) -> str:
    """Every import inside a circle, with its line."""
    lines = [f"{len(circle)} modules import each other:"]
    for importer in circle:
        for imported in sorted(imports.find_modules_directly_imported_by(importer) & set(circle)):
            for detail in imports.get_import_details(importer=importer, imported=imported):
                lines.append(f"  {importer}:{detail['line_number']}  {detail['line_contents']}")
    return "\n".join(lines)


def test_no_module_is_in_a_circle() -> None:
    imports = graph(*PACKAGES)
    found = circles(imports)
    count = sum(len(circle) for circle in found)
    assert not found, f"{count} files in circles\n" + "\n".join(described(imports, circle) for circle in found)


def test_imports_go_down_the_layers() -> None:
    imports = graph(*PACKAGES)
    assert set(LAYERS) <= imports.modules
    wrong = [
        " → ".join([*route.heads, *route.middle, *route.tails])
        for dependency in imports.find_illegal_dependencies_for_layers(LAYERS)
        for route in dependency.routes
    ]
    assert not wrong, "these go up:\n" + "\n".join(sorted(wrong))


@pytest.mark.parametrize("room", BESIDE)
def test_the_path_imports_no_room_beside_it(room: str) -> None:
    imports = graph(*PACKAGES)
    path = [layer for layer in LAYERS if layer.startswith("tinytensor.")]
    chains = [imports.find_shortest_chains(importer=layer, imported=room, as_packages=True) for layer in path]
    wrong = sorted(" → ".join(chain) for found in chains for chain in found)
    assert not wrong, "\n".join(wrong)


def test_a_training_starts_without_what_looks_inside() -> None:
    """Names that are imported on first use are in no graph."""
    code = "import sys, gpt.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = [m for m in done.stdout.split() if m.startswith(LATER)]
    assert not found, found


# An annotation may name a class that is defined further up: type checkers import it, a running program does not. These are
# all: the Tensor with its methods, the tape's Node, a parameter's Flat, and what packages offer on demand.
NAMED = {"tinytensor.tensor": {"Tensor"}, "tinytensor.tape": {"Edge", "Node"}, "tinytensor.nn.flat": {"Flat"}}
PACKAGE_FILES = {  # they have names that are imported on first use
    "tinytensor", "tinytensor.autograd", "tinytensor.distributed", "tinytensor.nn", "tinytensor.utils.data", "gpt",
}  # fmt: skip


def test_type_checkers_import_three_modules_more() -> None:
    runs = graph(*PACKAGES)
    checked = grimp.build_graph(*PACKAGES, cache_dir=None)
    wrong = []
    for importer in checked.modules - PACKAGE_FILES:
        for imported in checked.find_modules_directly_imported_by(importer) - runs.find_modules_directly_imported_by(
            importer
        ):
            for detail in checked.get_import_details(importer=importer, imported=imported):
                names = {name.strip() for name in detail["line_contents"].rpartition(" import ")[2].split(",")}
                if not names <= NAMED.get(imported, set()):
                    wrong.append(f"{importer}:{detail['line_number']}  {detail['line_contents']}")
    assert not wrong, "\n".join(sorted(wrong))


def test_a_circle_and_a_way_up_are_noticed() -> None:
    imports = grimp.build_graph("gpt", cache_dir=None)
    for importer, imported in (("gpt.a", "gpt.b"), ("gpt.b", "gpt.c"), ("gpt.c", "gpt.a"), ("gpt.c", "gpt.d")):
        imports.add_import(importer=importer, imported=imported, line_number=7, line_contents="import …")
    found = [circle for circle in circles(imports) if "gpt.a" in circle]
    assert found == [["gpt.a", "gpt.b", "gpt.c"]]
    assert "gpt.c:7" in described(imports, found[0])
    assert imports.find_illegal_dependencies_for_layers(("gpt.d", "gpt.a"))
    assert not imports.find_illegal_dependencies_for_layers(("gpt.a", "gpt.d"))


def main() -> None:
    """Print the circles, and how many files are in one."""
    sys.path.append(str(Path(__file__).parents[2]))
    imports = graph(*PACKAGES)
    found = circles(imports)
    for circle in found:
        print(described(imports, circle))
    print(f"{sum(len(circle) for circle in found)} of {len(imports.modules)} files are in circles")
    types_too = circles(grimp.build_graph(*PACKAGES, cache_dir=None))
    largest = max((len(circle) for circle in types_too), default=0)
    print(f"with what only type checkers import, the largest circle has {largest} files")


if __name__ == "__main__":
    main()
