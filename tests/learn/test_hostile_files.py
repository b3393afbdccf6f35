"""Files that are broken, or try to get by without the work: each is refused, in lines that say why, and breaks nothing."""

from __future__ import annotations

import builtins
import collections
import importlib.util
import os
import py_compile
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from wrong import replaced, solution

from gpt.learn import check_text, start_text
from gpt.learn.offered import FILES, OFFERED
from gpt.learn.reader import WITHHELD, Reader

ROOT = Path(__file__).resolve().parents[2]
HEAD = "import numpy as np\n"
RIGHT = "    return dy * keep / (1 - p)\n"
BODY = "def backward(dy, keep, p):\n"


def said(text: str, name: str = "dropout") -> str:
    """The lines of a check that the text does not pass; no line is a traceback, and none has a line end."""
    report = check_text(name, text, seed=1)
    assert report.passed is False, report.lines
    assert report.lines[0] == f"{name}: not yet" and all(
        "\n" not in line and "Traceback" not in line for line in report.lines
    )
    return "\n".join(report.lines)


BROKEN = {
    "": "backward is missing: the file has to define it",
    "def backward(:\n": "line 1 is no Python: invalid syntax",
    "  x = 1\n": "line 1 is no Python: unexpected indent",
    "x = '\0'\n": "no Python",
    "(" * 3000 + ")" * 3000: "no Python",
    "x = 1\n" * 40_000: "the file has 240,000 characters",
    "backward = 3\n": "backward is no function",
    "1 / 0\n": "line 1: ZeroDivisionError: division by zero",
    f"{BODY}    return nothing\n": "line 2: NameError: name 'nothing' is not defined",
    f"{BODY}    return dy.foo\n": "line 2: AttributeError",
    "def backward(dy):\n    return dy\n": "TypeError: backward() takes 1 positional argument but 3 were given",
    f"{BODY}    return backward(dy, keep, p)\n": "RecursionError: a function calls itself too often",
    f"{BODY}    raise SystemExit(0)\n": "line 2: SystemExit: 0",
    "raise SystemExit\n": "line 1: SystemExit",
    f"{BODY}    exit(0)\n": "SystemExit",
    f"{BODY}    raise GeneratorExit\n": "line 2: GeneratorExit",
    f"{BODY}    pass\n": "dx is None; it has to be an array of the shape of x",
    f"{BODY}    return dy.tolist()\n": "it returns 4 results; it has to return dx",
    f"{BODY}    return {{'dx': dy}}\n": "dx is a dict; it has to be an array of the shape of x",
    f"{BODY}    return dy, dy\n": "it returns 2 results; it has to return dx",
    f"{BODY}    return ()\n": "it returns 0 results",
    f"{BODY}    return (dy * keep / (1 - p)).tolist(),\n": "dx is a list; it has to be an array",
    f"{HEAD}{BODY}    return np.matrix(dy * keep / (1 - p))\n": "dx is a matrix; it has to be an array",
    f"{BODY}    return (dy * keep / (1 - p)).astype(object)\n": "dx has dtype object; it must have dtype float64",
    f"{BODY}    return (dy * keep / (1 - p)).astype('float32')\n": "dx has dtype float32; of float64 arrays it must have float64",
    f"{BODY}    return (dy * keep / (1 - p)).astype(complex)\n": "dx has dtype complex128",
    f"{BODY}    return (dy * keep / (1 - p))[None]\n": "usual cause: the numbers are right; reshape them",
    f"{BODY}    return dy * float('nan')\n": "a division by 0, or a logarithm of 0",
    f"{HEAD}{BODY}    return np.zeros(dy.shape, 'U3')\n": "dx has dtype <U3; it must have dtype float64",
    f"{HEAD}{BODY}    return np.zeros(dy.shape, [('a', float)])\n": "it must have dtype float64",
    f"class Odd(Exception):\n    def __str__(self):\n        raise ValueError\n{BODY}    raise Odd\n": "Odd: (its message cannot be made)",
    f"{BODY}    raise ValueError('x' * 10**6)\n": "x …",
    f"{BODY}    raise ValueError('\\x1b[31m red')\n": "\\x1b[31m red",
    f"{BODY}    dy *= keep\n    dy /= 1 - p\n    return dy\n": "it writes into an array that it was given",
    f"{HEAD}{BODY}    dy.flags.writeable = True\n    dy *= 2\n    return dy / 2 * keep / (1 - p)\n": "it changes an array that it was given",
    f"{BODY}    keep.fill(True)\n    return dy * keep / (1 - p)\n": "it writes into an array that it was given",
    f"{HEAD}calls = []\n{BODY}    calls.append(1)\n    return dy * keep / (1 - p) * (1 if len(calls) % 2 else 2)\n":
        "dx differs between two calls with the same arguments",
    f"{HEAD}{BODY}    return dy * keep / (1 - p) + 1e-3 * np.random.rand()\n": "dx differs between two calls",
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_broken_file_is_told_so(number: int) -> None:
    text, line = list(BROKEN.items())[number]
    lines = said(text)
    assert line in lines


def test_a_reader_may_print() -> None:
    """What a file prints follows the result, in its order; after twenty lines it is said how many more there are."""
    text = f"print('begin')\n{BODY}    print(*dy.shape)\n{RIGHT}"
    report = check_text("dropout", text, seed=1)
    from gpt.learn.recorded import rows

    first = [" ".join(map(str, row["result"]["dy"].shape)) for row in rows("dropout")][:2]
    calls = int(re.findall(r"in (\d+) calls", report.lines[0])[0])
    at = report.lines.index("  it printed:")
    printed = report.lines[at + 1 :]
    assert report.passed and printed[0] == "      begin"
    # each call is made twice
    assert printed[1:5] == [f"      {shape}".rstrip() for shape in first for _ in range(2)]
    assert len(printed) == 21 and printed[20] == f"      … and {1 + 2 * calls - 20} lines more"


def test_prints_do_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    said(f"import warnings\nprint('x')\n{BODY}{RIGHT}")
    check_text("dropout", f"print('x')\n{BODY}    print('y')\n{RIGHT}")
    assert capfd.readouterr() == ("", "")


FOOLING = {
    # what has the answer
    f"import tinytensor\n{BODY}{RIGHT}": "line 1 imports tinytensor: it has the answer",
    "from tinytensor.ops.dropout import dropout_backward as backward\n": "line 1 imports tinytensor.ops.dropout: it has the answer",
    f"{BODY}    from gpt.learn import exercises\n{RIGHT}": "line 2 imports gpt.learn: it has the answer",
    f"{BODY}    import torch\n{RIGHT}": "line 2 imports torch: it has the answer",
    "import dropout\nbackward = dropout.backward\n": "line 1 imports dropout: an exercise has to work without it",
    f"from . import dropout\n{BODY}{RIGHT}": "line 1 imports .: an exercise has to work without it",
    f"import sys\n{BODY}{RIGHT}": "line 1 imports sys",
    f"import os\n{BODY}{RIGHT}": "line 1 imports os",
    f"import importlib\n{BODY}{RIGHT}": "line 1 imports importlib",
    f"import numpy.f2py\n{BODY}{RIGHT}": "line 1 imports numpy.f2py",
    f"from typing import sys\n{BODY}{RIGHT}": "line 1 imports sys, which no exercise needs",
    f"{BODY}    return __import__('tinytensor').ops.dropout.dropout_backward(dy, keep / (1 - p))[0]\n": "line 2 reads __import__",
    f"{BODY}    return eval('dy')\n": "the file calls eval(), which no exercise needs",
    f"{BODY}    exec('import tinytensor')\n{RIGHT}": "the file calls exec()",
    f"{BODY}    open('/etc/passwd')\n{RIGHT}": "the file calls open()",
    f"{BODY}    input()\n{RIGHT}": "the file calls input()",
    f"{BODY}    breakpoint()\n{RIGHT}": "the file calls breakpoint()",
    f"{HEAD}{BODY}    return getattr(np, 'ones')(dy.shape)\n": "the file calls getattr()",
    f"{HEAD}{BODY}    return np.__dict__\n": "line 3 reads .__dict__",
    f"{BODY}    return [c for c in ().__class__.__base__.__subclasses__()]\n": "line 2 reads .__",
    f"{BODY}    return (x for x in ()).gi_frame.f_back.f_locals\n": "line 2 reads .",
    f"import typing\n{BODY}    return typing.sys.modules\n": "line 3 reads .modules",
    f"{BODY}    match dy:\n        case object(__class__=c):\n            return c\n": "reads .__class__",
    f"{BODY}    return __builtins__\n": "line 2 reads __builtins__",
    # what would change the check itself
    f"{HEAD}np.abs = lambda x: 0 * x\n{BODY}    return dy\n": "the file changes a module that others use: numpy.abs",
    f"{HEAD}{BODY}    np.asarray = lambda x: dy * keep / (1 - p)\n    return dy\n": "the file changes a module that others use: numpy.asarray",
    f"import math\nmath.sqrt = lambda x: 1\n{BODY}{RIGHT}": "the file changes a module that others use: math.sqrt",
    f"{HEAD}{BODY}    np.linalg.mine = 1\n{RIGHT}": "the file changes a module that others use: numpy.linalg.mine",
    f"class Many(tuple):\n    def __len__(self):\n        return 1\n{BODY}    return Many()\n": "dx is a Many",
    f"{HEAD}class Equal(np.ndarray):\n    def __sub__(self, x):\n        return x\n{BODY}    return dy.view(Equal)\n": "dx is an Equal",
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(FOOLING)))
def test_a_way_around_is_refused(number: int) -> None:
    text, line = list(FOOLING.items())[number]
    absolute = np.abs, np.asarray
    assert line in said(text)
    assert (np.abs, np.asarray) == absolute


