"""Build the laboratory: the page, its editor, the project's wheel and a text to train on, in one folder.

    python docs/build_lab.py OUT                     # OUT/index.html, to be served; Pyodide comes from its CDN
    python docs/build_lab.py OUT --pyodide FOLDER    # copies Pyodide from FOLDER to OUT/pyodide, for ?pyodide=pyodide/
    python docs/build_lab.py --pin FOLDER            # writes docs/lab/pyodide.json: sizes and hashes of these files

The site calls `build`. The editor is bundled with esbuild; without Node the page has a plain text field in its place.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / "docs" / "lab"
PIN = LAB / "pyodide.json"
PYTHON = LAB / "laboratory"  # the package that answers the page
PAGE = ("index.html", "style.css", "pyodide.json")  # and every script
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
BESIDE = ("laboratory.zip", "product.wasm")  # what Python gets besides the wheel
FIRST = ("numpy", "threadpoolctl")  # packages that the first visit loads
CDN = "https://cdn.jsdelivr.net/pyodide/v{version}/full/"
# What the editor offers: the kernels, the tape, the model and its training, and what is beside them on the reading path.
EDITABLE = (
    "tinytensor/ops/*.py", "tinytensor/tape.py", "tinytensor/accumulate.py", "tinytensor/accumulate_base.py",
    "tinytensor/primitive.py", "tinytensor/backend.py", "tinytensor/base.py", "tinytensor/tensor.py", "tinytensor/sums.py",
    "tinytensor/without_blas.py", "tinytensor/nn/functional/*.py", "tinytensor/nn/layers.py", "tinytensor/nn/module.py",
    "tinytensor/nn/init.py", "tinytensor/nn/clip.py", "tinytensor/nn/clip_base.py", "tinytensor/optim/optimizer.py",
    "tinytensor/optim/adamw.py", "tinytensor/optim/adam.py", "tinytensor/optim/fused.py", "gpt/model.py", "gpt/rotary.py",
    "gpt/data.py", "gpt/train.py", "gpt/optimizer.py", "gpt/sampling.py", "gpt/cache.py", "gpt/fast/shards.py",
    "gpt/fast/decode.py", "gpt/tokenizers/bpe.py",
)  # fmt: skip
HIDDEN = ("__init__.py", "__main__.py")
PROSE = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/chapters/*.md")
SENTENCE = r"[A-Z][A-Za-z0-9 ,.;:'\"()\-/?!%]{19,}[.:!?]\)?"


class Missing(Exception):
    """Why something cannot be built, in one line."""


def build(out: Path, snippets: list[dict[str, Any]] | None = None, pyodide: Path | None = None) -> list[str]:
    """Write the laboratory to the folder. Returns what is worth a line: that there is no editor, say.

    snippets: [{"name": "02-tape", "title": "…", "cells": ["code", …]}], the chapters whose cells can be opened here.
    pyodide: a folder with Pyodide's files; those that are pinned are copied to out/pyodide.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in (*PAGE, *(each.name for each in LAB.glob("*.js"))):
        shutil.copy(LAB / name, out / name)
    shutil.copy(ROOT / "gpt" / "inspection" / "page" / "dom.js", out / "dom.js")
    pack(PYTHON, out / "laboratory.zip")
    said = with_node(out)
    wheel = build_wheel(out)
    text = prose()
    (out / "text.txt").write_text(text, "utf-8")
    write_json(out / "snippets.json", {"chapters": snippets or []})
    write_json(
        out / "lab.json",
        {"wheel": described(wheel), "beside": [described(out / name) for name in BESIDE if (out / name).exists()],
         "text": described(out / "text.txt"), "first": list(FIRST), "files": (files := sources()),
         "hashes": {path: hashlib.sha256(text.encode()).hexdigest() for path, text in files.items()}},
    )  # fmt: skip
    if pyodide is not None:
        copy_pyodide(pyodide, out / "pyodide")
    return said


def pack(package: Path, archive: Path) -> None:
    """Write the modules of a package into an archive. Equal modules make equal bytes, whenever they were written."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(package.glob("*.py")):
            packed.writestr(zipfile.ZipInfo(f"{package.name}/{path.name}"), path.read_bytes(), zipfile.ZIP_DEFLATED)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")


def described(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def sources() -> dict[str, str]:
    """The files that the editor offers, path: text."""
    paths = {path for pattern in EDITABLE for path in ROOT.glob(pattern) if path.name not in HIDDEN}
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(paths)}


# ------------------------------------------------------------------------------------------------------------ wheel


def build_wheel(out: Path) -> Path:
    """Build the project's wheel into the folder, from a copy of the sources, without a network."""
    for old in out.glob("tinytensor-*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        for name in ("tinytensor", "gpt"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation", "--no-index", "--wheel-dir", str(out), folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"the wheel cannot be built: {last_line(done.stderr)} (setuptools has to be installed)")
    (found,) = out.glob("tinytensor-*.whl")
    return found


def last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason was given")


# ------------------------------------------------------------------------------------------------------------- text


def prose() -> str:
    """The paragraphs of the project's documents: a small text to train on, of few different characters."""
    paths = sorted({path for pattern in PROSE for path in ROOT.glob(pattern)})
    paragraphs = [each for path in paths for each in paragraphs_of(path.read_text("utf-8"))]
    return "\n\n".join(paragraphs) + "\n"


