"""A language model of an embedding and a head, as a first guide builds it: characters, batches, AdamW, sampling."""

from pydoc_data.topics import topics

import torch
import torch.nn as nn
import torch.nn.functional as F

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
text = "\n".join(topics[name] for name in sorted(topics)[:4])

# tokenizer
characters = sorted(set(text))
vocabulary = len(characters)
number = {c: i for i, c in enumerate(characters)}


def encode(s):
    return [number[c] for c in s]


def decode(ids):
    return "".join(characters[i] for i in ids)


data = torch.tensor(encode(text), dtype=torch.long)
cut = int(0.9 * len(data))
train_data, val_data = data[:cut], data[cut:]
print(vocabulary)
print(len(train_data), len(val_data), sep="\n")
print(float(decode(encode("import")) == "import"))

# batches
context, batch_size = 16, 8


def starts(source, step):
    """Where the windows begin: by formula, so that every library sees the same ones."""
    return [(step * 7919 + i * 1009) % (len(source) - context) for i in range(batch_size)]


def get_batch(split, step=None):
    source = train_data if split == "train" else val_data
    ix = torch.randint(len(source) - context, (batch_size,)) if step is None else starts(source, step)
    x = torch.stack([source[i : i + context] for i in ix])
    y = torch.stack([source[i + 1 : i + context + 1] for i in ix])
    return x.to(device), y.to(device)


class Bigram(nn.Module):
    def __init__(self, vocabulary, width=24):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids, targets=None):
        logits = self.head(self.embed(ids))
        if targets is None:
            return logits, None
        B, T, C = logits.shape
        return logits, F.cross_entropy(logits.view(B * T, C), targets.view(B * T))


model = Bigram(vocabulary).to(device)
with torch.no_grad():
    for i, p in enumerate(model.parameters()):
        p.copy_(0.3 * torch.sin(1.3 * torch.arange(p.numel(), dtype=torch.float32) + i).view(p.shape))

optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for step in range(30):
    xb, yb = get_batch("train", step)
    logits, loss = model(xb, yb)
    optimizer.zero_grad()
    loss.backward()
    if step == 0:
        print(*[p.grad.norm().item() for p in model.parameters()], sep="\n")
    optimizer.step()
    print(f"{loss.item():.7f}")

model.eval()
print(model(*get_batch("val", 0))[1].item())
print(model(*get_batch("train"))[0].shape[2])  # random windows: only their shape is compared


def generate(ids, count):
    for _ in range(count):
        logits, _ = model(ids[:, -context:])
        probabilities = F.softmax(logits[:, -1, :], dim=-1)
        ids = torch.cat((ids, torch.multinomial(probabilities, num_samples=1)), dim=1)
    return ids


sample = decode(generate(torch.tensor([[number["T"]]], dtype=torch.long).to(device), 40)[0].tolist())
print(len(sample))
print(float(sample[0] == "T" and set(sample) <= set(characters)))