# What executes text, reads attributes by name, or leads to other modules, frames or memory. Each is a whole file's first lines.
WAYS = {
    "from numpy.testing import runstring\nrunstring('import sys; sys.setprofile(None)', {})": "line 1 imports runstring",
    "from numpy.testing import measure\nmeasure('1')": "line 1 imports measure",
    "from numpy.testing import rundocs": "line 1 imports rundocs",
    "import numpy.testing as t\nt.runstring('1', {})": "line 2 reads .runstring",
    "import numpy as np\nnp.testing.measure('1')": "line 2 reads .measure",
    "import numpy as np\nnp.testing.rundocs()": "line 2 reads .rundocs",
    "import numpy as np\nt = np.testing\nt.run_threaded(print)": "numpy.testing.run_threaded is withheld",
    "from numpy.testing import *\nrunstring('1', {})": "NameError: name 'runstring'",
    "import numpy as np\nnp.lib.stride_tricks": "line 2 reads .lib",
    "from numpy import lib": "line 1 imports lib",
    "from numpy import f2py": "line 1 imports f2py",
    "from numpy import core": "line 1 imports core",
    "from numpy import _core": "line 1 imports _core",
    "import numpy.ctypeslib": "line 1 imports numpy.ctypeslib",
    "import numpy.lib.format": "line 1 imports numpy.lib.format",
    "import numpy as np\nnp.ma.core": "line 2: AttributeError: numpy.ma is withheld",
    "import numpy as np\nnp.core": "line 2: AttributeError: numpy.core is withheld",
    "import numpy as np\nnp.distutils": "line 2 reads .distutils",
    "import numpy as np\nnp.bmat('backward')": "line 2: AttributeError: numpy.bmat is withheld",
    "import numpy as np\nnp.info('numpy')": "line 2: AttributeError: numpy.info is withheld",
    "import numpy as np\nnp.ones(2).ctypes.data": "line 2 reads .ctypes",
    "import numpy as np\nnp.random.default_rng().bit_generator.cffi": "line 2 reads .cffi",
    "import math\nmath.__loader__": "line 2 reads .__loader__",
    "import numpy as np\nnp.sort.__globals__": "line 2 reads .__globals__",
    "print.__self__": "line 1 reads .__self__",
    "(x for x in ()).gi_code.co_consts": "reads .",
    "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__": "line 4 reads .__traceback__",
    "class C:\n    def __enter__(self): pass\n    def __exit__(self, a, b, tb):\n        tb.tb_frame.f_back\nwith C(): pass":
        "line 4 reads .",
    "class C:\n    def __exit__(self, a, b, tb):\n        tb.tb_next": "line 3 reads .tb_next",
    "class M(type):\n    def __instancecheck__(cls, x): return True\n"
    "C = M('C', (), {'__match_args__': ('__globals__',)})\nmatch M.mro:\n    case C(found): print(found)":
        "line 5 reads attributes by their position",
    "import typing\ntyping.operator.attrgetter('__globals__')": "line 2 reads .attrgetter",
    "import typing\no = typing.operator": "line 2: AttributeError: typing.operator is withheld",
    "import typing\nclass C:\n    x: 'print(1)'\ntyping.get_type_hints(C)": "line 4 reads .get_type_hints",
    "from typing import get_type_hints": "line 1 imports get_type_hints",
    "from typing import ForwardRef": "line 1 imports ForwardRef",
    "from functools import update_wrapper": "line 1 imports update_wrapper",
    "from functools import singledispatch": "line 1 imports singledispatch",
    "import functools\nfunctools.wraps(print, ('__self__',))": "TypeError: wraps() takes 1 positional argument",
    "import collections\ncollections.abc.sys": "line 2 reads .sys",
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(WAYS)))
def test_a_way_out_is_refused(number: int) -> None:
    lines, expected = list(WAYS.items())[number]
    assert expected in said(f"{lines}\n{BODY}{RIGHT}")


