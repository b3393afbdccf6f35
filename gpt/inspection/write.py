"""One file from the template and its parts: style, scripts, and the data, none of which can end the element that holds it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

from gpt.errors import UserError
from gpt.run import files

PAGE = resources.files("gpt.inspection") / "page"
PART = re.compile(r"<!-- part: ([\w.-]+) -->")  # in the template: a file of the page, or "data", "bytes"
# Scripts are modules of their own for their tests; in the page they stand one after the other and see each other.
IMPORT = re.compile(r'^import \{[^}]*\} from "[^"]*";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(async )?(function|class|const|let)\b)", re.MULTILINE)


def as_json(value: Any) -> str:
    """JSON in ASCII without <, > and &: whatever a text in it says, a browser reads no HTML. Floats keep all their digits."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def page(data: dict[str, Any], arrays: str) -> str:
    """The whole file. arrays: what pack.py makes of them."""
    parts = {"data": as_json(data), "bytes": arrays}
    template = (PAGE / "index.html").read_text(encoding="utf-8")
    return PART.sub(lambda found: parts[found[1]] if found[1] in parts else part(found[1]), template)


def part(name: str) -> str:
    """A file of the page, a script without its imports and exports."""
    text = (PAGE / name).read_text(encoding="utf-8")
    return EXPORT.sub("", IMPORT.sub("", text)) if name.endswith(".js") else text


def target(path: Path) -> Path:
    """The path, if a file can be put there. Makes its folder. Raises UserError.

    What is there is replaced only if it is a file: not a folder, a device, or a link, which may lead out of a run folder.
    """
    found = "a file"
    try:
        with contextlib.suppress(FileNotFoundError):
            found = files.kind(os.lstat(path).st_mode)
        if found != "a file":
            raise UserError(
                f"--out {path} is {found}; name a file{f' in it, as {path}/inspect.html' * (found == 'a folder')}"
            )
        os.makedirs(path.parent, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path}: {files.why(error)}; name a file elsewhere") from None
    return path


def write(path: Path, data: dict[str, Any], arrays: str) -> int:
    """Write the page in one move, and return its size in bytes. Raises UserError; then what was there is as it was."""
    content = page(data, arrays).encode()
    draft = path.with_name(f"{path.name}.{os.getpid()}{files.NEW}")
    try:
        files.create(draft, content)
        os.replace(draft, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; --out FILE names another place") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)
    return len(content)
