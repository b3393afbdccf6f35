"""`import tinytensor` needs NumPy alone; what needs more says so when it is used. And tinytensor in torch's place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytensor import compat

pytestmark = pytest.mark.programs  # each starts an interpreter
ROOT = Path(__file__).parents[2]
OTHERS = (
    "torch",
    "cupy",
    "matplotlib",
    "safetensors",
    "tqdm",
    "threadpoolctl",
    "pooch",
    "tensorboardX",
    "scipy",
    "gpt",
)


def python(*arguments: str, code: int = 0, cwd: Path | None = None) -> tuple[str, str]:
    """What a fresh interpreter prints, and what it complains."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}
    done = subprocess.run([sys.executable, *arguments], env=env, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


BLOCK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OTHERS!r}:
            raise ImportError(f"blocked: {{name}}")
sys.meta_path.insert(0, Block())
"""


def test_importing_it_imports_none_of_the_optional_packages() -> None:
    out, _ = python(
        "-W", "error", "-c",
        f"import sys, tinytensor; print([m for m in {OTHERS!r} if m in sys.modules]); print('numpy' in sys.modules)",
    )  # fmt: skip
    assert out.split("\n")[:2] == ["[]", "True"]


# What takes long to import, or is asked for by few scripts.
LATER = (
    "tinytensor.accelerator", "tinytensor.amp", "tinytensor.autograd", "tinytensor.backends", "tinytensor.cuda",
    "tinytensor.compat.accelerator", "tinytensor.compat.as_torch", "tinytensor.compat.backends",
    "tinytensor.distributed", "tinytensor.gradcheck", "tinytensor.nn",
    "tinytensor.optim", "tinytensor.serialization", "tinytensor.utils", "argparse", "dataclasses", "json", "logging",
    "numpy.random", "random", "secrets", "tempfile", "uuid",
)  # fmt: skip


def test_importing_it_imports_no_more_than_tensors() -> None:
    code = "import sys, numpy; before = set(sys.modules); import tinytensor; print(*set(sys.modules) - before)"
    loaded = set(python("-c", code)[0].split())
    assert "tinytensor.tensor" in loaded
    assert not loaded.intersection(LATER)


def test_the_rest_comes_when_it_is_asked_for() -> None:
    """As an attribute, by `from`, and under `dir`; a name that is not there stays an AttributeError."""
    out, _ = python(
        "-W", "error", "-c",
        """
import sys
import tinytensor as torch
rooms = ["accelerator", "amp", "autograd", "backends", "cuda", "distributed", "nn", "optim", "serialization", "utils"]
print({*rooms, "load", "save", "autocast", "ones", "no_grad"} <= {*dir(torch)}, hasattr(torch, "fft"))
print(all(getattr(torch, room) is sys.modules[f"tinytensor.{room}"] for room in rooms))
print(torch.cuda.amp is sys.modules["tinytensor.cuda.amp"], torch.utils.data is sys.modules["tinytensor.utils.data"])
from tinytensor import autocast, nn, save
print(nn is torch.nn, save is torch.serialization.save, autocast is torch.amp.autocast, "nn" in vars(torch))
""",
    )  # fmt: skip
    assert out.split("\n")[:4] == ["True False", "True", "True True", "True True True True"]


@pytest.mark.parametrize("first", ["the public path", "its home"])
@pytest.mark.parametrize("public, home", compat.HOMES.items())
def test_a_module_with_two_names_runs_once(public: str, home: str, first: str) -> None:
    if "tensorboard" in public:
        pytest.importorskip("tensorboardX")
    imports = [public, home] if first == "the public path" else [home, public]
    out, _ = python(
        "-W", "error", "-c",
        f"""
import importlib, sys, tinytensor
one, other = (importlib.import_module(name) for name in {imports})
parent, _, name = {public!r}.rpartition(".")
print(one is other, getattr(sys.modules[parent], name) is one, one.__name__, one.__spec__.name, one.__file__)
import {public}
exec(f"from {{parent}} import {{name}} as fourth")
import {public} as third
print(third is one, fourth is one, importlib.reload(one) is one)
files = [m.__file__ for n, m in sys.modules.items() if n.startswith("tinytensor") and m is not one]
print(len(files) == len(set(files)))
""",
    )  # fmt: skip
    assert out.split("\n")[0] == f"True True {home} {home} {ROOT / (home.replace('.', '/') + '.py')}"
    assert out.split("\n")[1:3] == ["True True True", "True"]


def test_a_program_starts_without_what_it_may_not_use() -> None:
    code = "import sys, gpt.train, gpt.generate, gpt.evaluate; print(*sys.modules)"
    loaded = set(python("-c", code)[0].split())
    assert "gpt.run.checkpoint" in loaded
    absent = {
        "matplotlib",
        "pooch",
        "requests",
        "safetensors",
        "threadpoolctl",
        "torch",
        "tqdm",
        "tinytensor.gradcheck.table",
    }
    assert not loaded.intersection(absent)


def test_it_trains_without_them() -> None:
    out, _ = python(
        "-W", "error", "-c",
        BLOCK + """
