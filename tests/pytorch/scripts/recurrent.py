"""Characters by recurrence, in an older dialect: an LSTM cell spelled out, nn.LSTM beside it, a GRU, batch norm."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable
from torch.nn.utils import clip_grad_norm_

TEXT = "the sea, the sea; the shore and the sea again, and the stones of the shore under the sea. " * 3
letters = sorted(set(TEXT))
ids = torch.LongTensor([letters.index(c) for c in TEXT])
V, B, T, H = len(letters), 6, 10, 12


def columns(data, batch):
    """(T, B): the text cut in `batch` pieces, side by side."""
    length = data.size(0) // batch
    return data.narrow(0, 0, length * batch).view(batch, -1).t().contiguous()


def set_weights(module, scale=0.4):
    for i, p in enumerate(module.parameters()):
        wave = torch.arange(p.numel(), dtype=torch.float32) * 0.61 + i
        p.data.copy_(wave.sin().view(p.size()) * scale)


class Cell(nn.Module):
    """One step of an LSTM, gate by gate."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.gates = nn.ModuleDict({k: nn.Linear(inputs + hidden, hidden) for k in ("keep", "add", "show", "new")})

    def forward(self, x, state):
        h, c = state
        xh = torch.cat([x, h], 1)
        keep, add, show = (torch.sigmoid(self.gates[k](xh)) for k in ("keep", "add", "show"))
        c = keep * c + add * torch.tanh(self.gates["new"](xh))
        return show * torch.tanh(c), c


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.cell, self.norm = nn.Embedding(V, H), Cell(H, H), nn.BatchNorm1d(H, eps=0.1)
        self.out = nn.Linear(H, V)

    def forward(self, x, state):
        logits = []
        for step in self.table(x):
            state = self.cell(step, state)
            logits.append(self.out(self.norm(state[0])))
        return F.log_softmax(torch.stack(logits), dim=-1), state

    def start(self):
        zero = Variable(torch.FloatTensor(B, H).zero_())
        return zero, zero.clone()


class Ready(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.table, self.rnn, self.out = nn.Embedding(V, H), getattr(nn, kind)(H, H, num_layers=2), nn.Linear(H, V)
        self.out.weight = self.table.weight

    def forward(self, x, state):
        y, state = self.rnn(self.table(x), state)
        return F.log_softmax(self.out(y), dim=-1), state

    def start(self):
        h = next(self.parameters()).new_zeros(2, B, H)
        return (h, h.clone()) if isinstance(self.rnn, nn.LSTM) else h


def cut(state):
    """The values of a state, without what made them."""
    return state.detach() if isinstance(state, torch.Tensor) else tuple(cut(s) for s in state)


source, criterion = columns(ids, B), nn.NLLLoss()
for model in (ByHand(), Ready("LSTM"), Ready("GRU"), Ready("RNN")):
    set_weights(model)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01, eps=1e-2)  # small gradients stay small steps
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=6, gamma=0.7)
    state = model.start()
    for step in range(12):
        at = step * T % (source.size(0) - T - 1)
        x, y = source[at : at + T], source[at + 1 : at + 1 + T]
        state = cut(state)
        model.zero_grad()
        scores, state = model(x, state)
        loss = criterion(scores.view(-1, V), y.reshape(-1))
        loss.backward()
        if step == 0:
            print(*[p.grad.norm().item() for p in model.parameters()], sep="\n")
        norm = clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        print(loss.item(), norm.item(), sep="\n")
    model.eval()
    with torch.no_grad():
        scores, _ = model(source[:T], model.start())
    print(scores.data.max(2)[0].sum().item(), optimizer.param_groups[0]["lr"], sep="\n")
