"""Builds of sites by Sphinx: that of docs/, and small ones with its configuration and pages of a test.

python tests/helpers/site_build.py FOLDER     # the site in FOLDER/site, for tests with SITE_BUILT=FOLDER
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "docs" / "_extensions"))

from checkout import load_build_lab  # noqa: E402


@functools.cache
def has_editor() -> bool:
    """Fetch the packages of the laboratory's editor, if they are not there: the one step that needs a network."""
    build_lab = load_build_lab()
    try:
        build_lab.packages()
    except build_lab.Missing:
        if os.environ.get("CI"):
            raise
        return False
    return True


def sphinx(source: Path, out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Build a site without a network: what would ask for one fails at once."""
    doctrees = out.parent / "doctrees"
    command = [sys.executable, "-m", "sphinx", "-q", "-E", *flags, "-d", str(doctrees), str(source), str(out)]
    env = {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_COLOR": "1"}
    env["npm_config_fetch_retries"] = "0"  # else npm waits for minutes before it says so
    for name in ("SITE_URL", "REPOSITORY_URL", "COLAB_URL"):
        env.pop(name, None)
    if not has_editor():
        env["LAB_EDITOR"] = "plain"
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


def written(source: Path, pages: dict[str, str]) -> Path:
    """Write pages, by their names, and a conf.py that takes that of docs/. Return the folder."""
    for name, text in pages.items():
        (source / f"{name}.md").write_text(text + "\n", "utf-8")
    docs = ROOT / "docs"
    conf = f"import runpy\nglobals().update(runpy.run_path({str(docs / 'conf.py')!r}))\n"
    conf += f"html_static_path, templates_path = [{str(docs / '_static')!r}], [{str(docs / '_templates')!r}]\n"
    conf += f"html_logo = html_favicon = {str(docs / '_static' / 'logo.svg')!r}\n"
    conf += "documents_outside = {}\nrepository_url = 'https://example.org'\n"
    (source / "conf.py").write_text(conf, "utf-8")
    return source


def the_site(folder: Path) -> Path:
    """Build the site of docs/ in that folder, every chapter executed, every warning an error. Return where it is."""
    done = sphinx(ROOT / "docs", folder / "site", "-W")
    assert done.returncode == 0, f"the site does not build:\n{done.stdout[-3000:]}\n{done.stderr[-12000:]}"
    return folder / "site"


if __name__ == "__main__":
    print(the_site(Path(sys.argv[1]).resolve()))
