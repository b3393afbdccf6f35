"""Check: what one rule found, with its number, what is normal, and what to try; and which findings explain others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# A run that is ill in one place looks ill in others. The findings on the right follow from the one on the left.
EXPLAINS = {
    "not-finite": ("spikes", "gradient-size", "learned-nothing", "overfitting", "learning-rate-high", "learning-rate-low"),
    "learning-rate-high": (
        "learned-nothing", "dead-units", "attention-saturated", "no-order", "spikes", "gradient-layers", "gradient-size",
        "overfitting", "no-gradient", "range-test",
    ),
    "learning-rate-low": ("learned-nothing", "attention-uniform", "range-test"),
    "gradient-layers": ("learned-nothing", "attention-uniform", "no-order", "dead-units", "learning-rate-low", "spikes"),
    "no-gradient": ("learned-nothing", "attention-uniform"),
    "targets": ("overfitting", "too-good", "learned-nothing", "attention-uniform"),
    "future": ("too-good",),
    "overlap": ("too-good",),
    "initial-loss": ("attention-saturated", "gradient-size", "dead-units"),
    "dead-units": ("no-gradient",),
    "attention-saturated": ("no-order",),
    "attention-uniform": ("no-order",),
    "learned-nothing": ("attention-uniform", "no-order"),
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """The result of one rule."""

    name: str
    odd: bool
    value: float | None  # the number that was compared; None where there is none
    said: str  # the number in a sentence
    normal: str
    advice: str


def explained(checks: Iterable[Check]) -> dict[str, str]:
    """Return the odd checks that follow from another odd one: their names, and the name of the first cause."""
    odd = [check.name for check in checks if check.odd]
    direct = {name: by for by in reversed(odd) for name in EXPLAINS.get(by, ()) if name in odd}

    def root(name: str) -> str:
        return root(direct[name]) if name in direct else name

    return {name: root(name) for name in direct}


def findings(checks: Iterable[Check]) -> list[Check]:
    """Return the odd checks that follow from no other."""
    checks = list(checks)
    follow = explained(checks)
    return [check for check in checks if check.odd and check.name not in follow]
