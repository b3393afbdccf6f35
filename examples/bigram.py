"""A bigram model of English words: which letter follows which? Gradient descent finds what counting finds.

    python examples/bigram.py [STEPS]

The model is one table W (27, 27). Row i, through a softmax, is the distribution of the letter after letter i. The best
table is known beforehand: the logarithm of the counts.
"""

import os
import re
import sys
from pydoc_data.topics import topics  # English that every Python has: its own documentation

os.environ.setdefault("OMP_NUM_THREADS", "1")  # NumPy multiplies matrices as small as these faster on one core

import tinytensor as torch
from tinytensor.nn import functional as F

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # a point begins and ends each word
V = len(LETTERS)

words = sorted({*re.findall(r"\b[a-z]{3,}\b", " ".join(topics.values()))})
text = "." + ".".join(words) + "."
ids = torch.tensor([LETTERS.index(letter) for letter in text])
x, y = ids[:-1], ids[1:]  # every letter, and the one after it
print(f"{len(words):,} words, {len(x):,} pairs of letters; from {words[0]} to {words[-1]}")

# Counting: the mean of −ln p(y | x), where p is the share of x's successors that are y.
counts = torch.bincount(V * x + y, minlength=V * V).reshape(V, V).float()
p = counts / counts.sum(1, keepdim=True)
by_counting = -p[x, y].log().mean().item()

# Learning: the same loss, of a table that begins with zeros, downhill.
torch.manual_seed(0)
W = torch.zeros(V, V, requires_grad=True)
for step in range(STEPS):
    loss = F.cross_entropy(F.embedding(x, W), y)
    if step % 50 == 0:
        print(f"step {step:3}  loss {loss.item():.4f}")
    W.grad = None
    loss.backward()
    with torch.no_grad():
        W -= 50 * W.grad

print(f"learned   {F.cross_entropy(F.embedding(x, W), y).item():.4f} nats per letter")
print(f"counted   {by_counting:.4f}, the least that a bigram model can reach")
print(f"guessed   {torch.tensor(float(V)).log().item():.4f}, with all letters alike")

p = W.detach().softmax(1)
likely = [f"{LETTERS[i]}{LETTERS[p[i].argmax().item()]}" for i in range(1, V)]
print(f"likeliest {' '.join(likely)}")

invented = []
for _ in range(8):
    word = "."
    while word == "." or word[-1] != ".":  # until the point comes again
        word += LETTERS[torch.multinomial(p[LETTERS.index(word[-1])], 1).item()]
    invented.append(word.strip("."))
print(f"invented  {' '.join(invented)}")
