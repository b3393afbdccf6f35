"""The transformer. Read from top to bottom.

Letters in the shape comments: B windows in the batch, T characters in a window, C width,
H heads, D = C / H width of a head, V characters in the vocabulary.
While text is generated, T are the new characters and S are all of them so far (gpt/cache.py); in training S = T.
"""

from __future__ import annotations

from gpt.config import GPTConfig
from reference_torch import cache
from reference_torch.rotary import rotary
from torch import Tensor, arange, float16, nn
from torch.nn import functional as F


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention in four lines. q, k, v and the result are (B, H, T, D).

    The model calls `F.scaled_dot_product_attention`, which computes the same, faster, in one operation:

    >>> q, k, v = arange(240.0).sin().view(3, 1, 2, 5, 8)  # B = 1, H = 2, T = 5, D = 8
    >>> fused = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    >>> ((attention(q, k, v) - fused).abs() < 1e-6).all().item()
    True
    """
    T, D = q.shape[-2:]
    scores = q @ k.transpose(-2, -1) / D**0.5  # (B, H, T, T): how well the query of row t fits the key of column s
    scores = scores.masked_fill(q.new_ones(T, T).tril() == 0, float("-inf"))  # the mask: columns s > t are the future
    weights = scores.softmax(-1)  # each row is positive and sums to 1; exp(-inf) = 0
    y: Tensor = weights @ v  # (B, H, T, D): row t mixes the values up to t by their weights
    return y


class CausalSelfAttention(nn.Module):
    """Each character asks (query), the characters up to it answer (keys), and it takes a mixture of their values.

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.2.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.positions = config.positions
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.bias)
        self.projection = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        H, D = self.heads, C // self.heads
        qkv = self.qkv(x).view(B, T, 3 * H, D).transpose(1, 2)  # (B, T, 3C) -> (B, T, 3H, D) -> (B, 3H, T, D)
        q, k, v = qkv.split(H, dim=1)  # 3 of (B, H, T, D)
        past = cache.past()  # characters before these; 0 in training
        if self.positions == "rotary":
            q, k = rotary(q, past), rotary(k, past)
        k, v, mask = cache.extend(self, k, v)  # (B, H, S, D); in training the same k and v, and no mask
        # Fused: the four lines of `attention` above, with dropout of the weights.
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=dropout, is_causal=past == 0)  # (B, H, T, D)
        y = y.transpose(1, 2).reshape(B, T, C)  # (B, H, T, D) -> (B, T, H, D) -> (B, T, C): the heads side by side
        return F.dropout(self.projection(y), self.dropout, self.training)  # (B, T, C)


class FeedForward(nn.Module):
    """Two linear layers and a GELU for each character's vector on its own: C -> 4C -> C."""

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
    """Attention, then feed-forward. Each reads a normalised copy of x and adds its result to x (the residual)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, bias=config.bias)
        self.attention = CausalSelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.width, bias=config.bias)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))  # between characters
        x = x + self.feed_forward(self.feed_forward_norm(x))  # within each character
        return x


class GPT(nn.Module):
    """A decoder-only transformer of pre-norm blocks. Source: Radford et al., 2019 (GPT-2), section 2.3."""

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
        """Draw the weights. Biases begin at zero, the norms' weights at one, all others as `config.init` says:

        gpt2: N(0, 0.02²), projections into the residual smaller by 1/√(2 L), since 2 L of them add up.
        fan-in: N(0, 1/inputs), embeddings N(0, 0.2²), projections zero: each block begins as the identity.
        """
        gpt2, depth = self.config.init == "gpt2", 2 * self.config.layers
        for name, parameter in self.named_parameters():
            projection = name.endswith("projection.weight")
            if name.endswith("bias") or (projection and not gpt2):
                nn.init.zeros_(parameter)  # still learns: dW = dyᵀ x, and x is not 0 (behind a zero layer it is)
            elif "norm" not in name:  # LayerNorm made its weight: ones
                std = 0.02 if gpt2 else 0.2 if "embedding" in name else parameter.shape[1] ** -0.5
                nn.init.normal_(parameter, std=std / depth**0.5 if projection else std)
        if self.config.tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) for the character after each of ids (B, T); and the loss, given targets (B, T)."""
        T, past, context = ids.shape[1], cache.past(), self.config.context
        if past + T > context:
            raise ValueError(f"a window of {past + T} characters is longer than the context of {context}")
        x = self.embedding(ids)  # (B, T) -> (B, T, C)
        if self.config.positions == "learned":
            x = x + self.position_embedding(arange(past, past + T, device=ids.device))  # (B, T, C) + (T, C)
        x = F.dropout(x, self.config.dropout, self.training)
        for block in self.blocks:
            x = block(x)  # (B, T, C)
        logits = self.head(self.norm(x))  # (B, T, C) -> (B, T, V)
        return logits, cross_entropy(logits, targets)


def cross_entropy(logits: Tensor, targets: Tensor | None) -> Tensor | None:
    """Return the mean of -ln p(target) over all B T predictions, in nats; None without targets."""
    if targets is None:
        return None
    logits = logits.float() if logits.dtype == float16 else logits  # the sum of exp overflows float16
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B, T, V) -> (B T, V), (B, T) -> (B T,)
