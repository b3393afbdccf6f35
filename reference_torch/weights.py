"""Copying weights from one engine into the other, through the `state_dict` that both have."""

from __future__ import annotations

import tinytensor
import torch


def to_torch(ours: tinytensor.nn.Module, theirs: torch.nn.Module) -> None:
    """Copy the weights of a tinytensor model into a PyTorch one. Raises RuntimeError, which names what does not fit."""
    theirs.load_state_dict({name: torch.from_numpy(value.numpy()) for name, value in ours.state_dict().items()})


def to_tinytensor(theirs: torch.nn.Module, ours: tinytensor.nn.Module) -> None:
    """Copy the weights of a PyTorch model into a tinytensor one. Raises RuntimeError, which names what does not fit."""
    ours.load_state_dict({name: tinytensor.from_numpy(value.numpy()) for name, value in theirs.state_dict().items()})
