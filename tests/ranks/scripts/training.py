"""Models that DistributedDataParallel trains, each rank on its own batches: saves losses, gradients and weights."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from typing import Any

import numpy as np
from started import join, save

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

rank, size = join()
dtype = getattr(torch, sys.argv[2])
results: dict[str, Any] = {}


class MLP(nn.Module):
    """Layers with a batch norm, whose buffers rank 0 hands on."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Linear(16, 1)
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, x: Any) -> Any:
        return self.down(F.gelu(self.norm(self.up(x)))) * self.scale + self.frozen.sum()


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width), heads

    def forward(self, x: Any) -> Any:
        B, T, C = x.shape
        q, k, v = [y.view(B, T, self.heads, C // self.heads).transpose(1, 2) for y in self.qkv(x).split(C, 2)]
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(C // self.heads)
        scores = scores.masked_fill(torch.ones(T, T).tril() == 0, -math.inf)
        return self.out((F.softmax(scores, -1) @ v).transpose(1, 2).reshape(B, T, C))


class GPT(nn.Module):
    """One block; the last layer has the weights of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 12), nn.Embedding(8, 12)
        self.attention, self.first, self.second = Attention(12, 3), nn.LayerNorm(12), nn.LayerNorm(12)
        self.mlp = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        self.head = nn.Linear(12, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Any, targets: Any) -> Any:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        x = x + self.attention(self.first(x))
        x = x + self.mlp(self.second(x))
        return F.cross_entropy(self.head(x).flatten(0, 1), targets.flatten())


class Branches(nn.Module):
    """Rank 0 takes one branch, all others the other; nobody takes the third."""

    def __init__(self) -> None:
        super().__init__()
        self.common, self.left, self.right, self.never = (nn.Linear(4, 4) for _ in range(4))

    def forward(self, x: Any, left: bool = rank == 0) -> Any:
        return (self.left if left else self.right)(self.common(x)).square().mean()


def started(model: nn.Module) -> nn.Module:
    """The model with weights that differ from rank to rank."""
    model = model.to(dtype)
    with torch.no_grad():
        for i, p in enumerate([*model.parameters(), *model.buffers()]):
            p.copy_(torch.tensor(np.abs(np.random.RandomState(10 * rank + i).randn(*p.shape)) * 0.3))
    return model


def drawn(seed: int, *shape: int) -> Any:
    return torch.tensor(np.random.RandomState(100 * seed + rank).randn(*shape)).to(dtype)


def note(name: str, model: nn.Module, losses: list[Any]) -> None:
    results[f"{name} losses"] = torch.stack(losses)
    for key, value in model.state_dict().items():
        results[f"{name} {key}"] = value.clone()
    for key, p in model.named_parameters():
        results[f"{name} gradient {key}"] = "none" if p.grad is None else p.grad.clone()


# ------------------------------------------------------------------------------------------ an MLP, in many buckets

model = DDP(started(MLP()), bucket_cap_mb=1e-4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
losses = []
for step in range(20):
    loss = (model(drawn(step, 6, 5)) - drawn(50 + step, 6, 1)).square().mean()
    optimizer.zero_grad(set_to_none=step % 2 == 0)
    loss.backward()
    optimizer.step()
    losses.append(loss.detach())
note("mlp", model, losses)
model.eval()
with torch.no_grad():
    results["mlp evaluated"] = model(drawn(99, 6, 5))

# ------------------------------------------------------------------------------------------ a GPT, gradients of 3 batches

model = DDP(started(GPT()))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
losses = []
for step in range(20):
    for batch in range(3):
        with model.no_sync() if batch < 2 else nullcontext():
            rows = np.random.RandomState(7 * step + 100 * batch + 10_000 * rank).randint(0, 11, (2, 9))
            loss = model(torch.tensor(rows[:, :-1]), targets=torch.tensor(rows[:, 1:]))
            (loss / 3).backward()
            losses.append(loss.detach())
        if step == 0:
            results[f"one rank's gradient after {batch}"] = model.module.mlp[0].weight.grad.clone()
    optimizer.step()
    optimizer.zero_grad()
note("gpt", model, losses)

# ------------------------------------------------------------------------------------------ parameters without a gradient

for kept in (False, True):
    model = DDP(started(Branches()), find_unused_parameters=True, broadcast_buffers=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for step in range(5):
        if step and not kept:
            optimizer.zero_grad()
        with model.no_sync() if step == 2 else nullcontext():
            loss = model(drawn(step, 3, 4))
            loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    note(f"branches {kept}", model, losses)

model = DDP(started(Branches()), find_unused_parameters=True)
with model.no_sync():
    model(drawn(1, 3, 4), left=rank == 1).backward()
model(drawn(2, 3, 4), left=False).backward()
note("a branch of no_sync", model, [torch.zeros(())])
model.zero_grad()
model(drawn(3, 3, 4), left=False).backward()
note("no branch of no_sync", model, [torch.zeros(())])

# ------------------------------------------------------------------------------------------ other ways to go backward

model = DDP(started(MLP()))
for name in ("two forwards", "again"):
    (model(drawn(1, 4, 5)).sum() + 2 * model(drawn(2, 4, 5)).sum()).backward()
    results[name] = model.module.up.weight.grad.clone()
model = DDP(started(MLP()))
model(drawn(1, 4, 5)).sum().backward()
model.module(drawn(3, 4, 5)).sum().backward()
results["not through the wrapper"] = model.module.up.weight.grad.clone()
with model.no_sync():
    loss = model(drawn(4, 4, 5)).sum()
loss.backward()
results["a forward under no_sync"] = model.module.up.weight.grad.clone()
other = DDP(started(MLP()), init_sync=False)
results["not handed on"] = other.module.up.weight.detach().clone()
other.load_state_dict(model.state_dict())
results["loaded"] = other.module.up.weight.detach().clone()
results["keys"] = repr(list(model.state_dict()))

# ------------------------------------------------------------------------------------------ batches of a sampler

dataset = TensorDataset(torch.arange(23).to(dtype))
for shuffle in (False, True):
    for drop_last in (False, True):
        sampler = DistributedSampler(dataset, shuffle=shuffle, drop_last=drop_last, seed=5)
        for epoch in (0, 3):
            sampler.set_epoch(epoch)
            batches = [x for (x,) in DataLoader(dataset, batch_size=4, sampler=sampler)]
            results[f"sampler {shuffle} {drop_last} {epoch}"] = torch.cat(batches)

save(results)
