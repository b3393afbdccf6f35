"""Copying saved values into a module, after a check for missing and unexpected keys and for shapes that differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tinytensor.modes import no_grad
from tinytensor.tensor import Tensor


class IncompatibleKeys(NamedTuple):
    """The keys that `load_state_dict` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


def load_state_dict(
    own: Mapping[str, Tensor], state_dict: Mapping[str, Any], strict: bool, owner: str
) -> IncompatibleKeys:
    """Copy values into the Tensors of the same name in `own`.

    RuntimeError names every key whose shape differs and, if strict, every missing or unexpected key. The check comes
    before the first copy, so a failed load does not change the model.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    keys = IncompatibleKeys(
        missing_keys=[name for name in own if name not in state_dict],
        unexpected_keys=[name for name in state_dict if name not in own],
    )
    common = {name: value for name, value in state_dict.items() if name in own}
    errors = []
    for kind, names in zip(("Missing", "Unexpected"), keys, strict=True):
        if strict and names:
            quoted = ", ".join(f'"{name}"' for name in names)
            errors.append(f"{kind} key(s) in state_dict: {quoted}. ")
    errors += [e for name, value in common.items() if (e := _misfit(name, value, own[name]))]
    if errors:
        raise RuntimeError("\n\t".join([f"Error(s) in loading state_dict for {owner}:", *errors]))
    with no_grad():
        for name, value in common.items():
            own[name].copy_(value)
    return keys


def _misfit(name: str, value: Any, own: Tensor) -> str:
    """The reason why a value cannot be copied into a parameter, "" if it can."""
    if not isinstance(value, Tensor):
        return f'While copying the parameter named "{name}", expected Tensor from checkpoint but received {type(value)}'
    if value.shape != own.shape:
        return (
            f"size mismatch for {name}: copying a param with shape {value.shape} from checkpoint,"
            f" the shape in current model is {own.shape}."
        )
    return ""
