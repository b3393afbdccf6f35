"""Sentences to reversed sentences: an encoder and a decoder with padding and causal masks, then greedy decoding."""

import math

import torch
import torch.nn as nn
from torch import Tensor
from torch.utils.data import DataLoader

PAD, BOS, EOS = 0, 1, 2
VOCABULARY, WIDTH, LONGEST = 12, 16, 7
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sentence(i):
    """Between three and six words, by formula."""
    return [3 + (i * i + 5 * j * (i + 1)) % (VOCABULARY - 3) for j in range(3 + i % 4)]


PAIRS = [(words, [BOS, *reversed(words), EOS]) for words in map(sentence, range(48))]


def padded(sentences):
    """(T, B): the shorter ones are filled up."""
    length = max(map(len, sentences))
    return torch.tensor([s + [PAD] * (length - len(s)) for s in sentences]).t()


def collate(batch):
    return padded([src for src, _ in batch]), padded([tgt for _, tgt in batch])


class Positions(nn.Module):
    def __init__(self, width: int, longest: int = 50):
        super().__init__()
        rate = torch.exp(-torch.arange(0, width, 2) * math.log(10000) / width)
        at = torch.arange(longest).reshape(longest, 1)
        table = torch.zeros((longest, width))
        table[:, 0::2] = torch.sin(at * rate)
        table[:, 1::2] = torch.cos(at * rate)
        self.dropout = nn.Dropout(0.0)
        self.register_buffer("table", table.unsqueeze(-2))

    def forward(self, x: Tensor):
        return self.dropout(x + self.table[: x.size(0), :])


class Words(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.embedding, self.width = nn.Embedding(VOCABULARY, width), width
        self.positions = Positions(width)

    def forward(self, ids: Tensor):
        return self.positions(self.embedding(ids.long()) * math.sqrt(self.width))


class Translator(nn.Module):
    def __init__(self, layers: int, heads: int, norm_first: bool):
        super().__init__()
        self.transformer = nn.Transformer(
            d_model=WIDTH, nhead=heads, num_encoder_layers=layers, num_decoder_layers=layers, dim_feedforward=24,
            dropout=0.0, activation="gelu", norm_first=norm_first,
        )  # fmt: skip
        self.generator = nn.Linear(WIDTH, VOCABULARY)
        self.source, self.target = Words(WIDTH), Words(WIDTH)

    def forward(self, src, tgt, src_mask, tgt_mask, src_padding, tgt_padding):
        y = self.transformer(
            self.source(src), self.target(tgt), src_mask, tgt_mask, None, src_padding, tgt_padding, src_padding
        )
        return self.generator(y)

    def encode(self, src: Tensor, src_mask: Tensor):
        return self.transformer.encoder(self.source(src), src_mask)

    def decode(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor):
        return self.transformer.decoder(self.target(tgt), memory, tgt_mask)


def causal(size):
    return (torch.triu(torch.ones((size, size), device=device)) == 1).transpose(0, 1).logical_not()


def set_weights(module):
    """In size as xavier_uniform_ would have them, without its randomness. The weights of the norms stay 1."""
    for i, (name, p) in enumerate(module.named_parameters()):
        wave = torch.sin(torch.arange(p.numel(), dtype=torch.float32) * 0.7 + i).view(p.size())
        if p.dim() > 1:
            p.data.copy_(wave * math.sqrt(3 / p.size(1)))
        elif "bias" in name:
            p.data.copy_(wave * 0.1)


def greedy(model, src, longest=LONGEST):
    memory = model.encode(src, torch.zeros((src.size(0), src.size(0))).type(torch.bool))
    ys = torch.ones(1, 1).fill_(BOS).type(torch.long)
    sure = 0.0
    for _ in range(longest):
        out = model.decode(ys, memory, causal(ys.size(0)).type(torch.bool)).transpose(0, 1)
        best, word = torch.max(model.generator(out[:, -1]).log_softmax(-1), dim=1)
        sure += best.item()
        ys = torch.cat([ys, torch.ones(1, 1).type_as(src.data).fill_(word.item())], dim=0)
        if word.item() == EOS:
            break
    return sure


for norm_first in (False, True):
    model = Translator(2, 4, norm_first).to(device)
    set_weights(model)
    criterion = nn.CrossEntropyLoss(ignore_index=PAD)
    # a large eps, so that small gradients stay small steps
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003, betas=(0.9, 0.98), eps=1e-3)
    model.train()
    for _ in range(3):
        for src, tgt in DataLoader(PAIRS, batch_size=16, collate_fn=collate):
            src, tgt = src.to(device), tgt.to(device)
            tgt_in, tgt_out = tgt[:-1, :], tgt[1:, :]
            src_mask = torch.zeros((src.shape[0], src.shape[0]), device=device).type(torch.bool)
            masks = (src_mask, causal(tgt_in.shape[0]), (src == PAD).transpose(0, 1), (tgt_in == PAD).transpose(0, 1))
            logits = model(src, tgt_in, *masks)
            optimizer.zero_grad()
            loss = criterion(logits.reshape(-1, logits.shape[-1]), tgt_out.reshape(-1))
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            print(loss.item(), norm.item(), sep="\n")
    model.eval()
    with torch.no_grad():
        print(*[greedy(model, torch.tensor(PAIRS[i][0]).view(-1, 1)) for i in range(3)], sep="\n")

# A classifier: is the first word among the others? One encoder, padding alone, the attention of its own weights.
encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 24, 0.0, batch_first=True), num_layers=2)
words, head = Words(WIDTH), nn.Linear(WIDTH, 2)
attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
model = nn.ModuleList([encoder, words, head, attention])
set_weights(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for step in range(12):
    batch = padded([src for src, _ in PAIRS[step % 3 :: 3]]).t()
    y = torch.tensor([int(src[0] in src[1:]) for src, _ in PAIRS[step % 3 :: 3]])
    blank = batch == PAD
    x = encoder(words(batch.t()).transpose(0, 1), src_key_padding_mask=blank)
    x, weights = attention(x[:, :1], x, x, key_padding_mask=blank)
    loss = nn.functional.cross_entropy(head(x.squeeze(1)), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(loss.item(), weights.max().item(), weights[blank.unsqueeze(1)].abs().sum().item(), sep="\n")
