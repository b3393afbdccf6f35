"""Names, letter by letter: by counting, by a network whose backward pass and batch norm are spelled out, then by modules.

The second half has a dataset and a loader, an MLP over rolled indices, a recurrent cell and a bag of words.
"""

from itertools import pairwise

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import Dataset
from torch.utils.data.dataloader import DataLoader

words = [
    "emma",
    "olivia",
    "ava",
    "isabella",
    "sophia",
    "charlotte",
    "mia",
    "amelia",
    "harper",
    "evelyn",
    "abigail",
    "emily",
]
chars = [".", *sorted(set("".join(words)))]
stoi = {s: i for i, s in enumerate(chars)}
V = len(chars)

# ---- counts
N = torch.zeros((V, V), dtype=torch.int32)
for w in words:
    chs = [".", *w, "."]
    for ch1, ch2 in pairwise(chs):
        N[stoi[ch1], stoi[ch2]] += 1
P = (N + 1).float()
P /= P.sum(1, keepdims=True)
print(N.sum().item(), P[0].sum().item(), sep="\n")
xs, ys = [], []
for w in words:
    ids = [0] + [stoi[c] for c in w] + [0]
    xs += ids[:-1]
    ys += ids[1:]
xs, ys = torch.tensor(xs), torch.tensor(ys)
print(-P[xs, ys].log().mean().item())
g = torch.Generator().manual_seed(2147483647)
ix = 0
for _ in range(20):
    ix = torch.multinomial(P[ix], num_samples=1, replacement=True, generator=g).item()
print(float(0 <= ix < V))

# ---- one layer, by hand
W = torch.randn((V, V), generator=g, requires_grad=True)
W.data = torch.sin(torch.arange(V * V).float()).view(V, V)
for _ in range(5):
    xenc = F.one_hot(xs, num_classes=V).float()
    logits = xenc @ W
    counts = logits.exp()
    probs = counts / counts.sum(1, keepdims=True)
    loss = -probs[torch.arange(len(xs)), ys].log().mean() + 0.01 * (W**2).mean()
    print(loss.item())
    W.grad = None
    loss.backward()
    print(W.grad.norm().item())
    W.data += -10 * W.grad

# ---- two layers with batch norm, by hand
block_size = 3
X, Y = [], []
for w in words:
    window = [0] * block_size
    for ch in w + ".":
        X.append(window)
        Y.append(stoi[ch])
        window = [*window[1:], stoi[ch]]
X, Y = torch.tensor(X), torch.tensor(Y)


def spread(*shape, phase):
    n = 1
    for s in shape:
        n *= s
    return torch.linspace(0, 40, n).add(phase).sin().view(shape)


C = spread(V, 4, phase=0.0)
W1 = spread(12, 16, phase=1.0) * (5 / 3) / (12**0.5)
W2 = spread(16, V, phase=2.0) * 0.1
b2 = torch.zeros(V)
bngain, bnbias = torch.ones((1, 16)), torch.zeros((1, 16))
mean_running, std_running = torch.zeros((1, 16)), torch.ones((1, 16))
parameters = [C, W1, W2, b2, bngain, bnbias]
for p in parameters:
    p.requires_grad = True
for i in range(10):
    ix = (torch.arange(24) * 5 + i) % X.shape[0]
    Xb, Yb = X[ix], Y[ix]
    emb = C[Xb]
    hpreact = emb.view(emb.shape[0], -1) @ W1
    bnmeani, bnstdi = hpreact.mean(0, keepdim=True), hpreact.std(0, keepdim=True)
    hpreact = bngain * (hpreact - bnmeani) / bnstdi + bnbias
    with torch.no_grad():
        mean_running = 0.9 * mean_running + 0.1 * bnmeani
        std_running = 0.9 * std_running + 0.1 * bnstdi
    h = torch.tanh(hpreact)
    logits = h @ W2 + b2
    loss = F.cross_entropy(logits, Yb)
    for p in parameters:
        p.grad = None
    loss.backward()
    if i == 0:
        print(*[p.grad.norm().item() for p in parameters], sep="\n")
    lr = 0.1 if i < 5 else 0.01
    for p in parameters:
        p.data += -lr * p.grad
    print(loss.item())
print(mean_running.abs().sum().item(), std_running.mean().item(), sep="\n")

