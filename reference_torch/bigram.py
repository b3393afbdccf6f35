"""The first model: it predicts the next token from the last one alone."""

from __future__ import annotations

from gpt.config import GPTConfig
from reference_torch.model import cross_entropy
from torch import Tensor, nn


class Bigram(nn.Module):
    """An embedding and a linear head: row a of the product of their matrices holds the logits of what follows a."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.head = nn.Linear(config.width, config.vocab_size)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) for the token after each of ids (B, T); and the loss, given targets (B, T)."""
        x = self.embedding(ids)  # (B, T, C)
        logits = self.head(x)  # (B, T, V)
        return logits, cross_entropy(logits, targets)
