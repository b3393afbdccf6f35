"""Where tinytensor differs from PyTorch on purpose, or cannot agree: every exception of this tier, each with its reason.

A row holds for the entries that it names, for one kind of difference, and for details that have its text. A row that
an entry no longer needs fails, so that the list cannot rot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from report import Group, Tally


@dataclass(frozen=True)
class Row:
    """reason: why. kind: the kind of difference. detail: a part of what differs. names: the entries, by spaces.

    dtypes and forms, by commas: the exception holds in these alone.
    """

    reason: str
    kind: str
    detail: str
    names: str
    dtypes: str = ""
    forms: str = ""

    def covers(self, group: Group) -> bool:
        return (
            group.kind == self.kind
            and group.name in self.names.split()
            and self.detail in group.detail
            and (not self.dtypes or group.dtypes <= set(self.dtypes.split(", ")))
            and (not self.forms or group.forms <= set(self.forms.split(", ")))
        )


ROWS = [
    Row("which of equal values comes first is PyTorch's own business", "value", "other whole numbers", "topk sort argsort"),
    Row(
        "without an element to draw, PyTorch does not look at the dtype",
        "refuses", "not implemented for", "bernoulli rand_like randn_like",
    ),
    Row(
        "at nan PyTorch's loop over vectors gives nan, and its loop over the elements that are left gives 1, as here",
        "gradient", "nan where PyTorch has none", "nn.functional.elu",
    ),
    Row(
        "the subset has no channels_last, an order of memory that PyTorch's cat keeps",
        "contiguous", "True, PyTorch False", "cat",
    ),
    Row(
        "PyTorch's backward fails where the bounds broadcast beyond the input; the gradients here are those of the formula",
        "accepts", "output with shape [#…] doesn't match the broadcast shape [#…]", "clamp", forms="function, clip",
    ),
]  # fmt: skip


def excuse(tally: Tally, rows: list[Row] | None = None) -> Iterator[str]:
    """Move the mismatches that a row covers from wrong to excepted; yields what a row names in vain."""
    rows = ROWS if rows is None else rows
    used = set()
    for key, group in list(tally.wrong.items()):
        for row in rows:
            if row.covers(group):
                used.add((row, group.name))
                tally.excepted += group.count
                del tally.wrong[key]
                break
    for row in rows:
        for name in row.names.split():
            if name in tally.names and (row, name) not in used:
                yield f"{name}: no longer differs, so the exception can go: {row.kind}: {row.detail} ({row.reason})"