# the backward pass of cross entropy and batch norm, against autograd
h = (emb.detach().view(24, -1) @ W1.detach()).requires_grad_()
mean, var = h.mean(0, keepdim=True), h.var(0, keepdim=True, unbiased=True)
raw = (h - mean) * (var + 1e-5) ** -0.5
logits = raw @ W2.detach()
logits.retain_grad()
F.cross_entropy(logits, Yb).backward()
dlogits = F.softmax(logits, 1)
dlogits = dlogits.detach()
dlogits[range(24), Yb] -= 1
dlogits /= 24
print(float((dlogits - logits.grad).abs().max().item() < 1e-7))
draw = dlogits @ W2.detach().T
inv = ((var + 1e-5) ** -0.5).detach()
dh = inv / 24 * (24 * draw - draw.sum(0) - 24 / 23 * raw.detach() * (draw * raw.detach()).sum(0))
print(float(torch.allclose(dh, h.grad, atol=1e-6)))
print(h.grad.abs().sum().item())


# ---- a dataset, a loader, three models
class CharDataset(Dataset):
    def __init__(self, words, longest):
        self.words, self.longest = words, longest

    def __len__(self):
        return len(self.words)

    def __getitem__(self, idx):
        ix = torch.tensor([stoi[c] for c in self.words[idx]], dtype=torch.long)
        x = torch.zeros(self.longest + 1, dtype=torch.long)
        y = torch.zeros(self.longest + 1, dtype=torch.long)
        x[1 : 1 + len(ix)] = ix
        y[: len(ix)] = ix
        y[len(ix) + 1 :] = -1
        return x, y


longest, width = max(len(w) for w in words), 12
dataset = CharDataset(words, longest)
sampler = torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=int(1e10))
batch = [t.to("cpu") for t in next(iter(DataLoader(dataset, sampler=sampler, batch_size=5, num_workers=0)))]
print(batch[0].shape[0], batch[1].shape[1], sep="\n")


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(V + 1, width)
        self.mlp = nn.Sequential(nn.Linear(3 * width, 24), nn.Tanh(), nn.Linear(24, V))

    def forward(self, idx):
        embs = []
        for _ in range(3):
            embs.append(self.wte(idx))
            idx = torch.roll(idx, 1, 1)
            idx[:, 0] = V
        return self.mlp(torch.cat(embs, -1))


class RNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, width))
        self.wte = nn.Embedding(V, width)
        self.xh_to_h = nn.Linear(2 * width, width)
        self.lm_head = nn.Linear(width, V)

    def forward(self, idx):
        b, t = idx.size()
        emb = self.wte(idx)
        hprev = self.start.expand((b, -1))
        hiddens = []
        for i in range(t):
            hprev = F.tanh(self.xh_to_h(torch.cat([emb[:, i, :], hprev], dim=1)))
            hiddens.append(hprev)
        return self.lm_head(torch.stack(hiddens, 1))


class BoW(nn.Module):
    def __init__(self):
        super().__init__()
        T = longest + 1
        self.wte, self.wpe = nn.Embedding(V, width), nn.Embedding(T, width)
        self.register_buffer("bias", torch.tril(torch.ones(T, T)).view(1, T, T))
        self.lm_head = nn.Linear(width, V)

    def forward(self, idx):
        B, T = idx.size()
        x = self.wte(idx) + self.wpe(torch.arange(0, T, dtype=torch.long).unsqueeze(0))
        att = torch.zeros((B, T, T)).masked_fill(self.bias[:, :T, :T] == 0, float("-inf"))
        return self.lm_head(x + F.softmax(att, dim=-1) @ x)


def loss_of(model, x, y):
    logits = model(x)
    return F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1), ignore_index=-1)


@torch.inference_mode()
def evaluate(model):
    model.eval()
    losses = [loss_of(model, x, y).item() for x, y in DataLoader(dataset, shuffle=True, batch_size=4)]
    model.train()
    return torch.tensor(losses).mean().item() if len(losses) else 0.0


for kind in (MLP, RNN, BoW):
    model = kind()
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(spread(*p.shape, phase=float(i)) * 0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01, betas=(0.9, 0.99), eps=1e-8)
    for epoch in range(5):
        for x, y in DataLoader(dataset, shuffle=False, batch_size=6):
            loss = loss_of(model, x, y)
            model.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            print(f"{loss.item():.6f}")
        if epoch == 0:
            print(*[p.grad.norm().item() for p in model.parameters()], sep="\n")
    print(float(evaluate(model) < 3))
