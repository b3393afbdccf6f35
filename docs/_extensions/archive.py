"""The code on the site: all files of the repository in one archive, and a directive that says where it is."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

from checkout import ROOT, commit_time, tracked
from docutils import nodes
from repository import SITE
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = "tinytensor"  # that the archive unpacks to
ADDRESS = f"_downloads/{FOLDER}.zip"


def write(path: Path) -> None:
    """Write the archive. Builds of one commit write the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    moment = time.gmtime(_moment())[:6]
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(tracked()):
            file = ROOT / name
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}", moment)
            entry.create_system = 3  # Unix: the mode below counts
            entry.external_attr = (0o100755 if os.access(file, os.X_OK) else 0o100644) << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def _moment() -> float:
    """The time of all files. A later state has a later one, by which Python sees that its bytecode is old."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return float(given)
    return commit_time() or max((ROOT / name).stat().st_mtime for name in tracked())


class TheCode(SphinxDirective):
    """Where the code is: in the repository, if that has an address, and in the archive."""

    def run(self) -> list[nodes.Node]:
        archive = nodes.reference("", "", refuri=SITE + ADDRESS, internal=True, classes=["button"])
        archive += nodes.Text(f"Download {FOLDER}.zip")
        url = self.config.repository_url
        if not url:
            text = " All files of the project, as this site was built from them."
            return [nodes.paragraph("", "", archive, nodes.Text(text))]
        there = nodes.reference("", url, refuri=url)
        return [
            nodes.paragraph("", "", nodes.Text("All files of the project are at "), there, nodes.Text(".")),
            nodes.literal_block("", f"git clone {url} {FOLDER}", language="sh"),
            nodes.paragraph("", "", archive, nodes.Text(" The same files without git.")),
        ]


def finish(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        write(Path(app.outdir) / ADDRESS)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("the-code", TheCode)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
