"""A GPT in tensors, model and training in one file: it reads English words letter by letter, and invents new ones.

    python examples/microgpt.py [STEPS]

The transformer is the usual one (attention, then a layer that works on each position alone, each added to what comes in),
written with plain tensors: the weights are a dict, the model is a function. There are no biases, and RMS norm stands for
layer norm. Letters: B words in a batch, T letters, C numbers for a letter, H heads of D = C / H numbers, V different letters.
"""

import os
import re
import sys
from pydoc_data.topics import topics  # English that every Python has: its own documentation

os.environ.setdefault("OMP_NUM_THREADS", "1")  # NumPy multiplies matrices as small as these faster on one core

import tinytensor as torch
from tinytensor.nn import functional as F

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 600
B, T, C, H, LAYERS = 32, 12, 64, 4, 2
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # a point begins and ends each word
V = len(LETTERS)


# ------------------------------------------------------------------------------------------------ data

words = sorted({*re.findall(r"\b[a-z]{3,11}\b", " ".join(topics.values()))})
torch.manual_seed(0)
x, y = torch.zeros(len(words), T, dtype=torch.int64), torch.full((len(words), T), -100)  # cross_entropy skips -100
for n, word in enumerate(words):
    ids = torch.tensor([LETTERS.index(letter) for letter in f".{word}."])
    x[n, : len(word) + 1] = ids[:-1]  # .word
    y[n, : len(word) + 1] = ids[1:]  # word.
shuffled = torch.randperm(len(words))
train, held_back = shuffled[: -len(words) // 10], shuffled[-len(words) // 10 :]


# ----------------------------------------------------------------------------------------------- model


def matrix(*shape: int, scale: float = 1.0) -> torch.Tensor:
    """Random weights (out, in) that keep the size of what they multiply."""
    return (scale * shape[-1] ** -0.5 * torch.randn(*shape)).requires_grad_()


weights = {"letter": matrix(V, C), "position": matrix(T, C)}
for n in range(LAYERS):
    weights |= {f"{n}.qkv": matrix(3 * C, C), f"{n}.mix": matrix(C, C, scale=0.1)}
    weights |= {f"{n}.up": matrix(4 * C, C), f"{n}.down": matrix(C, 4 * C, scale=0.1)}
past = torch.ones(T, T).tril() == 1  # (T, T): the letter in row t sees those up to t


def norm(x: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def attention(x: torch.Tensor, n: int) -> torch.Tensor:
    """Each position asks (q) those before it, which offer (k) what they have to say (v)."""
    b, t, _ = x.shape
    qkv = F.linear(norm(x), weights[f"{n}.qkv"])  # (b, t, 3C)
    q, k, v = (part.view(b, t, H, C // H).transpose(1, 2) for part in qkv.split(C, 2))  # each (b, H, t, D)
    scores = q @ k.transpose(2, 3) * (C // H) ** -0.5  # (b, H, t, t)
    shares = scores.masked_fill(~past[:t, :t], -torch.inf).softmax(-1)  # each row adds up to 1
    heard = (shares @ v).transpose(1, 2).reshape(b, t, C)  # (b, H, t, D) → (b, t, C)
    return F.linear(heard, weights[f"{n}.mix"])


def think(x: torch.Tensor, n: int) -> torch.Tensor:
    """Each position works on what it heard: wider, without what is negative, narrow again."""
    return F.linear(F.linear(norm(x), weights[f"{n}.up"]).relu().square(), weights[f"{n}.down"])


def gpt(ids: torch.Tensor) -> torch.Tensor:
    """Letters (b, t) → logits of the letter after each (b, t, V)."""
    x = weights["letter"][ids] + weights["position"][: ids.shape[1]]  # (b, t, C)
    for n in range(LAYERS):
        x = x + attention(x, n)
        x = x + think(x, n)
    return F.linear(norm(x), weights["letter"])  # the same table reads and writes


def loss_of(rows: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(gpt(x[rows]).flatten(0, 1), y[rows].flatten())


# -------------------------------------------------------------------------------------------- training

print(f"{len(words):,} words, {sum(w.numel() for w in weights.values()):,} weights")
optimizer = torch.optim.AdamW(weights.values(), lr=3e-3, weight_decay=0.1)
for step in range(STEPS):
    optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / STEPS)
    loss = loss_of(train[torch.randint(0, len(train), (B,))])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % max(1, STEPS // 5) == 0 or step == STEPS - 1:
        with torch.no_grad():
            print(f"step {step:4}  loss {loss.item():.3f}  of words that it never saw {loss_of(held_back).item():.3f}")


# ---------------------------------------------------------------------------------------- new words

ids = torch.zeros(24, 1, dtype=torch.int64)  # 24 words at once, each begins with a point
with torch.no_grad():
    while ids.shape[1] < T:
        p = gpt(ids)[:, -1].softmax(-1)  # (24, V)
        ids = torch.cat([ids, torch.multinomial(p, 1)], 1)
invented = ["".join(LETTERS[i] for i in row).strip(".").split(".")[0] for row in ids.tolist()]
print("invented:", *(word for word in invented if word not in words))
