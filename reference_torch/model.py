"""The transformer. Read from top to bottom. A token is a character, or another piece of text (gpt/tokenizers).

Letters in the shape comments: B windows in the batch, T tokens in a window, C width,
H heads, D = C / H width of a head, G heads of keys and values, V tokens in the vocabulary.
While text is generated, T are the new tokens and S are all of them so far (gpt/cache.py); in training S = T.
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


def norm(config: GPTConfig) -> nn.Module:
    """Over the C numbers of a vector: LayerNorm, or RMSNorm, which takes no mean away. docs/blocks.md has the formulas."""
    C, eps = config.width, config.norm_eps
    return nn.RMSNorm(C, eps) if config.norm == "rms" else nn.LayerNorm(C, eps, bias=config.bias)


class CausalSelfAttention(nn.Module):
    """Each token asks (query), the tokens up to it answer (keys), and it takes a mixture of their values.

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.2.
    """

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.groups = config.heads, config.groups
        self.positions = config.positions
        self.dropout = config.dropout
        D = config.width // config.heads
        self.scale = {"head": D**-0.5, "layer": D**-0.5 / (layer + 1), "none": 1.0}[config.attention_scale]
        self.qkv = nn.Linear(config.width, (config.heads + 2 * config.groups) * D, bias=config.bias)
        self.projection = nn.Linear(config.width, config.width, bias=config.bias)
        self.q_norm, self.k_norm = (nn.RMSNorm(D, config.norm_eps) if config.qk_norm else None for _ in "qk")

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        H, G, D = self.heads, self.groups, C // self.heads
        qkv = self.qkv(x).view(B, T, H + 2 * G, D).transpose(1, 2)  # (B, T, 3C) -> (B, T, 3H, D) -> (B, 3H, T, D)
        q, k, v = qkv.split([H, G, G], dim=1)  # (B, H, T, D), (B, G, T, D) twice; G = H unless heads share keys
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)  # all about as long, which bounds the scores
        past = cache.past()  # tokens before these; 0 in training
        if self.positions == "rotary":
            q, k = rotary(q, past), rotary(k, past)
        k, v, mask = cache.extend(self, k, v)  # (B, G, S, D); in training the same k and v, and no mask
        # Fused: the four lines of `attention` above, with dropout of the weights: (B, H, T, D).
        dropout, causal = self.dropout if self.training else 0.0, past == 0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=self.scale, enable_gqa=G < H)
        y = y.transpose(1, 2).reshape(B, T, C)  # (B, H, T, D) -> (B, T, H, D) -> (B, T, C): the heads side by side
        return F.dropout(self.projection(y), self.dropout, self.training)  # (B, T, C)


class FeedForward(nn.Module):
    """Two linear layers and a nonlinearity for each token's vector on its own: C -> 4C -> C.

    SwiGLU multiplies what the first layer finds by a gate. Source: Shazeer, "GLU variants improve transformer", 2020.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.up = nn.Linear(config.width, config.hidden_width, bias=config.bias)
        self.gate, kind = None, config.activation
        if kind == "swiglu":  # a gate decides, number by number, how much passes
            self.gate, kind = nn.Linear(config.width, config.hidden_width, bias=config.bias), "silu"
        others: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
        self.activation = nn.GELU(approximate="tanh") if kind == "gelu-tanh" else others[kind]()
        self.projection = nn.Linear(config.hidden_width, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up(x)  # (B, T, 4C)
        x = self.activation(up) if self.gate is None else self.activation(self.gate(x)) * up
        return F.dropout(self.projection(x), self.dropout, self.training)  # (B, T, C)


class Block(nn.Module):
    """Attention, then feed-forward. Each reads a normalised copy of x and adds its result to x (the residual)."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = norm(config)
        self.attention = CausalSelfAttention(config, layer)
        self.feed_forward_norm = norm(config)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))  # between tokens
        x = x + self.feed_forward(self.feed_forward_norm(x))  # within each token
        return x


class GPT(nn.Module):
    """A decoder-only transformer of pre-norm blocks. Source: Radford et al., 2019 (GPT-2), section 2.3."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = norm(config)
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
            elif "norm" not in name:  # a norm made its weight: ones
                std = 0.02 if gpt2 else 0.2 if "embedding" in name else parameter.shape[1] ** -0.5
                nn.init.normal_(parameter, std=std / depth**0.5 if projection else std)
        if self.config.tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) for the token after each of ids (B, T); and the loss, given targets (B, T)."""
        T, past, context = ids.shape[1], cache.past(), self.config.context
        if past + T > context:
            raise ValueError(f"a window of {past + T} tokens is longer than the context of {context}")
        x = self.embedding(ids)  # (B, T) -> (B, T, C)
        if self.config.positions == "learned":
            x = x + self.position_embedding(arange(past, past + T, device=ids.device))  # (B, T, C) + (T, C)
        x = F.dropout(x, self.config.dropout, self.training)
        for block in self.blocks:
            x = block(x)  # (B, T, C)
        logits = self.head(self.norm(cache.asked(x)))  # (B, T, C) -> (B, T, V)
        return logits, cross_entropy(logits, targets)


def cross_entropy(logits: Tensor, targets: Tensor | None) -> Tensor | None:
    """Return the mean of -ln p(target) over all B T predictions, in nats; None without targets."""
    if targets is None:
        return None
    logits = logits.float() if logits.dtype == float16 else logits  # the sum of exp overflows float16
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B, T, V) -> (B T, V), (B, T) -> (B T,)
