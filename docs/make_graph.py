"""Write docs/graph.svg: the drawing of a GPT with one layer, before any backward."""

from __future__ import annotations

import sys
from pathlib import Path

FILE = Path(__file__).with_name("graph.svg")
sys.path.insert(0, str(FILE.parents[1]))

import tinytensor  # noqa: E402
from gpt.build import build  # noqa: E402
from gpt.config import TrainConfig  # noqa: E402
from tinytensor.inside.draw import Drawing  # noqa: E402


def picture() -> Drawing:
    """The drawing, which does not depend on random numbers."""
    model = build(TrainConfig(vocab_size=65, layers=1, width=128, heads=4, context=64))
    ids = tinytensor.zeros(2, 64, dtype=tinytensor.int64)
    with tinytensor.trace(model) as t:
        model(ids, ids)
    return tinytensor.draw(t)


if __name__ == "__main__":
    picture().save(FILE)
