"""A dataset of the Hugging Face Hub, or a folder like one, read row by row as it comes: hf:NAME."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpt.config import HUB
from gpt.errors import UserError, shown


@dataclass(frozen=True)
class Part:
    """Which part of a dataset: a subset, if it has some, a split, and a revision."""

    subset: str | None = None
    split: str = "train"
    revision: str | None = None


def resolved(given: str, part: Part) -> str | None:
    """Return the revision, a commit, that the dataset has now; None for a folder. A resumed job reads the same one."""
    import os

    name = given.removeprefix(HUB)
    if os.path.isdir(name):
        return part.revision
    library()  # who lacks it hears that first
    try:
        from huggingface_hub import HfApi

        sha: str | None = HfApi().dataset_info(name, revision=part.revision).sha
        return sha
    except Exception as error:  # no network, no such dataset: each library below has errors of its own
        raise unreachable(given, error) from None


def rows(given: str, field: str, part: Part, first: int = 0) -> Iterator[tuple[int, object]]:
    """Yield the field of each row from number `first` on, with the number."""
    datasets = library()
    name = given.removeprefix(HUB)
    try:
        found: Any = datasets.load_dataset(name, part.subset, split=part.split, revision=part.revision, streaming=True)
        for number, row in enumerate(found.skip(first) if first else found, first):
            if field not in row:
                has = shown(", ".join(map(repr, row)))
                raise UserError(f"{given} has no field {field!r}: it has {has}; --field NAME takes another one")
            yield number, row[field]
    except UserError:
        raise
    except Exception as error:
        raise unreachable(given, error) from None


def library() -> Any:
    """Return the package `datasets`."""
    try:
        import datasets
    except ImportError:
        raise UserError("hf:NAME takes the package datasets: pip install 'tinytensor[hf]'") from None
    datasets.disable_progress_bars()
    return datasets


def unreachable(given: str, error: Exception) -> UserError:
    why = " ".join(str(error).split()).rstrip(".")
    return UserError(
        f"{given} cannot be read ({type(error).__name__}: {shown(why)}); give the same command again to go on, or take files"
    )