def test_the_solution_of_another_does_not_come_by_text() -> None:
    """Without its stand-in this solved gelu: the text switches the watch off, and the engine's own function answers."""
    text = (
        start_text("gelu").partition("    raise")[0]
        + """
    found = {}
    np.testing.{name}('import sys; sys.setprofile(None)\\nfrom tinytensor.ops.gelu import gelu_tanh_backward as f', found)
    return found['f'](dy, x)
"""
    )
    for name in ("runstring", "assert_equal.runstring", "assert_equal"):
        assert "gelu: not yet" in said(text.replace("{name}", name), "gelu")


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_are_neither_read_nor_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a function of NumPy, as a method of an array, and by an import."""
    monkeypatch.chdir(tmp_path)
    for line in (f"np.{name}('x')", f"np.ones(2).{name}('x')", f"kept = np.ndarray.{name}"):
        assert f"line 2 reads .{name}: an exercise reads and writes no files" in said(f"{HEAD}{line}\n{BODY}{RIGHT}")
    assert f"line 1 imports {name}" in said(f"from numpy import {name}\n{BODY}{RIGHT}")
    assert f"line 2: NameError: name '{name}'" in said(f"from numpy import *\nkept = {name}\n{BODY}{RIGHT}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("owner", ["np", "np.ndarray"])
def test_what_numpy_does_with_files_is_known(owner: str) -> None:
    """What NumPy's own documentation says to take or open a file is refused, also what another version adds."""
    where = {"np": np, "np.ndarray": np.ndarray}[owner]
    speaks = r"\bfilename\b|\bfile[- ](like|object|name)|\b(open|text|binary|to a|from a|``\.npy``) file\b|\.npy"
    names = [name for name in dir(where) if name[0] != "_" and re.search(speaks, str(getattr(where, name).__doc__))]
    assert {"np": "savetxt", "np.ndarray": "tofile"}[owner] in names
    for name in names:
        said(f"{HEAD}{owner}.{name}\n{BODY}{RIGHT}")


