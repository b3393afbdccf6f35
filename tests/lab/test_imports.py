"""What the laboratory imports, it imports with NumPy alone: the browser has none of the project's other dependencies."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LABORATORY = sorted((ROOT / "docs" / "lab" / "laboratory").glob("*.py"))
CHAPTERS = sorted((ROOT / "docs" / "chapters").glob("[0-9][0-9]-*.md"))
CELL = re.compile(r"^```\{code-cell\}.*\n(?P<options>(?::.*\n)*)(?P<code>(?:.*\n)*?)```$", re.MULTILINE)
PACKAGES = ("tinytensor", "gpt")
ABSENT = (
    "safetensors",
    "tqdm",
    "pooch",
    "matplotlib",
    "threadpoolctl",
    "fcntl",
    "cupy",
    "mpi4py",
    "tokenizers",
    "torch",
)
SCRIPT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for statement in sys.argv[1:]:
    exec(statement)
assert not set({ABSENT!r}) & set(sys.modules)
"""


def cells(text: str) -> list[str]:
    """The code of a chapter that runs in the browser."""
    return [found["code"] for found in CELL.finditer(text) if "no-lab" not in found["options"]]


def imports(code: str) -> Iterator[str]:
    """The statements that import the project, wherever they stand; a call of import_module with a name is one as well."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                yield from (f"import {each.name}" for each in names if each.name.partition(".")[0] in PACKAGES)
            case ast.ImportFrom(module=str(module), names=names, level=0) if module.partition(".")[0] in PACKAGES:
                yield from (f"from {module} import {each.name}" for each in names)
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module))]):
                yield f"import {module}"


def needed() -> set[str]:
    codes = [path.read_text("utf-8") for path in LABORATORY]
    codes += [code for path in CHAPTERS for code in cells(path.read_text("utf-8"))]
    return {statement for code in codes for statement in imports(code)}


def test_what_the_laboratory_imports_needs_numpy_alone() -> None:
    statements = sorted(needed())
    assert len(statements) > 40 and len(CHAPTERS) >= 16
    assert {"import gpt.museum", "import gpt.learn", "from gpt.model import GPT", "import tinytensor"} <= {*statements}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *statements], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_imports_of_a_cell_are_found() -> None:
    text = "```{code-cell} ipython3\n:tags: [remove-input]\nimport gpt.a as b, os\ndef f():\n    from gpt import c, d\n```\n"
    text += "```{code-cell} ipython3\n:tags: [no-lab]\nimport gpt.e\n```\n```python\nimport gpt.f\n```\n"
    assert [each for code in cells(text) for each in imports(code)] == [
        "import gpt.a",
        "from gpt import c",
        "from gpt import d",
    ]
