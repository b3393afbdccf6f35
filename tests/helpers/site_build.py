"""Builds of a site by Sphinx, for the tests of the site."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def sphinx(source: Path, out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Build a site without a network: what would ask for one fails at once."""
    doctrees = out.parent / "doctrees"
    command = [sys.executable, "-m", "sphinx", "-q", "-E", *flags, "-d", str(doctrees), str(source), str(out)]
    env = {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_COLOR": "1"}
    for name in ("SITE_URL", "REPOSITORY_URL", "COLAB_URL"):
        env.pop(name, None)
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