def test_a_stand_in_leads_to_no_other_module_and_executes_no_text() -> None:
    """Its values are no modules but stand-ins, and of Python's functions none that executes text or opens files itself."""
    import inspect
    from types import ModuleType

    seen = 0
    for module in OFFERED.values():
        names = [name for name in (*vars(module), *getattr(module, "__all__", ())) if name[0] != "_"]
        assert names, module
        for value in (getattr(module, name) for name in names):
            if isinstance(value, ModuleType):
                assert value in OFFERED.values(), value
            code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
            if code and value is not collections.namedtuple:  # it executes names that it has examined
                found = {"exec", "eval", "open", "_getframe", "__import__", "get_type_hints"} & set(code.co_names)
                assert not found, (value, found)
                seen += 1
    assert seen > 200


def test_numpy_imports_what_it_needs_and_the_file_gets_nothing_of_it() -> None:
    """NumPy's C code imports by the `__import__` of the file that calls it; it finds its modules, the file finds an empty one."""
    from gpt.learn.offered import imported

    assert "numpy._core._methods" in sys.modules and not hasattr(
        imported("numpy._core._methods", names=("sys",)), "sys"
    )
    assert not hasattr(imported("sys"), "modules") and imported("numpy.linalg") is imported("numpy") is OFFERED["numpy"]
    with pytest.raises(ImportError, match="withheld"):
        imported("dropout", level=1)


def test_how_numbers_are_printed_is_put_back() -> None:
    before = np.get_printoptions()
    assert check_text("dropout", f"{HEAD}np.set_printoptions(precision=1)\n{BODY}{RIGHT}").passed
    assert np.get_printoptions() == before