def paragraphs_of(markdown: str) -> Iterator[str]:
    """Each paragraph and list item, without the sentences that have other than plain characters: no code, no tables."""
    plain = re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^(#|\||>|<).*$", "", plain, flags=re.MULTILINE)
    plain = re.sub(r"\]\([^)]*\)|[\[*`]", "", plain)
    for part in re.split(r"\n\s*\n|^ *[-*] +|^ *\d+\. ", plain, flags=re.MULTILINE):
        text = " ".join(part.split()).translate(str.maketrans("’“”–—…×−", '\'""--.x-'))
        sentences = [each for each in re.split(r"(?<=[.!?]) (?=[A-Z])", text) if re.fullmatch(SENTENCE, each)]
        if sentences:
            yield " ".join(sentences)


# ------------------------------------------------------------------------------------------------------------- Node


def with_node(out: Path) -> list[str]:
    """Bundle the editor into out/codemirror.js, assemble product.wat. Without Node, say what the page does instead."""
    made = out / "codemirror.js", out / "product.wasm"
    for path in made:
        path.unlink(missing_ok=True)
    try:
        packages()
        esbuild = [str(LAB / "node_modules" / ".bin" / "esbuild"), "codemirror.mjs", "--bundle", "--minify"]
        esbuild += ["--format=esm", "--target=es2022", "--legal-comments=inline", "--log-level=error"]
        run([*esbuild, f"--outfile={made[0].resolve()}"])
        run(["node", "assemble.mjs", "product.wat", str(made[1].resolve())])
    except Missing as error:
        return [f"the laboratory has a plain text field in place of its editor, and slower products: {error}"]
    return []


def packages() -> None:
    """Install what package-lock.json names, unless it is there: the one step of the build that fetches anything."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Missing("there is no Node with npm (Debian: apt-get install nodejs npm)")
    target, wanted = LAB / "node_modules", (LAB / "package-lock.json").read_text("utf-8")
    if installed(target, wanted):
        return
    # In a folder of its own: a build beside this one sees all or nothing.
    with tempfile.TemporaryDirectory(prefix=".install-", dir=LAB) as name:
        folder = Path(name)
        for each in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(LAB / each, folder)
        run([npm, "ci", "--silent"], folder)
        (folder / "node_modules" / ".of").write_text(wanted, "utf-8")
        replace(target, folder, wanted)


def replace(target: Path, folder: Path, wanted: str) -> None:
    """Put what was installed in the folder in the target's place, unless another build was faster."""
    if installed(target, wanted):
        return
    try:
        if target.exists():
            target.rename(folder / "old")
        (folder / "node_modules").rename(target)
    except OSError as error:  # or it was so just now
        if not installed(target, wanted):
            raise Missing(f"{target} cannot be replaced: {error.strerror}") from None


def installed(folder: Path, wanted: str) -> bool:
    """Whether the folder has what this package-lock.json names."""
    try:
        return (folder / ".of").read_text("utf-8") == wanted
    except OSError:
        return False


def run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder or LAB, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{Path(command[0]).name} {command[1]} failed: {last_line(done.stderr or done.stdout)}")


# ---------------------------------------------------------------------------------------------------------- Pyodide


def pin(folder: Path) -> None:
    """Write the sizes and hashes of Pyodide's core files and of the packages of the first visit."""
    lock = json.loads((folder / "pyodide-lock.json").read_text("utf-8"))
    version = json.loads((folder / "package.json").read_text("utf-8"))["version"]
    files = {name: {k: v for k, v in described(folder / name).items() if k != "name"} for name in CORE}
    for name in FIRST:
        package = lock["packages"][name]
        found = described(folder / package["file_name"])
        if found["sha256"] != package["sha256"]:
            raise Missing(f"{package['file_name']} is not the file of pyodide-lock.json")
        files[package["file_name"]] = {"bytes": found["bytes"], "sha256": found["sha256"]}
    write_json(PIN, {"version": version, "from": CDN.format(version=version), "files": files})


def copy_pyodide(folder: Path, out: Path) -> None:
    """Copy the pinned files, and the packages of the lock file that are there, for chapters that import them."""
    pinned = json.loads(PIN.read_text("utf-8"))["files"]
    lock = json.loads((folder / "pyodide-lock.json").read_text("utf-8"))["packages"]
    out.mkdir(parents=True, exist_ok=True)
    for name, wanted in pinned.items():
        if not (folder / name).is_file() or described(folder / name)["sha256"] != wanted["sha256"]:
            raise Missing(f"{folder / name} is not the file that docs/lab/pyodide.json pins")
        shutil.copy(folder / name, out / name)
    for name in with_dependencies(["matplotlib"], lock):
        if (file := folder / lock[name]["file_name"]).is_file():
            shutil.copy(file, out)


def with_dependencies(names: list[str], lock: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    while names:
        if (name := names.pop()) not in found:
            found.add(name)
            names += [each.replace("_", "-") if each not in lock else each for each in lock[name]["depends"]]
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT")
    parser.add_argument("--pyodide", type=Path, metavar="FOLDER")
    parser.add_argument("--pin", type=Path, metavar="FOLDER")
    options = parser.parse_args(argv)
    if (options.out is None) == (options.pin is None):
        parser.error("give OUT, or --pin FOLDER")
    try:
        if options.pin is not None:
            pin(options.pin)
            return 0
        for line in build(options.out, None, options.pyodide):
            print(line)
    except (Missing, OSError) as error:
        parser.exit(2, f"build_lab: {error}\n")
    print(f"{options.out}: serve the folder, for example by python -m http.server --directory {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
