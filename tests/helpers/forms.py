"""The forms that an operation has in PyTorch, function, method, in place, and those of them that are absent here."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import tinytensor as tt

LOWER = "another function there: the arguments of nn.functional's in another order, and numbers for words"
ABSENT = {
    **dict.fromkeys(["torch.batch_norm", "torch.layer_norm", "torch.rms_norm", "torch.embedding"], LOWER),
    **dict.fromkeys(["torch.kl_div", "torch.binary_cross_entropy_with_logits", "torch.cosine_similarity"], LOWER),
    **dict.fromkeys(["torch.dropout", "torch.dropout_"], LOWER),
}


def homes(t: Any) -> dict[str, Any]:
    """Where the functions of a library are."""
    return {"torch": t, "Tensor": t.Tensor, "F": importlib.import_module(f"{t.__name__}.nn.functional")}


def own_names() -> set[str]:
    """The names of all our functions and methods that PyTorch has somewhere."""
    torch = importlib.import_module("torch")
    names = {n for home in homes(tt).values() for n in dir(home) if n[0] != "_" and callable(getattr(home, n))}
    return {n for n in names if any(callable(getattr(home, n, None)) for home in homes(torch).values())}


def absent(names: set[str]) -> set[str]:
    """The forms of these operations that PyTorch has, and tinytensor has not."""
    ours, theirs = homes(tt), homes(importlib.import_module("torch"))
    found = set()
    for name in names:
        for form in {name, f"{name.rstrip('_')}_"}:
            for home, there in theirs.items():
                value = getattr(there, form, None)
                if callable(value) and not inspect.isclass(value) and form not in dir(ours[home]):
                    found.add(f"{home}.{form}")
    return found
