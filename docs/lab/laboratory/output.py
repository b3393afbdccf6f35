"""What code prints, as the page can show it: the beginning and the end of a long output."""

from __future__ import annotations

import io

HALF = 20_000  # characters that are kept of the beginning, and of the end


class Output(io.TextIOBase):
    """A file to print to. However much is printed, it keeps little: a loop that prints without end may be stopped."""

    def __init__(self) -> None:
        self.first, self.rest = "", [""]
        self.length = 0  # of the rest
        self.dropped = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        room = HALF - len(self.first)
        if room > 0:
            self.first += text[:room]
        self.rest.append(text[max(0, room) :])
        self.length += len(self.rest[-1])
        if len(self.rest) > HALF or self.length > 4 * HALF:
            self._drop()
        return len(text)

    def _drop(self) -> None:
        """Keep the end of the rest alone."""
        rest = "".join(self.rest)
        self.rest = [rest[-HALF:]]
        self.dropped += len(rest) - len(self.rest[0])
        self.length = len(self.rest[0])

    @property
    def text(self) -> str:
        """What was printed; in place of the middle of much, how long it is."""
        if self.length > HALF:
            self._drop()
        between = f"\n… {self.dropped:,} characters are not shown …\n" if self.dropped else ""
        return self.first + between + "".join(self.rest)


def shortened(text: str) -> str:
    """The text, without the middle of a long one."""
    output = Output()
    output.write(text)
    return output.text
