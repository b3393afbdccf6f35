"""The character models, from the first step to the transformer. Read from top to bottom.

Letters in the shape comments: B windows in the batch, T characters in a window, C width,
H heads, D = C / H width of a head, V characters in the vocabulary.
With a cache, T are the new characters, and S those that it has by then, the new ones included.
"""

from __future__ import annotations

from gpt.cache import Cache
from gpt.config import GPTConfig
from gpt.rotary import rotary
from tinytensor import Tensor, arange, float16, nn
from tinytensor.nn import functional as F


class Bigram(nn.Module):
    """The first model: the next character from the last one alone, by embedding and head."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.head = nn.Linear(config.width, config.vocab_size)

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, cache: Cache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Logits (B, T, V) for the character after each of ids (B, T); the loss, given targets."""
        x = self.embedding(ids)  # (B, T, C)
        if cache is not None:
            cache.length += ids.shape[1]  # there is nothing else to remember
        logits = self.head(x)  # (B, T, V)
        return logits, cross_entropy(logits, targets)


class CausalSelfAttention(nn.Module):
    """Each character takes a mixture of what the characters up to it offer.

    Vaswani et al. 2017, "Attention is all you need", section 3.2.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.positions = config.positions
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.bias)
        self.projection = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        B, T, C = x.shape
        H, D = self.heads, C // self.heads
        past = 0 if cache is None else cache.length
        qkv = self.qkv(x).view(B, T, 3 * H, D).transpose(1, 2)  # (B, T, 3C) -> (B, 3H, T, D)
        q, k, v = qkv.split(H, dim=1)  # 3 of (B, H, T, D)
        if self.positions == "rotary":
            q, k = rotary(q, past), rotary(k, past)
        if cache is not None:
            k, v = cache.extend(self, k, v)  # (B, H, S, D), S = past + T
        mask = None
        if past and T > 1:  # row t sees the past and up to t; is_causal means that only without a past
            mask = x.new_ones(T, past + T).tril(past) == 1  # (T, S)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=dropout, is_causal=not past)
        y = y.transpose(1, 2).reshape(B, T, C)  # (B, H, T, D) -> (B, T, C)
        return F.dropout(self.projection(y), self.dropout, self.training)


class FeedForward(nn.Module):
    """Each character's vector on its own: C -> 4C -> GELU -> C."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.up = nn.Linear(config.width, 4 * config.width, bias=config.bias)
        self.gelu = nn.GELU(approximate="tanh" if config.gelu == "tanh" else "none")
        self.projection = nn.Linear(4 * config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.gelu(self.up(x))  # (B, T, 4C)
        return F.dropout(self.projection(x), self.dropout, self.training)  # (B, T, C)


class Block(nn.Module):
    """Attention, then feed-forward; each reads a normalised copy and adds to the residual."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, bias=config.bias)
        self.attention = CausalSelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.width, bias=config.bias)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cache)
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return x


class GPT(nn.Module):
    """A decoder-only transformer of pre-norm blocks: Radford et al. 2019 (GPT-2), section 2.3."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, bias=config.bias)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Draw the weights; biases begin at zero, norms at one.

        gpt2: N(0, 0.02²), projections into the residual smaller by 1/√(2 L), since 2 L of them add up.
        fan-in: N(0, 1/inputs), embeddings N(0, 0.2²), projections zero: each block begins as the identity.
        """
        gpt2, depth = self.config.init == "gpt2", 2 * self.config.layers
        for name, parameter in self.named_parameters():
            projection = name.endswith("projection.weight")
            if name.endswith("bias") or (projection and not gpt2):
                nn.init.zeros_(parameter)
            elif "norm" not in name:
                std = 0.02 if gpt2 else 0.2 if "embedding" in name else parameter.shape[1] ** -0.5
                nn.init.normal_(parameter, std=std / depth**0.5 if projection else std)
        if self.config.tied:
            self.head.weight = self.embedding.weight

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, cache: Cache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Logits (B, T, V) for the character after each of ids (B, T); the loss, given targets.

        With a cache, ids go on from what it has, and it then has them as well: no character is computed twice.
        """
        T, context = ids.shape[1], self.config.context
        past = 0 if cache is None else cache.length
        if context < past + T:
            raise ValueError(f"a window of {past + T} characters is longer than the context of {context}")
        x = self.embedding(ids)  # (B, T, C)
        if self.config.positions == "learned":
            x = x + self.position_embedding(arange(past, past + T, device=ids.device))  # (B, T, C) + (T, C)
        x = F.dropout(x, self.config.dropout, self.training)
        for block in self.blocks:
            x = block(x, cache)
        if cache is not None:
            cache.length += T
        logits = self.head(self.norm(x))  # (B, T, V)
        return logits, cross_entropy(logits, targets)


def cross_entropy(logits: Tensor, targets: Tensor | None) -> Tensor | None:
    """Mean of -ln p(target) over all B T predictions, in nats; in float32 where the logits are float16."""
    if targets is None:
        return None
    logits = logits.float() if logits.dtype == float16 else logits
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B T, V), (B T,) -> ()


def build(config: GPTConfig) -> GPT | Bigram:
    """The model that `config.model` names, with fresh weights."""
    return GPT(config) if config.model == "gpt" else Bigram(config)