def test_the_engine_is_noticed_however_it_was_reached() -> None:
    """Not by its import, but by what runs: here a test puts the function into the file's reach."""
    import tinytensor.ops.dropout

    reader = Reader(f"{BODY}{RIGHT}", "dropout")
    backward = reader.load("backward")
    assert reader.call(backward, np.ones(2), np.ones(2, bool), 0.5).tolist() == [2.0, 2.0]
    from gpt.learn.exercise import Fault

    with pytest.raises(Fault, match=r"the file calls tinytensor.ops.dropout, which has the answer"):
        reader.call(tinytensor.ops.dropout.dropout_backward, np.ones(2), np.ones(2))


def test_difference_quotients_are_no_derivative() -> None:
    text = (
        start_text("gelu").partition("    raise")[0]
        + """
    return dy * (forward(x + 1e-6)[0] - forward(x - 1e-6)[0]) / 2e-6
"""
    )
    assert "a difference quotient in the place of a derivative" in said(text, "gelu")
    matrices = (
        start_text("matmul").partition("    raise")[0]
        + """
    da, db = np.zeros(a.shape), np.zeros(b.shape)
    for x, dx in ((a, da), (b, db)):
        for i in np.ndindex(x.shape):
            high, low = x.copy(), x.copy()
            high[i] += 1e-5
            low[i] -= 1e-5
            y = [(high @ b, low @ b) if x is a else (a @ high, a @ low)][0]
            dx[i] = (dy * (y[0] - y[1])).sum() / 2e-5
    return da, db
"""
    )
    assert "a difference quotient in the place of a derivative" in said(matrices, "matmul")


def test_remembered_numbers_are_no_derivative() -> None:
    """A file that knows all recorded numbers is right until numbers are drawn that it cannot know."""
    from gpt.learn.recorded import rows

    known = [(row["result"]["dy"].tolist(), row["gradients"]["dx"].tolist()) for row in rows("dropout")]
    text = f"{HEAD}KNOWN = {known!r}\n{BODY}    for given, dx in KNOWN:\n        if dy.tolist() == given:\n            return np.array(dx).reshape(dy.shape)\n    return dy\n"
    lines = said(text)
    assert f"after {len(known)} calls without a mistake" in lines and "drawn now" in lines


def test_remembered_numbers_and_difference_quotients_together_are_none() -> None:
    """Central differences cannot tell such a file from a right one; complex steps do."""
    from gpt.learn.recorded import rows

    known = [(row["result"]["dy"].tolist(), row["gradients"]["dx"].tolist()) for row in rows("gelu")]
    text = (
        start_text("gelu").partition("    raise")[0]
        + f"""
    for given, dx in {known!r}:
        if dy.tolist() == given:
            return np.array(dx).reshape(dy.shape)
    return dy * (forward(x + 1e-5)[0] - forward(x - 1e-5)[0]) / 2e-5
"""
    )
    lines = said(text, "gelu")
    assert f"after {len(known)} calls without a mistake" in lines and "a difference quotient in the place of" in lines


def test_it_is_the_readers_text_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right file of that name on the path, imported before and as bytecode, does not help a wrong text, nor harm a right one."""
    wrong = f"{BODY}    raise ValueError('I am the one of the reader')\n"
    (tmp_path / "dropout.py").write_text(solution("dropout"))
    py_compile.compile(str(tmp_path / "dropout.py"))
    stamp = (tmp_path / "dropout.py").stat()
    (tmp_path / "dropout.py").write_text(wrong.ljust(stamp.st_size))
    os.utime(
        tmp_path / "dropout.py", ns=(stamp.st_atime_ns, stamp.st_mtime_ns)
    )  # now the bytecode counts as that of this text
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.find_spec("dropout")
    assert spec is not None and spec.origin == str(tmp_path / "dropout.py")
    import dropout  # type: ignore[import-not-found]

    assert dropout.backward(1.0, True, 0.5) == 2  # Python's own import takes the bytecode, as planted
    assert "line 2: ValueError: I am the one of the reader" in said((tmp_path / "dropout.py").read_text())
    assert check_text("dropout", solution("dropout")).passed
    del sys.modules["dropout"]


def test_each_line_of_a_right_file_ran() -> None:
    """A marker in each branch, printed by the reader's own lines."""
    text = f"{BODY}    print('branch', 'float32' if dy.dtype == 'float32' else 'float64')\n{RIGHT}"
    report = check_text("dropout", text)
    assert report.passed and "branch float64" in "\n".join(report.lines)


