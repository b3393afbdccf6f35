"""What the figures share: their size, colours and letters, and tokens as text.

A token is shown as it is: a $ in it begins no formula, a space is ␣, a line end ⏎, and what the font lacks is escaped.
"""

from __future__ import annotations

import functools
import io
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt.run import files
from gpt.run.plots import own_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.2  # inches: a column of print; at DPI 780 pixels, which a telephone shows as 390
DPI = 150
FONT = "DejaVu Sans"  # matplotlib brings it along
BLUE, ORANGE, GREY, LIGHT = (
    "#0072B2",
    "#D55E00",
    "#666666",
    "#DDDDDD",
)  # of Okabe and Ito, "Color universal design", 2008
SHADES = "Blues"  # one hue, light to dark: it survives grey print as well
LONGEST = 10  # characters of a token that are shown
SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


@functools.cache
def glyphs() -> frozenset[int]:
    """Return the code points that the font has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(FONT)).get_charmap())


def shown(token: bytes) -> str:
    r"""Return the token as a figure shows it. Bytes that are no text become \xe4, characters that cannot be seen \u{200b}."""
    try:
        text = "".join(SIGNS.get(c) or (c if visible(c) else f"\\u{{{ord(c):x}}}") for c in token.decode())
    except UnicodeDecodeError:
        text = "".join(f"\\x{byte:02x}" for byte in token)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def visible(character: str) -> bool:
    """Return whether the font has the character, and it stands for itself: no accent alone, no letter of a right-to-left line."""
    marks = unicodedata.category(character)[0] in "MCZ"
    return not marks and unicodedata.bidirectional(character) not in ("R", "AL") and ord(character) in glyphs()


def said(labels: list[str]) -> str:
    """Return the text for a caption, cut where the line ends."""
    text = "".join(labels)
    return f"text: {text if len(text) <= 80 else text[:79] + '…'}"


@contextmanager
def drawing(height: float) -> Iterator[Figure]:
    """A context that makes a Figure of that height in inches, with settings of its own. It changes none of matplotlib's."""
    with own_settings():
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        matplotlib.rcParams.update({"font.family": [FONT], "font.size": 8, "axes.linewidth": 0.6})
        figure = Figure((WIDTH, height), dpi=DPI, layout=ConstrainedLayoutEngine(h_pad=0.06))
        yield figure


def head_line(figure: Figure, title: str, more: str) -> None:
    """Write what is seen over the figure, and how to read it in smaller letters."""
    figure.suptitle(title, fontsize=10, fontweight="bold", x=0.01, ha="left", parse_math=False)
    figure.supxlabel(more, fontsize=7, color=GREY, x=0.01, ha="left", parse_math=False)


def write(ax: Axes, x: float, y: float, text: str, size: float = 8, **how: Any) -> None:
    """Write text as it is: a $ in it begins no formula."""
    where = {"ha": "center", "va": "center", **how}
    ax.text(x, y, text, fontsize=size, parse_math=False, **where)


def frame(ax: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Set the limits, and draw no axes."""
    ax.set_xlim(*x)
    ax.set_ylim(*y)
    ax.set_axis_off()


def plain(ax: Axes) -> None:
    """Leave out the lines above and on the right."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=7, length=2)


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format that the name ends in, in one move."""
    picture = io.BytesIO()
    with own_settings():
        figure.savefig(picture, format=path.suffix[1:], dpi=DPI)
    files.write(path, picture.getvalue())
