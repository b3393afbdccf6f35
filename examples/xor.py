"""XOR: no straight line separates its answers, a hidden layer of eight learns it. python examples/xor.py"""

import tinytensor as torch
from tinytensor import nn

torch.manual_seed(0)
x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

for step in range(301):
    loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
    if step % 100 == 0:
        print(f"step {step:3}  loss {loss.item():.4f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

for (a, b), p in zip(x.tolist(), model(x).sigmoid().flatten().tolist()):
    print(f"{a:.0f} xor {b:.0f} is 1 with probability {p:.2f}")