def test_a_changed_forward_changes_nothing() -> None:
    """A check calls the given forward; the file's own may be gone, or another function, which a note says."""
    text = (
        solution("relu")
        .replace("np.maximum(x, 0)", "np.zeros_like(x)")
        .replace("np.where(x > 0, dy, 0)", "np.zeros_like(dy)")
    )
    assert "note: forward in the file is not the one of `start`" in said(text, "relu")
    alone = "import numpy as np\n" + solution("relu")[solution("relu").index("def backward") :]
    report = check_text("relu", alone)
    assert report.passed and "note" not in "\n".join(report.lines)


def test_what_is_allowed_is_enough_and_exists() -> None:
    for name in OFFERED:
        assert importlib.util.find_spec(name) is not None
    assert all(hasattr(builtins, name) for name in WITHHELD)
    text = f"from __future__ import annotations\nimport numpy.random as r, numpy.testing, collections.abc, typing\nfrom numpy.testing import assert_allclose\nnp = numpy\nnp.testing.assert_equal(1, 1)\nassert r is np.random\nassert_allclose(np.linalg.norm(np.ones(4)), 2)\nassert callable(collections.deque) and callable(np.add.at) and np.ones(2).sum() == 2\nimport math, itertools, functools\nfrom numpy.typing import NDArray\n{HEAD}{BODY}    with np.errstate(all='ignore'):\n    {RIGHT}"
    assert check_text("dropout", text).passed


def test_ctrl_c_is_no_fault_of_the_file() -> None:
    """The stop button of a page, and Ctrl-C, end the check."""
    with pytest.raises(KeyboardInterrupt):
        check_text("dropout", f"{BODY}    raise KeyboardInterrupt\n")
    assert sys.getprofile() is None and check_text("dropout", f"{BODY}{RIGHT}").passed


def test_it_needs_neither_files_nor_processes() -> None:
    """Under Pyodide there are no processes, and no fcntl: what the page imports, imports none of them."""
    import subprocess

    code = ("import sys, gpt.learn; gpt.learn.check_text('mul', gpt.learn.start_text('mul'))\n"
            "print(*sorted(m for m in sys.modules if m.split('.')[0] in "
            "('subprocess', 'fcntl', 'torch', 'matplotlib', 'safetensors', 'multiprocessing', 'tinytensor', 'pooch', 'tqdm', 'ctypes')"
            " or m.startswith('gpt.') and not m.startswith(('gpt.learn', 'gpt.errors'))))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = set(done.stdout.split()) - {"ctypes", "ctypes._endian"}  # NumPy's own
    assert not found, found


def test_asserts_stay_under_python_o() -> None:
    """python -O leaves asserts out of what it compiles, which would make an empty test of any."""
    import subprocess

    code = "import gpt.learn; print(gpt.learn.check_text('test_batch', open('solution.py', encoding='utf-8').read()).passed)"
    file = ROOT / "tests" / "learn" / "solutions" / "test_batch.py"
    done = subprocess.run([sys.executable, "-OO", "-c", code.replace("solution.py", file.as_posix())], cwd=ROOT, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout == "True\n"


def test_what_a_file_prints_without_end_is_not_kept() -> None:
    text = f"{BODY}    print('x' * 100_000)\n    print('y' * 100_000)\n{RIGHT}"
    report = check_text("dropout", text)
    assert report.passed and sum(map(len, report.lines)) < 210_000


def test_an_array_of_a_backward_is_not_to_be_written_into() -> None:
    """Also where it would do no harm: who else has it, the file cannot know."""
    lines = said(replaced("tape", "each.grad + dx", "np.add(each.grad, dx, out=each.grad)"), "tape")
    assert "root = x·x + y" in lines and "it writes into an array that it was given" in lines


def test_a_node_that_is_played_twice_is_noticed_though_the_file_catches_it() -> None:
    text = solution("tape").replace(
        "for each, dx in zip(node.inputs, node.backward(node.grad)):",
        "results = node.backward(node.grad)\n            try:\n                node.backward(node.grad)\n"
        "            except Exception:\n                pass\n            for each, dx in zip(node.inputs, results):",
    )
    assert "is played a second time" in said(text, "tape")
