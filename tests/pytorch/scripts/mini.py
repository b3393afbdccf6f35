"""A GPT in the style of a small library: a Sequential of blocks, GELU written out, a schedule, clipped gradients."""

import math

import torch
import torch.nn as nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset


class NewGELU(nn.Module):
    def forward(self, x):
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class Attention(nn.Module):
    def __init__(self, width, heads, longest, p):
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attn_drop, self.resid_drop = nn.Dropout(p), nn.Dropout(p)
        self.proj = nn.Linear(width, width)
        self.register_buffer("mask", torch.tril(torch.ones(longest, longest)).view(1, 1, longest, longest))
        self.heads = heads

    def forward(self, x, layer_past=None):
        B, T, C = x.size()
        k, q, v = (
            f(x).view(B, T, self.heads, C // self.heads).transpose(1, 2) for f in (self.key, self.query, self.value)
        )
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
        y = self.attn_drop(F.softmax(att, dim=-1)) @ v
        return self.resid_drop(self.proj(y.transpose(1, 2).contiguous().view(B, T, C)))


class Block(nn.Module):
    def __init__(self, width, heads, longest, p):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, longest, p)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), NewGELU(), nn.Linear(4 * width, width), nn.Dropout(p))

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, vocabulary, longest, width=16, heads=4, layers=2, p=0.0):
        super().__init__()
        self.tok_emb = nn.Embedding(vocabulary, width)
        self.pos_emb = nn.Parameter(torch.zeros(1, longest, width))
        self.drop = nn.Dropout(p)
        self.blocks = nn.Sequential(*[Block(width, heads, longest, p) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.data.normal_(mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.data.zero_()
        elif isinstance(module, nn.LayerNorm):
            module.bias.data.zero_()
            module.weight.data.fill_(1.0)

    def configure_optimizers(self, rate, decay):
        yes, no = set(), set()
        for mn, m in self.named_modules():
            for pn, _ in m.named_parameters(recurse=False):
                fpn = f"{mn}.{pn}" if mn else pn
                if pn.endswith("weight") and isinstance(m, nn.Linear):
                    yes.add(fpn)
                else:
                    no.add(fpn)
        params = dict(self.named_parameters())
        assert not yes & no and yes | no == params.keys()
        print(len(yes), len(no), sep="\n")
        groups = [
            {"params": [params[pn] for pn in sorted(yes)], "weight_decay": decay},
            {"params": [params[pn] for pn in sorted(no)], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))

    def forward(self, idx, targets=None):
        t = idx.size(1)
        x = self.drop(self.tok_emb(idx) + self.pos_emb[:, :t, :])
        logits = self.head(self.ln_f(self.blocks(x)))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        return logits, loss


# sorting three-letter strings: the loss counts only where the answer begins
length, vocabulary = 4, 5
problems = torch.stack([(torch.arange(length) * k + k // 3) % vocabulary for k in range(1, 25)])
answers = torch.sort(problems, dim=1)[0]
whole = torch.cat((problems, answers), dim=1)
x, y = whole[:, :-1].clone(), whole[:, 1:].clone()
y[:, : length - 1] = -1

model = GPT(vocabulary, 2 * length - 1)
std = torch.cat([p.detach().reshape(-1) for n, p in model.named_parameters() if n.endswith("key.weight")]).std().item()
print(float(0.015 < std < 0.025))  # the random initial weights have the right size; those that follow are by formula
with torch.no_grad():
    for i, p in enumerate(model.parameters()):
        p.copy_(
            0.2 * torch.linspace(i, i + 30, p.numel()).sin().view(p.shape) + (1.0 if p.dim() == 1 and i % 2 else 0.0)
        )

optimizer = model.configure_optimizers(4e-3, 0.1)
scheduler = LambdaLR(optimizer, lambda n: min((n + 1) / 5, 1.0) * (0.5 * (1.0 + math.cos(math.pi * n / 40))))
step = 0
for _ in range(10):
    model.train()
    for xb, yb in DataLoader(TensorDataset(x, y), batch_size=8, shuffle=False, drop_last=True):
        logits, loss = model(xb, yb)
        model.zero_grad()
        loss.backward()
        if step == 0:
            print(*[p.grad.norm().item() for p in model.parameters()], sep="\n")
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        step += 1
    print(f"{loss.item():.6f}\n{float(norm):.6f}\n{scheduler.get_last_lr()[0]:.8f}")
print(step)

model.eval()
with torch.no_grad():
    logits, loss = model(x, y)
    _, guess = torch.topk(logits[:, length - 1 :, :], k=1, dim=-1)
    print(loss.item())
    print((guess.squeeze(-1) == answers).float().mean().item())
