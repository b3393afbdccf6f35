"""The folder of a reader's files: which exercises are started there, and which were found right as they now are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from gpt.cli import word
from gpt.errors import UserError
from gpt.learn import exercises
from gpt.learn.exercise import Exercise

SOLVED = ".solved.json"  # the SHA-256 sum of each text that a check found right


class Folder:
    """The files NAME.py of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, name: str) -> Path:
        """Where the file of an exercise is."""
        return self.path / f"{name}.py"

    def flag(self) -> str:
        """The flag that names this folder on a command line, if it needs one."""
        return "" if self.path == Path("exercises") else f" --folder {word(self.path)}"

    def started(self) -> list[str]:
        """The exercises whose file is there."""
        return [each.name for each in exercises() if self.file(each.name).is_file()]

    def status(self, name: str) -> str:
        """ "not started", "started", "solved", or "changed" if the file was right once and is another one now."""
        if not self.file(name).is_file():
            return "not started"
        try:
            text = self.file(name).read_bytes()
        except OSError:
            return "started"
        known = self._sums().get(name)
        if known is None:
            return "started"
        return "solved" if known == digest(text) else "changed"

    def start(self, exercise: Exercise, again: bool) -> Path | None:
        """Write the file of an exercise, and return where the one that was there is now; UserError if it may not move."""
        self.path.mkdir(parents=True, exist_ok=True)
        file, kept = self.file(exercise.name), None
        if again and os.path.lexists(file):
            kept = next(
                free for i in range(1, 10_000) if not os.path.lexists(free := file.with_name(f"{exercise.name}.{i}.py"))
            )
            file.rename(kept)
        try:
            with file.open("x", encoding="utf-8", newline="\n") as stream:
                stream.write(exercise.start_text)
        except FileExistsError:
            raise UserError(f"{word(file)} is there already, and stays as it is; --again keeps it under another name, "
                            "and starts anew") from None  # fmt: skip
        return kept

    def solved(self, name: str, text: str) -> None:
        """Note that this text was right. A folder that cannot be written to is left as it is."""
        sums = {**self._sums(), name: digest(text.encode("utf-8"))}
        part = self.path / f"{SOLVED}.part"
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)  # else a link would be followed
            part.write_text(json.dumps(sums, indent=1, sort_keys=True) + "\n", "utf-8")
            part.replace(self.path / SOLVED)

    def _sums(self) -> dict[str, str]:
        try:
            found = json.loads((self.path / SOLVED).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def digest(text: bytes) -> str:
    """The sum of a file's text, whatever its line ends."""
    plain = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    return hashlib.sha256(plain).hexdigest()
