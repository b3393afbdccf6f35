"""A small decoder as they are written today: rotary positions, RMS norms, shared keys, a squared ReLU, capped logits.

Matrices are trained by an optimizer of the script's own, the rest by AdamW after a warm-up; the switches for other machines
are all there, and off.
"""

import math
from contextlib import nullcontext

import torch
import torch.nn as nn
import torch.nn.functional as F

device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
device = "cpu"  # for the same numbers everywhere
torch.backends.cuda.matmul.allow_tf32 = True
torch.set_float32_matmul_precision("high")
context = nullcontext() if device == "cpu" else torch.autocast(device, dtype=torch.bfloat16)
scaler = torch.amp.GradScaler(enabled=False)
V, T, C, HEADS, SHARED = 19, 12, 16, 4, 2
D = C // HEADS


def turn(x, cos, sin):
    """Each pair (x_i, x_{i + D/2}) rotated by its position's angle."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.kv = nn.Linear(C, C, bias=False), nn.Linear(C, 2 * SHARED * D, bias=False)
        self.out = nn.Linear(C, C, bias=False)
        angle = torch.outer(torch.arange(T).float(), 100.0 ** (-torch.arange(0, D, 2).float() / D))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, x):
        b, t, _ = x.shape
        q = self.q(x).view(b, t, HEADS, D).transpose(1, 2)
        k, v = (y.view(b, t, SHARED, D).transpose(1, 2) for y in self.kv(x).chunk(2, dim=-1))
        q, k = (turn(F.rms_norm(y, (D,)), self.cos[:t], self.sin[:t]) for y in (q, k))
        k, v = (y.repeat_interleave(HEADS // SHARED, dim=1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(b, t, C))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.up, self.down = Attention(), nn.Linear(C, 3 * C), nn.Linear(3 * C, C)
        self.norms = nn.ModuleList([nn.RMSNorm(C, eps=1e-6) for _ in range(2)])
        self.gains = nn.ParameterList([torch.ones(1), torch.full((1,), 0.5)])

    def forward(self, x):
        x = x + self.gains[0] * self.attention(self.norms[0](x))
        return x + self.gains[1] * self.down(F.relu(self.up(self.norms[1](x))).square())


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.blocks = nn.Embedding(V, C, padding_idx=0), nn.Sequential(Block(), Block())
        self.head = nn.Linear(C, V, bias=False)

    def forward(self, ids, targets):
        logits = self.head(F.rms_norm(self.blocks(self.table(ids)), (C,)))
        logits = 8 * torch.tanh(logits / 8)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0, label_smoothing=0.05), logits


class Momentum(torch.optim.Optimizer):
    """Steps along an average of the gradients, of length 1 in every matrix."""

    def __init__(self, params, lr, decay=0.9):
        super().__init__(params, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                state["mean"].lerp_(p.grad, 1 - group["decay"])
                p.add_(F.normalize(state["mean"], dim=(0, 1)), alpha=-group["lr"] * math.sqrt(p.size(0) / p.size(1)))


model = Model()
for i, p in enumerate(model.parameters()):
    with torch.no_grad():
        p.mul_(0).add_((torch.arange(p.numel()).view_as(p) * 0.53 + i).cos(), alpha=0.3)
model = torch.compile(model) if device == "cuda" else model
matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
others = [p for n, p in model.named_parameters() if p.ndim != 2 or not n.startswith("blocks")]
optimizers = [Momentum(matrices, lr=0.05), torch.optim.AdamW(others, lr=0.02, betas=(0.8, 0.95), weight_decay=0.01)]
warm = torch.optim.lr_scheduler.LinearLR(optimizers[1], start_factor=0.2, total_iters=5)
cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[1], T_max=15)
schedule = torch.optim.lr_scheduler.SequentialLR(optimizers[1], [warm, cosine], milestones=[5])

row = torch.arange(4 * (T + 1)).view(4, T + 1)
data = (row * row + 3 * row) % (V - 1) + 1
data = F.pad(data, (0, 1))[:, : T + 1].index_fill(1, torch.tensor([T]), 0)
ids, targets = data[:, :-1], data[:, 1:]
for step in range(20):
    with context:
        loss, logits = model(ids, targets)
    scaler.scale(loss).backward()
    if step == 0:
        print(*[p.grad.norm().item() for p in model.parameters()], sep="\n")
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
    scaler.update()
    schedule.step()
    print(loss.item(), norm.item(), schedule.get_last_lr()[0], sep="\n")

# ---- what is left of a distribution: the least likely letters that together have 10 % go
ordered, where = logits[0].detach().sort(descending=True)
late = ordered.softmax(-1).cumsum(-1) > 0.9
late[..., 1:] = late[..., :-1].clone()
late[..., 0] = False
kept = logits[0].detach().masked_fill(late.scatter(-1, where, late), -math.inf)
print((kept > -math.inf).sum().item(), kept.softmax(-1).amax().item(), model.table.weight[0].norm().item(), sep="\n")
counts = torch.bincount(targets.flatten(), minlength=V).float()
print(
    counts.sum().item(),
    torch.nonzero(counts).size(0),
    torch.argsort(counts, descending=True, stable=True)[0].item(),
    sep="\n",
)