import tinytensor as torch
model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.GELU(), torch.nn.LayerNorm(8), torch.nn.Linear(8, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
x, y = torch.randn(20, 3), torch.randint(0, 2, (20,))
losses = []
for _ in range(30):
    loss = torch.nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(losses[-1] < losses[0] and not torch.cuda.is_available())
""",
    )  # fmt: skip
    assert out == "True\n"


@pytest.mark.parametrize(
    "statement, package",
    [
        ("tinytensor.save({}, 'nowhere')", "safetensors"),
        ("import tinytensor.utils.tensorboard", "tensorboardX"),
        ("tinytensor.ones(1).cuda()", "CuPy"),
    ],
)
def test_what_needs_a_package_names_it(statement: str, package: str) -> None:
    _, err = python("-c", f"{BLOCK}\nimport tinytensor\n{statement}", code=1)
    last = err.strip().rsplit("\n", 1)[-1]
    assert package in last
    assert "pip install" in last


def test_it_stands_in_torchs_place(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        BLOCK.replace("'torch', ", "")
        + """
import torch, torch.nn as nn, torch.nn.functional as F
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import DataLoader as Same
from torch.optim.lr_scheduler import LambdaLR
from torch.nn.utils import clip_grad_norm_
from torch.autograd import gradcheck
from torch import Tensor, nn as again
import tinytensor, neighbour
print(torch is tinytensor, nn is again, F is torch.nn.functional, DataLoader is Same, isinstance(torch.ones(1), Tensor))
print(__name__, sys.argv[0] == __file__, sys.argv[1:], neighbour.there)
""",
        encoding="utf-8",
    )
    (tmp_path / "neighbour.py").write_text("import torch\nthere = torch.__name__\n", encoding="utf-8")
    out, _ = python("-W", "error", "-m", "tinytensor", str(script), "--steps", "3")
    assert out.split("\n")[:2] == ["True True True True True", "__main__ True ['--steps', '3'] tinytensor"]


@pytest.mark.parametrize("statement", ["import torch.fft", "from torch.nn import Conv2d", "from torch.fx import Graph"])
def test_an_import_outside_of_the_subset_fails_and_names_it(tmp_path: Path, statement: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(statement, encoding="utf-8")
    _, err = python("-m", "tinytensor", str(script), code=1)
    last = err.strip().rsplit("\n", 1)[-1]
    assert last.startswith(("ImportError", "ModuleNotFoundError"))
    assert any(name in last for name in ("fft", "Conv2d", "fx"))


def test_no_script_or_none_there_is_status_2() -> None:
    out, _ = python("-m", "tinytensor", code=2)
    assert "python -m tinytensor script.py" in out
    _, err = python("-m", "tinytensor", "nowhere.py", code=2)
    assert "nowhere.py" in err
    assert "Traceback" not in err
    assert "script.py" in python("-m", "tinytensor", "--help")[0]


def test_a_scripts_exit_status_is_its_own(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import torch, sys\nsys.exit(7 if torch.ones(2).sum() == 2 else 0)", encoding="utf-8")
    python("-m", "tinytensor", str(script), code=7)


def test_install_refuses_when_pytorch_is_there_already() -> None:
    pytest.importorskip("torch")
    code = """
import torch, tinytensor.as_torch
try:
    tinytensor.as_torch.install()
except RuntimeError as error:
    print("imported already" in str(error), torch is not tinytensor)
"""
    assert python("-c", code)[0] == "True True\n"


def test_the_optional_module_is_there_under_its_name_in_torch(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
from torch.utils.tensorboard import SummaryWriter
import tinytensor.utils.tensorboard
with SummaryWriter("log") as writer:
    writer.add_scalar("loss", 0.5, 1)
print(SummaryWriter is tinytensor.utils.tensorboard.SummaryWriter)
""",
        encoding="utf-8",
    )
    assert python("-m", "tinytensor", str(script), cwd=tmp_path)[0] == "True\n"
    assert list((tmp_path / "log").iterdir())
